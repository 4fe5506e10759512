"""What every notebook checks before it does anything: the names, types and ranges of its parameters."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from lmam_core import paths
from lmam_core.data import catalogue
from lmam_core.errors import LmamError, suggestion
from lmam_core.models.lmam import LMAM
from lmam_core.runs.device import usable
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import build, prepared

Rule = Sequence[Any] | range | type


def check_parameters(namespace: Mapping[str, Any], **rules: Rule) -> None:
    """Check a notebook's parameters; call it as `check_parameters(globals(), rank=range(1, 513), ...)`.

    A rule is a `range` (whole numbers within it), a sequence of allowed values, or a type (`str`, `int`, `float`,
    `bool`; a float takes whole numbers too). Raises LmamError, one sentence, for a name that papermill set and the
    notebook does not have (papermill itself only warns), for a value that breaks its rule, for a `device` that the
    machine does not have, and for a `store` that is no folder, where its rule is `str`.
    """
    for name in _injected(namespace):
        if name not in rules:
            raise LmamError(
                f"This notebook has no parameter '{name}'{suggestion(name, rules)}; it has {', '.join(rules)}."
            )
    for name, rule in rules.items():
        _check(name, namespace[name], rule)


def check_rank(*experiments: Experiment) -> None:
    """Check LMAM's rank against the narrowest width where each experiment puts it; arms without a rank pass.

    Call it behind `check_parameters`, with the experiments that the notebook trains. Raises LmamError, one sentence
    with the largest rank there.
    """
    for e in (e.resolved() for e in experiments):
        if e.fusion != "lmam" or e.rank is None:
            continue
        with torch.device("meta"):  # only sizes are wanted
            lmam = build(replace(e, rank=1), prepared(e)).fusion
        widths = lmam.width if isinstance(lmam, LMAM) else {}
        if e.rank > min(widths.values()):
            seen = ", ".join(f"{m} {width}" for m, width in widths.items())
            raise LmamError(
                f"rank must lie in 1..{min(widths.values())} for LMAM {e.embedding} in {e.backbone} on {e.dataset}, "
                f"where it meets the widths {seen}; got {e.rank}."
            )


def _check(name: str, value: Any, rule: Rule) -> None:
    if isinstance(rule, range):
        if isinstance(value, bool) or not isinstance(value, int):
            raise LmamError(f"{name} must be a whole number; got {value!r}.")
        if value not in rule:
            raise LmamError(f"{name} must lie in {rule.start}..{rule.stop - 1}; got {value}.")
    elif name == "store" and rule is str and isinstance(value, str):
        if not (folder := paths.store(value)).is_dir():
            raise LmamError(f"There is no folder of runs {folder}; store is 'book' or the path of one.")
    elif isinstance(rule, type):
        number = rule is float and isinstance(value, int) and not isinstance(value, bool)
        if not number and (not isinstance(value, rule) or (rule is int and isinstance(value, bool))):
            raise LmamError(f"{name} must be of type {rule.__name__}; got {value!r}.")
    elif name == "device":
        usable(value)
    elif name == "dataset" and isinstance(value, str) and catalogue.is_path(value):
        catalogue.entry(value)
    elif value not in rule:
        there = [str(v) for v in rule]
        raise LmamError(f"{name} must be one of {', '.join(there)}; got {value!r}{suggestion(value, there)}.")


def _injected(namespace: Mapping[str, Any]) -> list[str]:
    """The names that papermill's injected cell assigns; IPython keeps every cell's source in `In`."""
    names = []
    for source in namespace.get("In", []):
        if source.startswith("# Parameters\n"):
            targets = (node.targets[0] for node in ast.parse(source).body if isinstance(node, ast.Assign))
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names
