"""Ctrl-C, SIGTERM and a closed terminal, which all end a command in the same orderly way."""

import signal
import sys
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
AGAIN_SECONDS = 0.05  # after an exception that was lost


class Interrupted(BaseException):
    """The command has been asked to end.

    Not a `KeyboardInterrupt`: where one has passed through `exec`, the interpreter ends by killing itself.
    """


class _State:
    requested = False
    held = False
    other_hook: Any = sys.__unraisablehook__  # for exceptions that nobody can catch


def end_on_signals() -> None:
    """Let a signal raise `Interrupted` in the main thread from now on.

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
    """Only note signals from now on: what follows must not be torn apart."""
    _State.held = True


def release_signals() -> None:
    """Raise `Interrupted` again, at once for a signal that came while they were held.

    Also for one whose exception was lost, as it is in a destructor.
    """
    _State.held = False
    if _State.requested:
        raise Interrupted


def _ask_again(unraisable: Any) -> None:
    """For an exception that is lost, as in a callback of the garbage collector: let the signal come once more."""
    if isinstance(unraisable.exc_value, Interrupted):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    else:
        _State.other_hook(unraisable)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _State.requested = True
    if not _State.held:
        raise Interrupted
