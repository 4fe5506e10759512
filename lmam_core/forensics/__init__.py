"""The forensic audit: what whole numbers can stand behind printed percentages.

`audit(paste(text))` audits any paper's per-class table, `pair(acc, f1, n, total)` one pair of cells, `findings()` and
`cells()` hold the audit of the LMAM paper.
"""

from lmam_core.forensics.audit import WORDS, Audit, audit
from lmam_core.forensics.drawing import heat, overview
from lmam_core.forensics.one_pair import pair
from lmam_core.forensics.reading import paste
from lmam_core.forensics.whole_paper import audited, cells, findings, frame

__all__ = ["WORDS", "Audit", "audit", "audited", "cells", "findings", "frame", "heat", "overview", "pair", "paste"]
