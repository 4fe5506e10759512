"""Every claim of both papers with a rule in code that decides it: `data/paper/claims.csv` beside the store.

A row of the CSV names a rule and its arguments; a rule reads stored runs, closed formulas or the printed tables, and
returns a word with the numbers and the reason. Nothing else decides, so that a word changes when runs are added,
without a text being edited. A new kind of claim is one function with `@rule`.

Claims are of three kinds, which are never added up: `measured` in trained models, `counted` in models and data, and
`recomputed` from the paper's own numbers. The words of the first are `rule.WORDS`, of the others `rule.COUNTED`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lmam_book.plans import studies
from lmam_book.plans.plans import stored_runs
from lmam_book.verdicts import traits
from lmam_book.verdicts.cells import Cells
from lmam_book.verdicts.headline import Cell, cells, reported_gain
from lmam_book.verdicts.rule import COUNTED, NOT_TESTABLE, TOO_FEW, WORDS
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
    """What a rule returns: the word, the paper's number and ours as text, shared seeds (0: none needed), and why.

    `protocol` is the one of the runs that decided: 1, 2, or 0 where none did.
    """

    verdict: str
    paper: str
    ours: str
    n: int
    reason: str
    protocol: int = 0


class Evidence:
    """The store as rules read it: each plan and each comparison is read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._cache: dict[Any, Any] = {}

    def runs(self, plan: str) -> list[Run]:
        """The measured runs of a plan."""
        return self._once(("runs", plan), lambda: stored_runs(plan, self.store))

    def headline(self, backbone: str, dataset: str) -> Cell | None:
        """The cell of protocol 2, with runs or without; None where none is planned."""
        by_place = self._once("headline", lambda: {(c.backbone, c.dataset): c for c in cells(self.store)})
        return by_place.get((backbone, dataset))

    def traits(self, name: str) -> Cell:
        """The cell of POM's traits, with runs or without (`traits.cells`)."""
        return self._once("traits", lambda: traits.cells(self.store))[name]

    def study(self, name: str) -> list[Run]:
        """The measured runs of a study of protocol 2."""
        return self._once(("study", name), lambda: studies.stored_runs(name, self.store))

    def cells(self, comparison: Callable[..., Cells], *arguments: str, dataset: str, arms: Iterable[str]) -> Cells:
        """A comparison of `lmam_book.verdicts.paper_tables` on this store.

        Of protocol 2 where each of these arms has five seeds there, or where the first protocol has no such runs.
        """
        first, second = (
            self._once((comparison.__name__, *arguments, p), partial(comparison, *arguments, self.store, p))
            for p in (1, 2)
        )
        return second if dataset == "meld" or second.ready(dataset, arms) else first

    def attention(self, dataset: str) -> Cell:
        """bc-LSTM with LMAM beside bc-LSTM with self-attention, which has the same LSTMs, under protocol 2."""
        lmam = self.headline("bc_lstm", dataset)
        assert lmam is not None
        runs = {run.experiment.seed: run for run in self.study("attention_bc_lstm") if run.dataset == dataset}
        reported = reported_gain("bc_lstm", dataset, "self-attention")
        return replace(lmam, runs={**lmam.runs, "concatenation": list(runs.values())}, reported=reported, alone={})

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]


KINDS = ("measured", "counted", "recomputed")
MEASURED, COUNTED_KIND, RECOMPUTED = KINDS
WORDS_OF = {MEASURED: WORDS, COUNTED_KIND: COUNTED, RECOMPUTED: COUNTED}

Rule = Callable[..., Finding]
RULES: dict[str, Rule] = {}
KIND_OF: dict[str, str] = {}


def rule(kind: str) -> Callable[[Rule], Rule]:
    """Register a rule under its own name; it takes the `Evidence`, then the arguments of the CSV by name."""

    def register(function: Rule) -> Rule:
        RULES[function.__name__] = function
        KIND_OF[function.__name__] = kind
        return function

    return register


def untestable(reason: str, printed: str = "–") -> Finding:
    """The finding where there is nothing to decide with."""
    return Finding(NOT_TESTABLE, printed, "–", 0, reason)


def too_few(reason: str, printed: str = "–") -> Finding:
    """The finding that waits for runs, which the reason names."""
    return Finding(TOO_FEW, printed, "–", 0, reason)


@rule(MEASURED)
def none(evidence: Evidence, reason: str) -> Finding:
    """A claim that no data, code or number decides; the CSV says why."""
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
        finding, kind = RULES[claim.rule](evidence, **claim.arguments), KIND_OF[claim.rule]
        if finding.verdict not in WORDS_OF[kind]:
            raise LmamError(
                f"'{finding.verdict}' is no word for what is {kind}; those are {', '.join(WORDS_OF[kind])}."
            )
        stated = {"id": claim.id, "source": claim.paper, "family": claim.family, "claim": claim.claim}
        stated |= {"where": claim.where, "kind": kind, "verdict": finding.verdict, "paper": finding.paper}
        rows.append(
            stated | {"ours": finding.ours, "n": finding.n, "protocol": finding.protocol, "reason": finding.reason}
        )
    return pd.DataFrame(rows)


def finite(*numbers: float) -> bool:
    """Whether all are numbers."""
    return bool(np.isfinite(numbers).all())
