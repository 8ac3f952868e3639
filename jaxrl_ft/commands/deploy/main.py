"""The command `python -m jaxrl_ft.deploy`: what becomes of a trained policy, a subcommand for each."""

import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

import tyro

from jaxrl_ft.commands import exit_status
from jaxrl_ft.commands.deploy.compress import Compress
from jaxrl_ft.commands.deploy.export import Export
from jaxrl_ft.commands.deploy.play import Play
from jaxrl_ft.commands.exit_status import Ending

PROGRAM = "python -m jaxrl_ft.deploy"
PURPOSE = "Takes trained policies to where they work."


class Subcommand(Protocol):
    """The flags of a subcommand, a dataclass."""

    def act(self, ending: Ending) -> None:
        """Do what the flags ask for.

        Raises:
            ValueError: a flag is not allowed; in one line.
        """


SUBCOMMANDS: Mapping[str, type[Subcommand]] = {"compress": Compress, "export": Export, "play": Play}
"""Every subcommand by name. Their modules import nothing heavy before `act` runs, so that help comes at once."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 if files cannot be written, 2 for a mistake, 130 after SIGINT, 143 after SIGTERM.

    Args:
        argv: the words after the program's name; without it, those of this process.
    """
    return exit_status.run(_command, argv)


def _command(argv: Sequence[str] | None, ending: Ending) -> None:
    words = sys.argv[1:] if argv is None else argv
    flags = tyro.extras.subcommand_cli_from_dict(dict(SUBCOMMANDS), prog=PROGRAM, description=PURPOSE, args=list(words))
    flags.act(ending)
