"""Signals that end a process do so as Ctrl-C does, and what was answered before is answered again."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from lmam_core.signals import ended_like_ctrl_c

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_it_ends_as_ctrl_c_does_and_afterwards_as_before(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_nohup_stays_in_force() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_like_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_signals_are_let_be() -> None:
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with ended_like_ctrl_c():
                pass
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert errors == []
