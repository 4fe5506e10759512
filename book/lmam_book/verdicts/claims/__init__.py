"""Every claim of both papers with a rule in code that decides it: `data/paper/claims.csv` beside the store.

A row of the CSV names a rule and its arguments; a rule reads stored runs, closed formulas or the printed tables, and
returns one of the four verdicts with the numbers and the reason. Nothing else decides, so that a verdict changes when
runs are added, without a text being edited. A new kind of claim is one function with `@rule`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmam_book.plans.plans import held
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts.cells import Cells
from lmam_book.verdicts.intervals import VERDICTS
from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store

if TYPE_CHECKING:
    import pandas as pd

FILE = "claims.csv"
COLUMNS = ("id", "paper", "family", "claim", "where", "rule", "arguments")


@dataclass(frozen=True)
class Claim:
    """One claim in our words: which paper makes it, where, and by which rule it is decided."""

    id: str
    paper: str
    family: str
    claim: str
    where: str
    rule: str
    arguments: dict[str, str]


@dataclass(frozen=True)
class Finding:
    """What a rule found: the verdict, the paper's number and ours as text, shared seeds (0: none needed), and why.

    `open`: our runs do not show the gain, and do not exclude the printed one either: the 95 % interval holds it.
    """

    verdict: str
    paper: str
    ours: str
    n: int
    reason: str
    open: bool = False

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise LmamError(f"'{self.verdict}' is no verdict; the words are {', '.join(VERDICTS)}.")


class Evidence:
    """The store as rules read it: each plan and each comparison is put together once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._kept: dict[Any, Any] = {}

    def runs(self, plan: str) -> list[Run]:
        """The measured runs of a plan."""
        return self._once(("runs", plan), lambda: held(plan, self.store))

    def frame(self, plan: str) -> pd.DataFrame | None:
        """A plan's runs as `plugin.frame`; None where there are none."""
        return self._once(("frame", plan), lambda: plugin.frame(self.runs(plan)) if self.runs(plan) else None)

    def cells(self, table: Callable[..., Cells], *arguments: str) -> Cells:
        """A comparison of `lmam_book.verdicts.paper_tables` on this store."""
        return self._once((table.__name__, *arguments), lambda: table(*arguments, store=self.store))

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


Rule = Callable[..., Finding]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Register a rule under its own name; it takes the `Evidence`, then the arguments of the CSV by name."""
    RULES[function.__name__] = function
    return function


def untestable(reason: str, printed: str = "–") -> Finding:
    """The finding where there is nothing to decide with."""
    return Finding("not testable", printed, "–", 0, reason)


@rule
def none(evidence: Evidence, reason: str) -> Finding:
    """A claim that nothing at hand can decide; the CSV says why."""
    return untestable(reason)


def read() -> list[Claim]:
    """The claims in the order of the file; raises LmamError for a row whose rule or arguments do not exist."""
    import pandas as pd

    # The modules register their rules.
    from lmam_book.verdicts.claims import audited, counted, measured, printed, ranked  # noqa: F401

    rows = pd.read_csv(paths.data("paper", FILE), dtype=str, keep_default_na=False)
    if tuple(rows.columns) != COLUMNS:
        raise LmamError(f"{FILE} has the columns {', '.join(rows.columns)}; it needs {', '.join(COLUMNS)}.")
    claims = []
    for row in rows.to_dict("records"):
        parts = [part.split("=", 1) for part in row.pop("arguments").split(";") if part]
        if any(len(part) < 2 for part in parts):
            raise LmamError(f"Claim '{row['id']}': arguments are written name=value;name=value, a value without ';'.")
        claim = Claim(**row, arguments={name.strip(): value.strip() for name, value in parts})
        if claim.rule not in RULES:
            raise LmamError(f"Claim '{claim.id}' has the rule '{claim.rule}', which is not one of {', '.join(RULES)}.")
        try:
            inspect.signature(RULES[claim.rule]).bind(None, **claim.arguments)
        except TypeError as error:
            raise LmamError(f"Claim '{claim.id}' cannot call its rule '{claim.rule}': {error}.") from None
        claims.append(claim)
    if len({c.id for c in claims}) < len(claims):
        raise LmamError(f"{FILE} holds an identifier twice.")
    return claims


def judge(store: Store | None = None, claims: list[Claim] | None = None) -> pd.DataFrame:
    """Every claim with its verdict: the CSV's columns but for rule and arguments, then `Finding`'s."""
    import pandas as pd

    evidence = Evidence(store or Store())
    rows = []
    for claim in read() if claims is None else claims:
        found = RULES[claim.rule](evidence, **claim.arguments)
        stated = {"id": claim.id, "source": claim.paper, "family": claim.family, "claim": claim.claim}
        stated |= {"where": claim.where, "verdict": found.verdict, "paper": found.paper, "ours": found.ours}
        rows.append(stated | {"n": found.n, "reason": found.reason, "open": found.open})
    return pd.DataFrame(rows)


def finite(*numbers: float) -> bool:
    """Whether all are numbers."""
    return bool(np.isfinite(numbers).all())
