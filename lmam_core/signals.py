"""How what takes long is ended: with KeyboardInterrupt, so that claims are freed and half-written files go."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, of Slurm, `timeout` and `docker stop`, and SIGHUP, of a closed terminal, do what Ctrl-C does.

    SIGHUP stays unheard where it is, under `nohup`.
    """
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    with ExitStack() as answers:
        answers.enter_context(answered(signal.SIGTERM, signal.default_int_handler))
        if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
            answers.enter_context(answered(hangup, signal.default_int_handler))
        yield


@contextmanager
def answered(number: int, handler: Any) -> Iterator[None]:
    """Another answer to a signal, in the main thread, which alone may give one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
