"""SIGINT and SIGTERM: both end a command as Ctrl-C does, with one line and an exit status of their own."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """What a signal raises in the main thread, at its next step of Python; `status` is 130 or 143."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number
        """as shells report a process that a signal ended"""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises `Interrupted` on SIGINT and SIGTERM while the context lasts; a signal that is ignored stays so.

    Outside of the main thread nothing changes, since Python hands signals to that one alone.
    """
    with ExitStack() as stack:
        try:
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    stack.callback(signal.signal, number, signal.signal(number, _raise))
        except ValueError:
            pass
        yield


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
