"""Ctrl-C, SIGTERM and a closed terminal, which all end a command in the same orderly way."""

import signal
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(BaseException):
    """The command has been asked to end.

    Not a `KeyboardInterrupt`: where one has passed through `exec`, the interpreter ends by killing itself.
    """


class _State:
    requested = False


def end_on_signals() -> None:
    """From now on the first signal raises `Interrupted` in the main thread; those after it are ignored.

    Signals that were ignored before, as under `nohup`, stay ignored.
    """
    _State.requested = False
    for name in NAMES:
        number = getattr(signal, name, None)  # not every system has all of them
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def raise_if_interrupted() -> None:
    """Raise what a signal has raised before where nobody could catch it, such as in a destructor."""
    if _State.requested:
        raise Interrupted


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    if not _State.requested:
        _State.requested = True
        raise Interrupted
