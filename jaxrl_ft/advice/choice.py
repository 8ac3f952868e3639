"""Which method to fine-tune with: what agents showed on a target, held against the evidence, in numbers and words."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.advice.evidence import ANCHOR, UNTRAINED, Evidence, distance, expected, weights
from jaxrl_ft.analysis.report.tables import format_interval, format_number
from jaxrl_ft.core import checks
from jaxrl_ft.core.files import Json
from jaxrl_ft.core.types import PyTree

Signs = Mapping[str, NDArray[np.float64]]

WORTH = 0.01
"""Share of the possible return that a method must be expected to gain in the mean over the budget: to leave the agents
as they are costs nothing."""
_SAME = 1e-6
"""Signs of change up to this size are none."""
_FAR = 2.0
"""Bandwidths from the nearest run beyond which the evidence is called far."""
_CHANGES = ("changed_meaning", "state_kl", "entropy", "value_error", "gradient")
_COVERED = 0.75
"""Weight of the shifts on which a method has run below which it is not advised while another method is covered."""
_SHOWN = 6
_REFERENCES = (UNTRAINED, "scratch", ANCHOR)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What is expected of a method, as returns on the target."""

    method: str
    area: float
    """mean return over the budget, in the mean over the agents"""
    low: float
    """2.5% of the runs behind it are below, weighted by how alike their signs are"""
    high: float
    """2.5% are above"""
    end_return: float
    """return at the end of the budget"""
    source_kept: float
    """return on the source afterwards, as a share of that before"""
    shifts: tuple[tuple[str, float], ...]
    """the shifts that it is taken from, with the weight of each, heaviest first; none where it was measured"""
    runs: int
    """runs behind it"""
    covered: float
    """weight of the shifts on which it has run; on the others it is guessed from `full`"""
    allowed: bool
    """whether it keeps what is asked of the source return, and is covered by at least three quarters where any is"""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Advice:
    """A method for some agents and a target, with what speaks for it; `str` of it is a page to read."""

    method: str
    """name in `ft.METHODS`; `zero_shot` where the agents had better be left as they are"""
    settings: Mapping[str, float]
    """the numbers that the evidence is of, by the dotted path of the field"""
    reason: str
    """in plain words"""
    evidence: tuple[Candidate, ...]
    """every method that was to choose from, best first, and `zero_shot`"""
    probe: Signs
    """what was measured, by agent, [S] each"""
    env_steps: NDArray[np.int64]
    """environment steps on the target that the probe took, [S]; take them from the budget"""
    source_steps: NDArray[np.int64]
    """environment steps on the source, [S]"""
    recipe: PyTree = None
    """the `ft.Method` of that name with those numbers"""

    def sentence(self) -> str:
        """The method and the reason, in a sentence or two."""
        return f"{self.method}: {self.reason}"

    def __repr__(self) -> str:
        """The method and the reason."""
        return f"Advice: {self.sentence()}"

    def __str__(self) -> str:
        """The advice, the candidates and the probe, in lines of about 100 characters."""
        shown = [row for i, row in enumerate(self.evidence) if i < _SHOWN or row.method in (UNTRAINED, ANCHOR)]
        lines = [_line(row) for row in shown]
        headings = ["method", "expected area [95% of runs]", "at the end", "source kept", "taken from"]
        table = [headings, *lines]
        width = [max(len(line[i]) for line in table) for i in range(len(headings))]
        text = ["  ".join(cell.ljust(size) for cell, size in zip(line, width)).rstrip() for line in table]
        left = len(self.evidence) - len(shown)
        return "\n".join(
            [
                self.sentence(),
                *(f"  {line}" for line in text),
                *([f"  and {left} more in `.evidence`"] if left else []),
                *(["  (in brackets: not allowed)"] if any(not row.allowed for row in shown) else []),
                f"probe: {_measured(self.probe)}",
                f"it took {int(np.max(self.env_steps)):,} env steps of each agent on the target and "
                f"{int(np.max(self.source_steps)):,} on the source at most; nothing was trained",
            ]
        )


def choose(
    evidence: Evidence,
    probe: Signs,
    methods: Sequence[str],
    return_range: tuple[float, float],
    keep_source: float = 0.0,
    steps: int = 20_480,
) -> Advice:
    """The advice for agents that showed these signs; what they took is to be filled in.

    The method with the largest expected area is advised, among those expected to keep `keep_source` of the source
    return and that have run where most of the weight lies, if there are any such. But `zero_shot` is where it is
    expected to gain no more than 1% of the possible return on the untouched agents, whose return was measured, and
    where nothing on the target differs from the source at all.

    Args:
        evidence: what is known.
        probe: signs by name, [S] each, those of the evidence and `source` among them.
        methods: names to choose from; `zero_shot` always may be advised.
        return_range: lowest and highest possible return on the target.
        keep_source: share of the source return that must be expected to stay, 0 to 1.
        steps: environment steps of the budget, to say when the evidence is of another.

    Raises:
        ValueError: a method without evidence, none at all, or a share outside its range.
    """
    checks.number("keep_source", keep_source, 0.0, 1.0)
    if not methods:
        raise ValueError("methods: nothing is left to choose from")
    for name in methods:
        checks.choice("methods", name, (*evidence.methods, UNTRAINED))
    found = _candidates(evidence, probe, methods, return_range, keep_source)
    untouched = next(row for row in found if row.method == UNTRAINED)
    trained = [row for row in found if row.allowed and row.method != UNTRAINED]
    best = trained[0] if trained else None
    gain = best.area - untouched.area if best else 0.0
    if best is None or _unchanged(probe) or gain <= WORTH * (return_range[1] - return_range[0]):
        chosen, why = untouched, _why_not(found, best, probe, keep_source, return_range)
    else:
        chosen, why = best, _why(best, untouched, found, return_range)
    return Advice(
        method=chosen.method,
        settings=evidence.settings.get(chosen.method, {}),
        reason=" ".join([why, *_cautions(evidence, probe, steps)]),
        evidence=tuple(found),
        probe=probe,
        env_steps=np.zeros(1, np.int64),
        source_steps=np.zeros(1, np.int64),
    )


def outcome(advice: Advice, rows: Sequence[Mapping[str, Json]]) -> str:
    """What became of the advice, in a sentence.

    Args:
        advice: of before training.
        rows: the summary of a comparison on one target; the advised method is the row of its name, or of its name with
            the numbers that were changed behind it.
    """
    came = {str(row["method"]): float(row["auc"]) for row in rows}
    ours = next((name for name in came if name.split("+")[0] == advice.method and name not in _REFERENCES), None)
    ours = advice.method if ours is None else ours
    hoped = next(row for row in advice.evidence if row.method == advice.method)
    others = sorted((name for name in came if name != ours), key=lambda name: -came[name])
    verdict = "held" if all(came[ours] >= came[name] for name in others) else "did not hold"
    beside = ", ".join(f"{name} {format_number(came[name])}" for name in others)
    return (
        f"The advice {verdict}: {ours} was expected to come to {format_number(hoped.area)} and came to "
        f"{format_number(came[ours])} (interquartile mean over runs); beside it {beside}."
    )


def _candidates(
    evidence: Evidence, probe: Signs, methods: Sequence[str], return_range: tuple[float, float], keep_source: float
) -> list[Candidate]:
    """Every method with what is expected of it, best first, those that are not allowed last."""
    signs = _asked(evidence, probe)
    lowest, highest = return_range
    share = weights(evidence, signs).mean(axis=0).sum(axis=1)
    known = expected(evidence, signs)
    rows = []
    for name in dict.fromkeys(name for name in methods if name != UNTRAINED):
        one, number = known[name], evidence.methods.index(name)
        own = np.where(np.isfinite(evidence.areas[number]).any(axis=1), share, 0.0)
        order = np.argsort(-own, kind="stable")
        shifts = tuple((evidence.shifts[i], float(own[i])) for i in order if own[i] > 0)
        area, low, high, end = (lowest + value * (highest - lowest) for value in one[:4])
        kept = one.kept >= keep_source
        rows.append(Candidate(name, area, low, high, end, one.kept, shifts, one.runs, one.covered, kept))
    if any(row.allowed and row.covered >= _COVERED for row in rows):
        rows = [dataclasses.replace(row, allowed=row.allowed and row.covered >= _COVERED) for row in rows]
    measured = lowest + np.asarray(probe[UNTRAINED]) * (highest - lowest)
    low, high = (float(end) for end in np.quantile(measured, [0.025, 0.975]))
    mean = float(measured.mean())
    rows.append(Candidate(UNTRAINED, mean, low, high, mean, 1.0, (), len(measured), 1.0, True))
    return sorted(rows, key=lambda row: (not row.allowed, -row.area))


def _asked(evidence: Evidence, probe: Signs) -> NDArray[np.float64]:
    return np.stack([np.asarray(probe[name], np.float64) for name in evidence.signs], axis=1)


def _unchanged(probe: Signs) -> bool:
    """Whether the target shows nothing at all that the source does not."""
    apart = [np.asarray(probe[UNTRAINED]) - probe["source"], *(probe[name] for name in _CHANGES if name in probe)]
    return all(bool(np.all(np.abs(sign) <= _SAME)) for sign in apart)


def _why(best: Candidate, untouched: Candidate, found: Sequence[Candidate], return_range: tuple[float, float]) -> str:
    possible = format_number(return_range[1])
    nearest = " and ".join(f"{name} ({weight:.0%})" for name, weight in best.shifts[:2])
    after = [row for row in found if row.allowed and row.method not in (best.method, UNTRAINED)]
    then = f"; next is {after[0].method} with {format_number(after[0].area)}" if after else ""
    return (
        f"expected to reach {format_number(best.area)} of {possible} in the mean over the budget, where the untouched "
        f"agents reach {format_number(untouched.area)}{then}. What the probe saw is most like {nearest}."
    )


def _why_not(
    found: Sequence[Candidate],
    best: Candidate | None,
    probe: Signs,
    keep_source: float,
    return_range: tuple[float, float],
) -> str:
    untouched, *others = sorted(found, key=lambda row: row.method != UNTRAINED)
    reached = f"the untouched agents reach {format_number(untouched.area)} of {format_number(return_range[1])}"
    if _unchanged(probe):
        return f"do not train: the probe found no difference between target and source, and {reached}."
    if len(others) == 0:
        return f"do not train: there is no method to choose from; {reached}."
    if best is None:
        return f"do not train: no method is expected to keep {keep_source:.0%} of the source return, and {reached}."
    num = sum(row.allowed for row in others)
    return (
        f"do not train: {reached} already; {best.method}, the best of {num} methods, is expected to reach "
        f"{format_number(best.area)} in the mean over the budget."
    )


def _cautions(evidence: Evidence, probe: Signs, steps: int) -> list[str]:
    """What the reader should know of how far the evidence carries."""
    said = []
    apart = distance(evidence, _asked(evidence, probe))
    if apart > _FAR * evidence.bandwidth:
        said.append(f"The evidence is far from this target: {apart:.1f} typical differences from its nearest run.")
    if np.mean(probe["source"]) < 0.9:
        said.append(f"The evidence is of agents that solve their source; these reach {np.mean(probe['source']):.0%}.")
    if not 0.5 <= steps / evidence.steps <= 2.0:
        said.append(f"The evidence is of {evidence.steps:,} env steps, not of {steps:,}.")
    return said


def _line(row: Candidate) -> list[str]:
    shifts = ", ".join(f"{name} {weight:.0%}" for name, weight in row.shifts[:3])
    where = shifts or ("measured" if row.method == UNTRAINED else "no run near")
    where += "" if row.covered > 0.999 else f", {row.covered:.0%} covered"
    area = format_interval(row.area, row.low, row.high)
    name = row.method if row.allowed else f"({row.method})"
    return [name, area, format_number(row.end_return), f"{row.source_kept:.0%}", f"{where} ({row.runs} runs)"]


def _measured(probe: Signs) -> str:
    return ", ".join(f"{name} {np.mean(sign):.3g}" for name, sign in probe.items())
