"""Signals that ask for an end while a training runs: it goes on to the end of a call of the program, and saves."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A signal that is held back until a training can end; a second one is not held back."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._before = ExitStack()

    @property
    def asked(self) -> bool:
        """Whether a signal is held back."""
        return self._number is not None

    def end_if_asked(self) -> None:
        """Hand a signal that is held back to the handler that was there before.

        Raises:
            KeyboardInterrupt: what that handler raises, usually.
        """
        if self._number is not None:
            self._hand_over(self._number)

    def install(self) -> None:
        """Hold signals back from now on; those that are ignored stay so, and a thread that gets none holds none."""
        try:
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):
                    self._before.callback(signal.signal, number, signal.signal(number, self._note))
        except ValueError:
            # Python gives signals to the main thread alone.
            return

    def restore(self) -> None:
        """Give signals to the handlers that were there before."""
        self._before.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._number is None:
            self._number = number
        else:
            self._hand_over(number)

    def _hand_over(self, number: int) -> None:
        self._number = None
        self.restore()
        signal.raise_signal(number)


@contextmanager
def held_back() -> Iterator[Interruption]:
    """Hold SIGINT and SIGTERM back while the context lasts; they are handed over behind it, if they are still held."""
    interruption = Interruption()
    interruption.install()
    try:
        yield interruption
    finally:
        interruption.restore()
    interruption.end_if_asked()
