"""The networks that see frames: what goes into them, and how frames become one row."""

import numpy as np
import pytest
import torch
from PIL import Image

from lmam_core.features.encoders import cnn3d
from lmam_core.features.encoders.video import _averaged, _tensor, square
from lmam_core.features.extract import extract
from lmam_core.features.sample.sample import write_mp4

quiet = {"progress": False, "cache": None}


def test_clip_sees_what_its_own_processor_would_give():
    from transformers import CLIPImageProcessor

    rng = np.random.default_rng(0)
    frame = np.array(Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize((320, 240), Image.BICUBIC))
    processor = CLIPImageProcessor()
    theirs = processor(images=frame, return_tensors="pt")["pixel_values"][0]
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (processor.image_mean, processor.image_std))
    ours = (_tensor(square(frame, 224)) - mean) / deviation
    assert ours.shape == theirs.shape == (3, 224, 224)
    assert (ours - theirs).abs().max() < 0.05


@pytest.mark.parametrize("size", [(64, 64), (64, 200), (300, 70), (10, 10), (1, 500)])
def test_square_takes_the_middle(size):
    frame = np.zeros((*size, 3), np.uint8)
    frame[size[0] // 2, size[1] // 2] = 255
    assert np.asarray(square(frame, 64)).shape == (64, 64, 3)


def test_averages_are_of_embeddings_of_length_one():
    def embed(x):
        return x.flatten(1)[:, :2]

    clips = torch.tensor([[3.0, 4.0], [0.0, 2.0]]).reshape(1, 2, 2, 1, 1)
    assert _averaged(embed)(clips).tolist() == [[pytest.approx(0.3), pytest.approx(0.9)]]


def test_the_3d_cnn_sees_time(tmp_path):
    """The same frames the other way round are another clip for the 3D-CNN, and the same for averaged CLIP frames."""
    rng = np.random.default_rng(0)
    # Each twice, so that both directions give CLIP, which takes every other frame, the same pictures.
    pictures = [np.full((64, 64, 3), colour, np.uint8) for colour in rng.integers(0, 255, (8, 3)).repeat(2, 0)]
    write_mp4(tmp_path / "forwards.mp4", pictures, None)
    write_mp4(tmp_path / "backwards.mp4", pictures[::-1], None)
    files = [tmp_path / "forwards.mp4", tmp_path / "backwards.mp4"]
    difference = {}
    for name in ("cnn3d512", "clip512"):
        one, other = extract(name, files, weights="random", **quiet).values
        difference[name] = np.linalg.norm(one - other) / np.linalg.norm(one)
    assert difference["cnn3d512"] > 5 * difference["clip512"]


def test_the_3d_cnns_shapes_and_seed():
    clips = torch.rand(2, 3, cnn3d.FRAMES, cnn3d.SIDE, cnn3d.SIDE)
    first, again, other = cnn3d.seeded(0), cnn3d.seeded(0), cnn3d.seeded(1)
    with torch.no_grad():
        assert first(clips).shape == (2, 512)
        assert torch.equal(first(clips), again(clips))
        assert not torch.allclose(first(clips), other(clips))
