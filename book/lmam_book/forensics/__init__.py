"""The forensic audit: what whole numbers can stand behind printed percentages.

`audit(paste(text))` audits any paper's per-class table, `pair(acc, f1, n, total)` one pair of cells, `findings()` and
`cells()` hold the audit of the LMAM paper.
"""

from lmam_book.forensics.audit import WORDS, Audit, audit
from lmam_book.forensics.one_pair import pair
from lmam_book.forensics.pasted import paste
from lmam_book.forensics.whole_paper import audited, cells, findings, fitting_rows, frame, without_dialogues

__all__ = [
    "WORDS",
    "Audit",
    "audit",
    "audited",
    "cells",
    "findings",
    "fitting_rows",
    "frame",
    "pair",
    "paste",
    "without_dialogues",
]
