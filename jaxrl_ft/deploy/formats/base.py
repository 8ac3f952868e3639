"""What a file format is."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxrl_ft.core import checks
from jaxrl_ft.deploy.description import Description
from jaxrl_ft.training.agents import Agents


@dataclass(frozen=True, eq=False)
class Exporting:
    """A policy on its way out."""

    agents: Agents
    """the agents that the policy is one of"""
    seed: int
    """which one"""
    description: Description | None
    """the policy as plain arrays; None where it has none and no format asks for it"""
    name: str
    """what its files are called, without an ending; also the name of the function in C"""
    title: str
    """what it is, in one line"""

    @property
    def plain(self) -> Description:
        """The description, which `Format.described` asked for."""
        assert self.description is not None
        return self.description


@dataclass(frozen=True, eq=False)
class Format:
    """A kind of files, and who writes them."""

    files: Callable[[Exporting], dict[str, bytes]]
    """the content of every file by its name"""
    described: bool = True
    """whether it is written from the description, so that policies without one cannot be"""
    needs: tuple[str, ...] = ()
    """modules that must be installed to write it"""
    extra: str = ""
    """the extra of this package that installs them"""

    def check(self, name: str) -> None:
        """Refuse the format where a module that it needs is missing.

        Raises:
            ValueError: one is; gives the line that installs it.
        """
        for module in self.needs:
            checks.package("to", module, self.extra, user=name)
