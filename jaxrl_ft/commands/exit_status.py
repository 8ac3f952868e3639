"""How a command ends: its exit statuses, one line for what went wrong, and SIGINT and SIGTERM as Ctrl-C."""

import _thread
import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

SUCCESS, FAILURE, MISTAKE, INTERRUPTED = 0, 1, 2, 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = 0.05
"""Seconds until an interruption that was lost is raised again."""


class Ending:
    """How to report an early end of a command; the command sets both fields as it goes on."""

    def __init__(self) -> None:
        self.hint: Callable[[], str] = str
        """what follows the reason where the user made no mistake"""
        self.checked = False
        """whether a ValueError can no longer be the user's mistake; it is then raised with its traceback"""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Set `checked` while the context lasts; it stays set after an error, for `run` to read."""
        before, self.checked = self.checked, True
        yield
        self.checked = before


def run(command: Callable[[Sequence[str] | None, Ending], None], argv: Sequence[str] | None) -> int:
    """Run a command; returns 0, 1 if files cannot be written, 2 for a mistake, 130 after SIGINT, 143 after SIGTERM.

    Args:
        command: gets `argv` and the `Ending` to fill in.
        argv: the words after the program's name; None for those of this process.

    Raises:
        ValueError: the command raised it after it set `Ending.checked`.
    """
    ending = Ending()
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows what it can.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with interruptible() as received:
        try:
            command(argv, ending)
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else MISTAKE
        except ValueError as error:
            if ending.checked:
                raise
            return print_line(f"error: {error}", MISTAKE)
        except OSError as error:
            return print_line(f"error: {error}{ending.hint()}", FAILURE)
        except KeyboardInterrupt:
            # A library that was interrupted may raise an exception of its own in the place of ours.
            status = 128 + received[0] if received else INTERRUPTED
            return print_line(f"interrupted{ending.hint()}", status)
    return SUCCESS


def print_line(text: str, status: int) -> int:
    """Print the text on stderr in one line; returns the status."""
    print(" ".join(text.split()), file=sys.stderr)
    return status


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM while the context lasts; a signal that is ignored stays ignored.

    Outside of the main thread the context changes nothing, since Python gives signals to the main thread alone. Where
    the exception is lost, as in a callback of the garbage collector, it is raised again a moment later.

    Yields:
        The numbers of the signals received so far.
    """
    interruption = _Interruption()
    with ExitStack() as stack:
        stack.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = interruption.lost
        try:
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    stack.callback(signal.signal, number, signal.signal(number, interruption.interrupt))
        except ValueError:
            pass
        stack.callback(interruption.end)
        yield interruption.received


class _Interruption:
    """The signals received, as the handlers of a context."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._unraisable = sys.unraisablehook
        self._again, self._over = threading.Timer(0, int), False

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if not self._over:
            self.received.append(number)
            raise KeyboardInterrupt(signal.Signals(number).name)

    def end(self) -> None:
        """Raise nothing any more."""
        self._over = True
        self._again.cancel()

    def lost(self, problem: "sys.UnraisableHookArgs") -> None:
        """Handle an exception that was lost; an interruption is raised again a moment later."""
        if not self.received or problem.exc_type is not KeyboardInterrupt:
            self._unraisable(problem)
            return
        try:
            self._raise_again()
        except KeyboardInterrupt:
            # What is raised in here would be lost for good.
            self._raise_again()

    def _raise_again(self) -> None:
        self._again.cancel()
        self._again = threading.Timer(AGAIN, _thread.interrupt_main, (self.received[-1],))
        self._again.daemon = True
        self._again.start()
