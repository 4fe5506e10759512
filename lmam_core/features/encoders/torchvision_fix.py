"""Makes a torchvision that was built for another torch importable, because open_clip and transformers import it."""

from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from importlib.util import find_spec

import torch

# What torchvision describes to torch while it is being imported, whether or not its compiled part could be loaded.
SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_declared = torch.library.Library("torchvision", "FRAGMENT")  # torch forgets the schemas when this object goes


def prepare_torchvision() -> list[str]:
    """Declare the operators that torchvision misses, and return their names; call it before torchvision is imported.

    The registry's torchvision is a CUDA build. Beside a CPU build of torch its compiled part does not load, and its
    import then ends in `operator torchvision::nms does not exist`, which takes open_clip and transformers with it.
    A declared schema without a kernel is enough for the import: image transforms work, and a call of `nms` itself
    still fails. Where torchvision is sound, or not installed, this changes nothing and returns an empty list.
    """
    spec = find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations or _compiled_part_loads(spec.submodule_search_locations[0]):
        return []
    missing = [name for name in SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    for name in missing:
        _declared.define(SCHEMAS[name])
    return missing


def _compiled_part_loads(folder: str) -> bool:
    """Load torchvision's own operators as its import would do it, and say whether that worked."""
    compiled = FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec("_C")
    if compiled is None:
        return False
    try:
        torch.ops.load_library(compiled.origin)
    except OSError:  # it wants another torch
        return False
    return True
