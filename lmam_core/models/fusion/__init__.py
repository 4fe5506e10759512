"""The fusion methods, one class per file, each registered beside its class; `build` makes one by name.

A new method is one new file here, or anywhere that is imported: see `Fusion` for the contract, `register` for the rest.
"""

import importlib
import pkgutil

from lmam_core.models.contracts.fusion import FUSIONS, Fusion, Method, build, method, register

__all__ = ["FUSIONS", "Fusion", "Method", "build", "method", "register"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")
importlib.import_module("lmam_core.models.lmam")  # LMAM itself stands where strangers look for it
