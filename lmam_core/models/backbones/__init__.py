"""The backbones, one per file, each registered beside its class; `backbone` finds one by name.

A new backbone is one new file here, or anywhere that is imported: see `Backbone` for the contract.
"""

import importlib
import pkgutil

from lmam_core.models.contracts.backbone import BACKBONES, Backbone, backbone, register

__all__ = ["BACKBONES", "Backbone", "backbone", "register"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")
