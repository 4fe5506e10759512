"""How often the audit is right on generated tables whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lmam_book.forensics.audit import audit
from lmam_book.forensics.simulated import READABLE, plant, table


def error_rates(support: Mapping[str, int], rows: int, tables: int, planted: int, seed: int = 0) -> pd.DataFrame:
    """Rates at which the audit is right on generated tables, without and with planted errors; one row per reading.

    tables, rows; reading_found (share of rows that get their true reading on the true supports), false_alarms (share
    of correct pairs called impossible), found (share of planted errors called impossible), accuracy_found (share of
    rows whose accuracy lies within what the audit says), supports_found (share of classes whose support the search
    names without being told).
    """
    records = []
    for reading in READABLE:
        tally = np.zeros(5)
        for k in range(tables):
            correct, counts = table(support, reading, rows, seed=seed + k)
            plain = audit(correct, support)
            spoiled, where = plant(correct, support, planted, seed + k)
            pairs = audit(spoiled, support).pairs.set_index(["row", "class"])["verdict"]
            searched = plain.searched[reading].set_index("class")
            exact = 100 * np.trace(counts[:, 0], axis1=1, axis2=2) / sum(support.values())
            readings = plain.rows
            tally += [
                (readings["reading"] == reading).mean(),
                plain.pairs["verdict"].str.startswith("impossible").mean(),
                np.mean([pairs[w].startswith("impossible") for w in where]),
                ((readings["accuracy_low"] <= exact + 1e-9) & (exact <= readings["accuracy_high"] + 1e-9)).mean(),
                np.mean([searched.loc[c, "named"] and searched.loc[c, "n"] == n for c, n in support.items()]),
            ]
        names = ["reading_found", "false_alarms", "found", "accuracy_found", "supports_found"]
        records.append(
            {"Acc. is": reading, "tables": tables, "rows": rows} | dict(zip(names, tally / tables, strict=True))
        )
    return pd.DataFrame(records)
