"""Handles Ctrl-C, SIGTERM and a closed terminal, which all interrupt a command in the same way."""

import signal
import sys
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
AGAIN_SECONDS = 0.05  # until a lost exception is raised again


class Interrupted(BaseException):
    """The command was interrupted by a signal.

    Not a `KeyboardInterrupt`, after which the interpreter would kill itself if it had passed through `exec`.
    """


class _State:
    requested = False
    held = False
    other_hook: Any = sys.__unraisablehook__  # for exceptions that cannot be caught


def end_on_signals() -> None:
    """From now on, signals raise `Interrupted` in the main thread.

    Signals that were ignored before, as under `nohup`, stay ignored.
    """
    _State.requested = _State.held = False
    if sys.unraisablehook is not _ask_again:
        _State.other_hook = sys.unraisablehook
        sys.unraisablehook = _ask_again
    for name in (*NAMES, "SIGALRM"):
        number = getattr(signal, name, None)  # not every system has all of them
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def hold_signals() -> None:
    """From now on, only record signals, so that the following work is not interrupted."""
    _State.held = True


def release_signals() -> None:
    """Let signals raise `Interrupted` again, at once if one came while they were held.

    The same holds for a signal whose exception was lost, as in a destructor.
    """
    _State.held = False
    if _State.requested:
        raise Interrupted


def _ask_again(unraisable: Any) -> None:
    """Repeat a signal whose exception was lost, as in a callback of the garbage collector."""
    if isinstance(unraisable.exc_value, Interrupted):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    else:
        _State.other_hook(unraisable)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _State.requested = True
    if not _State.held:
        raise Interrupted
