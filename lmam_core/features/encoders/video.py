"""Frames of a video through a 3D-CNN or CLIP, one vector for each utterance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lmam_core.errors import LmamError
from lmam_core.features.decoder_process import Decoders
from lmam_core.features.encoders import cnn3d
from lmam_core.features.encoders.loading import checked, loading, pretrained
from lmam_core.features.media import MediaError, parse
from lmam_core.features.registry import Extractor
from lmam_core.features.weights import SEED, Weights, checkpoint_errors

CLIP_FRAMES = 8
BATCH = 8
"""Videos whose frames are in memory at a time, each frame already at the network's size."""
Rows = Iterator[tuple[int, np.ndarray | str]]
Network = tuple[int, Callable[[np.ndarray], Tensor], Callable[[Tensor], Tensor]]
"""How many frames it takes, what prepares one, (3, H, W), and what turns (B, T, 3, H, W) into (B, d)."""


def encoder(
    extractor: Extractor, weights: Weights, device: str = "cpu"
) -> Callable[[Sequence[str | Path], int | None], Rows]:
    """The function from paths to (index, row or sentence).

    Frames are taken at the middles of equal spans of time, 16 for the 3D-CNN and 8 for CLIP; a video with fewer gives
    some of them again. Of each frame the middle square is taken, its side resized to the network's (bicubic), and for
    CLIP the checkpoint's mean and deviation are applied. A 3D-CNN sees them as one clip; CLIP's embeddings of single
    frames, each of length 1, are averaged.
    """
    device = checked(device)
    make = {"layer": _cnn3d, "transformers": _clip, "open_clip": _open_clip}[extractor.take]
    count, prepare, run = make(extractor, weights, device)

    def clip(item: str | Path, decoders: Decoders) -> Tensor | str:
        try:
            return torch.stack([prepare(frame) for frame in decoders.frames(parse(item), count)])  # (T, 3, H, W)
        except MediaError as error:
            return str(error)

    @torch.inference_mode()
    def encode(items: Sequence[str | Path], batch_size: int | None) -> Rows:
        numbered = enumerate(items)
        with Decoders() as decoders:
            while batch := list(islice(numbered, batch_size or BATCH)):
                read = {i: clip(item, decoders) for i, item in batch}
                yield from ((i, error) for i, error in read.items() if isinstance(error, str))
                if good := {i: x for i, x in read.items() if not isinstance(x, str)}:
                    rows = run(torch.stack(list(good.values())).to(device))  # (B, T, 3, H, W) to (B, d)
                    yield from zip(good, rows.float().cpu().numpy(), strict=True)

    return encode


def _cnn3d(extractor: Extractor, weights: Weights, device: str) -> Network:
    network = cnn3d.seeded(SEED)
    if weights.path is not None:
        from safetensors.torch import load_file

        with checkpoint_errors(extractor.name, weights.path):
            tensors = load_file(weights.path)
        try:
            network.load_state_dict(tensors)
        except RuntimeError:
            names = ", ".join(network.state_dict())
            raise LmamError(f"{weights.path} does not fit the 3D-CNN; it wants the tensors {names}.") from None
    network = network.eval().to(device)
    side = cnn3d.SIDE

    def prepare(frame: np.ndarray) -> Tensor:
        return _tensor(square(frame, side))

    return cnn3d.FRAMES, prepare, lambda clips: network(clips.transpose(1, 2))


def _clip(extractor: Extractor, weights: Weights, device: str) -> Network:
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    if weights.path is None:
        from lmam_core.features.encoders import tiny

        model, processor = tiny.clip(extractor.width), CLIPImageProcessor()
    else:
        with loading(extractor, weights.path):
            model = pretrained(extractor, CLIPVisionModelWithProjection, weights.path)
            processor = CLIPImageProcessor.from_pretrained(weights.path, local_files_only=True)
    _check_width(extractor, weights, model.config.projection_dim)
    model, side = model.eval().to(device), model.config.image_size
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (processor.image_mean, processor.image_std))

    def prepare(frame: np.ndarray) -> Tensor:
        return (_tensor(square(frame, side)) - mean) / deviation

    return CLIP_FRAMES, prepare, _averaged(lambda x: model(pixel_values=x).image_embeds)


def _open_clip(extractor: Extractor, weights: Weights, device: str) -> Network:
    import open_clip

    if weights.path is None:
        from lmam_core.features.encoders import tiny

        with loading(extractor, None):
            model, transform = tiny.open_clip_model(extractor.width)
    else:
        if not (weights.path / "open_clip_config.json").exists():
            raise LmamError(f"{weights.path} holds no open_clip_config.json, which {extractor.name} needs.")
        if not (tensors := sorted(weights.path.glob("open_clip*.safetensors"))):
            raise LmamError(f"{weights.path} holds no open_clip*.safetensors, which {extractor.name} needs.")

        with loading(extractor, weights.path):
            # open_clip would choose the file itself, and takes pickles as well.
            make, name = open_clip.create_model_and_transforms, f"local-dir:{weights.path}"
            model, _, transform = make(name, load_weights=False, pretrained_text=False)
            open_clip.load_checkpoint(model, str(tensors[0]))
    _check_width(extractor, weights, model.visual.output_dim)
    model = model.eval().to(device)

    def prepare(frame: np.ndarray) -> Tensor:
        return transform(Image.fromarray(frame))

    return CLIP_FRAMES, prepare, _averaged(model.encode_image)


def _averaged(embed: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """(B, T, 3, H, W) to (B, d): the mean over T of embeddings of length 1."""

    def run(clips: Tensor) -> Tensor:
        embeddings = embed(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])  # (B, T, d)
        return torch.nn.functional.normalize(embeddings, dim=-1).mean(1)

    return run


def square(frame: np.ndarray, side: int) -> Image.Image:
    """The middle square of a frame, side by side pixels, after the shorter side was resized to it (bicubic)."""
    image = Image.fromarray(frame)
    short = min(image.size)
    image = image.resize([n * side // short for n in image.size], Image.Resampling.BICUBIC)
    left, top = ((n - side) // 2 for n in image.size)
    return image.crop((left, top, left + side, top + side))


def _tensor(image: Image.Image) -> Tensor:
    """(3, H, W), float32 in 0..1."""
    return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)


def _check_width(extractor: Extractor, weights: Weights, width: int) -> None:
    if width != extractor.width:
        raise LmamError(f"{weights.path} is {width} wide; {extractor.name} is {extractor.width} wide.")
