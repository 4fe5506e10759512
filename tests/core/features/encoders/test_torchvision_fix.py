"""The broken pair of a CPU torch and a CUDA torchvision: both libraries that need torchvision really run."""

import importlib.util
import subprocess
import sys
import textwrap

OPEN_CLIP = """
    import json, sys
    from pathlib import Path

    import torch
    from lmam_core.features.encoders.torchvision_fix import prepare_torchvision
    prepare_torchvision()
    import open_clip

    sizes = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    folder = Path(sys.argv[1])
    (folder / "tiny.json").write_text(json.dumps({"embed_dim": 24, "vision_cfg": sizes, "text_cfg": text}))
    open_clip.add_model_config(folder / "tiny.json")
    model, _, preprocess = open_clip.create_model_and_transforms("tiny")
    from PIL import Image
    image = preprocess(Image.new("RGB", (50, 40), "orange"))[None]
    tokens = open_clip.get_tokenizer("tiny")(["a low rank", "a matching attention"])
    with torch.no_grad():
        seen, read = model.encode_image(image), model.encode_text(tokens)
    assert tokens.shape == (2, 77)
    assert seen.shape == (1, 24) and read.shape == (2, 24)
    assert seen.isfinite().all() and read.isfinite().all()
    assert not torch.equal(read[0], read[1])
"""

TRANSFORMERS = """
    import torch
    from lmam_core.features.encoders.torchvision_fix import prepare_torchvision
    prepare_torchvision()
    from transformers import CLIPConfig, CLIPModel, DebertaV2Config, DebertaV2Model

    small = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**small, "image_size": 32, "patch_size": 16}
    text = {**small, "vocab_size": 99, "bos_token_id": 0, "eos_token_id": 98}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    tokens = torch.tensor([[0, 5, 6, 98]])
    with torch.no_grad():
        out = clip(input_ids=tokens, pixel_values=torch.randn(3, 3, 32, 32))
    assert out.image_embeds.shape == (3, 24) and out.text_embeds.shape == (1, 24)
    assert out.logits_per_image.isfinite().all()
    deberta = DebertaV2Model(DebertaV2Config(**small, vocab_size=99)).eval()
    with torch.no_grad():
        hidden = deberta(tokens).last_hidden_state
    assert hidden.shape == (1, 4, 32) and hidden.isfinite().all()
"""

TWICE = """
    import torch
    from lmam_core.features.encoders.torchvision_fix import prepare_torchvision
    first, second = prepare_torchvision(), prepare_torchvision()
    assert second == [], second
    import torchvision
    assert hasattr(torch.ops.torchvision, "nms")
    assert bool(first) != torchvision.extension._has_ops(), (first, "declared where the real operators load, or not")
    print(first)
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run code in an interpreter of its own: what torch has registered once stays registered."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_both_libraries_run_beside_this_torchvision_and_what_it_lacks_is_declared_once(tmp_path):
    sound = python("import torchvision").returncode == 0
    done = python("\n".join(map(textwrap.dedent, (TWICE, OPEN_CLIP, TRANSFORMERS))), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ("[]" if sound else "['nms', 'qnms']")


def test_without_torchvision_nothing_happens(monkeypatch):
    from lmam_core.features.encoders import torchvision_fix as compat

    monkeypatch.setattr(compat, "find_spec", lambda name: None)
    assert importlib.util.find_spec("torchvision") is not None
    assert compat.prepare_torchvision() == []


def test_sound_torchvision_is_left_alone(monkeypatch):
    from lmam_core.features.encoders import torchvision_fix as compat

    monkeypatch.setattr(compat, "_compiled_part_loads", lambda folder: True)
    assert compat.prepare_torchvision() == []
