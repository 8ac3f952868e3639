"""The input of a report, its figures, and the words for how many runs there are and how intervals were made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from numpy.typing import ArrayLike

from jaxrl_ft.analysis.figures.palette import Look, looks
from jaxrl_ft.analysis.figures.style import Paper
from jaxrl_ft.analysis.marks import code
from jaxrl_ft.analysis.report.measurements import Animation, Measurements
from jaxrl_ft.analysis.report.tables import format_interval, runs_in_words
from jaxrl_ft.analysis.statistics.resampling import REPETITIONS
from jaxrl_ft.analysis.statistics.standings import Standing
from jaxrl_ft.analysis.statistics.summary import Row, best_first

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BOOTSTRAP = (
    "{what}: 95% percentile bootstrap, {repetitions:,} resamples of pretrained agents and then of runs within agents"
)


@dataclass(frozen=True)
class About:
    """What was run, in words that may hold `code` between backticks.

    Attributes:
        source: the source task.
        title: first heading.
        targets: target name -> its shift.
        budgets: name -> amount, such as {"fine-tuning env steps": 20_480}; whole numbers get commas.
        seeds: name -> value, such as {"runs": 16, "seed": 3}; written as they are.
        versions: package -> version.
        hardware: part of the machine -> what it is.
        notes: further sentences.
        repetitions: resamples behind the intervals.
    """

    source: str
    title: str = "Fine-tuning report"
    targets: Mapping[str, str] = field(default_factory=dict)
    budgets: Mapping[str, object] = field(default_factory=dict)
    seeds: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    hardware: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    repetitions: int = REPETITIONS


class Panel(NamedTuple):
    """One figure with its heading, its caption and its alternative text."""

    key: str
    """its id in the page"""
    section: str
    """heading that it shares with figures of its kind"""
    title: str
    """its own heading, where there are several of its kind"""
    caption: str
    """Markdown"""
    alt: str
    """what it shows, for those who do not see it"""
    draw: Callable[[Paper], "Figure"] | None
    """None for an animation"""
    animation: Animation | None = None
    wide: bool = False
    """whether a phone has to scroll it, for want of room"""


class LeftOut(NamedTuple):
    """A figure that cannot be drawn, and why."""

    title: str
    why: str


class Story(NamedTuple):
    """What all figures of a report are made of."""

    rows: Sequence[Row]
    """of `summarise`"""
    runs: Sequence[Row]
    curves: ArrayLike
    """[R, K]"""
    curve_steps: ArrayLike
    """[R, K]"""
    texts: Mapping[str, str]
    """targets in words, by name"""
    measurements: Measurements
    repetitions: int
    seed: int

    @property
    def targets(self) -> list[str]:
        """The targets, in their order."""
        return list(dict.fromkeys(row["target"] for row in self.rows))

    @property
    def looks(self) -> dict[str, Look]:
        """How every method looks."""
        return looks(best_first(self.runs))

    def bootstrap(self, what: str, repetitions: int | None = None) -> str:
        """How intervals were made, in words."""
        return BOOTSTRAP.format(what=what, repetitions=repetitions or self.repetitions)

    def episodes(self) -> str:
        """How curves end beside the tables, in words; empty where the runs have no number of episodes."""
        first = self.runs[0]
        if "episodes" not in first or "eval_episodes" not in first:
            return ""
        return (
            f"Points are means over {first['eval_episodes']} greedy episodes of each run, returns in tables over "
            f"{first['episodes']} others, so that a curve may end a little beside them. "
        )

    def where(self) -> str:
        """`on each of 6 shifts`, or the name of the only one."""
        return f"on each of {len(self.targets)} shifts" if len(self.targets) > 1 else f"on {code(self.targets[0])}"


def counted(standings: Sequence[Standing]) -> str:
    """How many runs of each method and how many agents, in words."""
    agents = max(standing.agents for standing in standings)
    return f"{runs_in_words([s.runs for s in standings])} of each from {agents} pretrained agent{'s' * (agents != 1)}"


def which_methods(chosen: Sequence[str], ranking: Sequence[Standing]) -> str:
    """How many methods are shown of how many, in words; empty when all are."""
    hidden = len(ranking) - len(chosen)
    return f"of {len(ranking)} methods the {len(chosen)} that are named, the best by AUC; " if hidden else ""


def listed(ranked: Sequence[Standing]) -> str:
    """Every method with its number and interval."""
    return ", ".join(f"{standing.method} {format_interval(*standing.estimate)}" for standing in ranked)
