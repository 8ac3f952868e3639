"""How a command ends: its exit statuses, one line for what went wrong, and SIGINT and SIGTERM as Ctrl-C."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

SUCCESS, FAILURE, MISTAKE, INTERRUPTED = 0, 1, 2, 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)


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

    Outside of the main thread the context changes nothing, since Python gives signals to the main thread alone.

    Yields:
        The numbers of the signals received so far.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        received.append(number)
        raise KeyboardInterrupt(signal.Signals(number).name)

    with ExitStack() as stack:
        try:
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    stack.callback(signal.signal, number, signal.signal(number, interrupt))
        except ValueError:
            pass
        yield received
