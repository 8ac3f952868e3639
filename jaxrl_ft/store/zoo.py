"""The zoo: small trained agents that come with the package, each with its card; `ft.load("zoo:cartpole-ppo")`."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxrl_ft.core.files import Json
from jaxrl_ft.core.table import Table

PREFIX = "zoo:"
PLACE = Path(__file__).parent / "pretrained"
"""A bundle for each agent, and its card beside it."""


@dataclass(frozen=True)
class ZooAgent:
    """What the card of an agent in the zoo says first; `card` has all of it."""

    task: str
    """what it was trained on last, in words"""
    algo: str
    """its algorithm's name in ALGOS"""
    method: str | None
    """the name in METHODS of the method that trained it last, where it has one"""
    parent: str | None
    """the agent of the zoo that it was fine-tuned from"""
    mean: float
    """mean return of greedy episodes on its task that neither trained it nor chose it"""
    low: float
    high: float
    """the 95% bootstrap interval of that mean"""
    episodes: int
    """how many"""
    path: Path
    """the directory of the saved agent"""

    @functools.cached_property
    def card(self) -> dict[str, Json]:
        """The whole card: task, algorithm, network, method, budget, returns, versions and checksums of the files."""
        return _card(self.path.with_name(f"{self.path.name}.json"))


def is_named(path: object) -> bool:
    """Whether a path is that of an agent of the zoo, such as `zoo:cartpole-ppo`."""
    return str(path).startswith(PREFIX)


def place(path: object) -> Path:
    """The directory that a path leads to: that of an agent of the zoo for `zoo:NAME`, else the path itself.

    Raises:
        ValueError: the zoo has no agent of this name; the nearest one is named.
    """
    return ZOO[str(path).removeprefix(PREFIX)].path if is_named(path) else Path(str(path))


def parent_of(path: object) -> Path | None:
    """The directory of the agent that one of the zoo was fine-tuned from; None of any other path.

    Raises:
        ValueError: as `place`.
    """
    parent = ZOO[str(path).removeprefix(PREFIX)].parent if is_named(path) else None
    return None if parent is None else ZOO[parent].path


def _card(path: Path) -> dict[str, Json]:
    found: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _table(files: Sequence[Path]) -> Table[ZooAgent]:
    """The agents whose cards are given."""
    table: Table[ZooAgent] = Table("zoo", separator="-")
    cards = {path.stem: _card(path) for path in files}
    by_digest = {card["agents_sha256"]: name for name, card in cards.items()}
    for name, card in cards.items():
        found = card["returns"]["task"]
        agent = ZooAgent(
            task=card["task"]["description"],
            algo=card["algorithm"]["name"],
            method=card["method"]["name"],
            parent=by_digest.get(card["parent_sha256"]),
            mean=found["mean"],
            low=found["low"],
            high=found["high"],
            episodes=found["episodes"],
            path=PLACE / name,
        )
        table.add(
            name, agent, f"{card['title']}; returns {found['mean']:.4g} [{found['low']:.4g}, {found['high']:.4g}]"
        )
    return table


ZOO = _table(sorted(PLACE.glob("*.json")))
