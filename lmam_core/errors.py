"""The one exception that is meant for the reader of a notebook or the user of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LmamError(ValueError):
    """A mistake in what was asked for, told in one sentence that says what was wrong and what to do.

    The command line prints the sentence and exits with 2; a notebook shows the sentence in place of a traceback,
    because IPython asks an exception for `_render_traceback_` before it draws its own.

    >>> from lmam_core import LMAM
    >>> LMAM({"text": 100}, rank=1000)
    Traceback (most recent call last):
    lmam_core.errors.LmamError: LMAM's rank must be a whole number from 1 to 100, the narrowest width; got 1000.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class StoreError(LmamError):
    """The store of runs cannot be written, so that nothing that is computed could be kept."""


def unknown(what: str, name: object, known: Iterable[object]) -> LmamError:
    """The error for a name that is not among those there are: it tells the one that is spelt most alike, and all.

    >>> raise unknown("There is no backbone", "bc_lst", ["bc_lstm", "m2fnet"])
    Traceback (most recent call last):
    lmam_core.errors.LmamError: There is no backbone 'bc_lst' (did you mean 'bc_lstm'?); choose one of bc_lstm, m2fnet.
    """
    there = [str(one) for one in known]
    return LmamError(f"{what} {name!r:.80}{suggestion(name, there)}; choose one of {', '.join(there)}.")


def suggestion(name: object, known: Iterable[str]) -> str:
    """` (did you mean 'bc_lstm'?)` for the known name that is spelt most like `name`, or nothing."""
    close = difflib.get_close_matches(str(name).strip().casefold(), list(known), 1)
    return f" (did you mean '{close[0]}'?)" if close else ""
