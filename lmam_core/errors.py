"""The one exception that is meant for the reader of a notebook or the user of the command line."""


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
