"""One cell: which counts print as it, for one support or for every support up to a bound."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmam_book.forensics.counts import READINGS, Digits, possible, solutions
from lmam_book.forensics.pasted import in_units
from lmam_book.forensics.supports import Supports, coincidence
from lmam_core.errors import LmamError


def pair(
    acc: str | float,
    f1: str | float,
    n: int | None = None,
    total: int | None = None,
    rounding: str = "rounded",
    n_max: int = 2000,
) -> pd.DataFrame:
    """What two printed percentages can be: `pair("30.56", "35.63", 144, 1623)`; as strings, so that end zeros count.

    One row per reading: exists; counts, the first few (hits, predictions) for a class of n; by_chance, the share of
    arbitrary pairs within a point that exist, too. Without n: supports, the least n up to `n_max` that serve, and how
    many do. One-vs-rest accuracy needs `total`, the number of all utterances. Raises LmamError as `audit` does.
    """
    if n is not None and (n < 1 or (total is not None and n > total)):
        raise LmamError(f"n must lie between 1 and the total; got n = {n} of {total}.")
    table = in_units(
        pd.DataFrame([[acc, f1]], index=["pair"], columns=pd.MultiIndex.from_product([["class"], ["Acc", "F1"]]))
    )
    if not table.there.all():
        raise LmamError("A pair needs two numbers, Acc and F1, in percent.")
    digits, (a, f) = Digits(table.scale, rounding), (table.acc[0, 0], table.f1[0, 0])
    records = []
    for reading in READINGS:
        if reading == "accuracy" and total is None:
            continue
        if n is None:
            numbers = np.arange(1, (total or n_max) + 1)
            serve = numbers[possible(a, f, numbers, total, reading, digits)]
            few = ", ".join(map(str, serve[:8])) + (", ..." if len(serve) > 8 else "")
            records.append({"reading": reading, "exists": len(serve) > 0, "supports": few, "how_many": len(serve)})
            continue
        options = solutions(a, f, n, total, reading, digits).listed()
        counts = "; ".join(f"{t} of {low if low == high else f'{low} to {high}'}" for t, low, high in options[:4])
        given = Supports("given", {"class": n}, total)  # type: ignore[arg-type]  # none known: no upper end of p
        rate = coincidence(table, given, reading, digits)
        records.append({"reading": reading, "exists": bool(options), "counts": counts, "by_chance": float(rate[0, 0])})
    return pd.DataFrame(records)
