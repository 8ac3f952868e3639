"""What every method came to on every shift of the leaderboard, and what it lets one expect elsewhere.

Each run stands beside the signs that its agent showed on the target before anything was trained. What to expect of a
method where agents show other signs is a mean over its runs, weighted by how alike the signs are: the kernel
regression of Nadaraya 1964 (doi:10.1137/1109020) and Watson 1964 (Sankhya A 26, 359). Numpy only.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxrl_ft.core import checks
from jaxrl_ft.core.files import Json

Floats = NDArray[np.float64]

LEADERBOARD = Path(__file__).parent / "results" / "leaderboard.json"
ANCHOR = "full"
"""The method that has run on every shift, to which others are compared where they have not."""
UNTRAINED = "zero_shot"
"""The agents as they are."""
BANDWIDTHS = (0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.5)
"""Those that `fitted` chooses from."""
_SCALE = 1000
"""The file holds whole thousandths of the possible return."""


class Expected(NamedTuple):
    """What to expect of a method, as shares of the possible return."""

    area: float
    """area under the target's learning curve over the budget, in the mean over the agents asked about"""
    low: float
    """2.5% of the runs behind it, weighted as they are, lie below"""
    high: float
    """2.5% lie above"""
    end: float
    """return at the end of the budget"""
    kept: float
    """return on the source afterwards, as a share of that before"""
    covered: float
    """weight of the shifts on which the method has run; what is missing is filled in from `full`, see `expected`"""
    runs: int
    """runs of the method in the evidence"""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """M methods on T shifts of one environment with A agents each, with F signs measured on each agent."""

    environment: str
    """the simulator of all its tasks, such as `CartPole`"""
    methods: tuple[str, ...]
    shifts: tuple[str, ...]
    signs: tuple[str, ...]
    """names of the signs"""
    points: Floats
    """signs of every agent on every shift, [T, A, F]"""
    areas: Floats
    """shares of the possible return, [M, T, A]; NaN where a method has not run"""
    ends: Floats
    """mean return at the end, as a share of the possible, [M, T]"""
    kept: Floats
    """mean return on the source after training as a share of that before, [M, T]"""
    settings: Mapping[str, Mapping[str, float]]
    """what tuning chose for each method, by the dotted path of the field"""
    steps: int
    """environment steps of the budget"""
    bandwidth: float = 0.6
    """distance at which a run's weight has fallen to exp(-1/2), in typical differences of a sign"""

    def without(self, shifts: Sequence[str]) -> "Evidence":
        """The evidence of the other shifts.

        Raises:
            ValueError: an unknown shift, or none is left.
        """
        for shift in shifts:
            checks.choice("shifts", shift, self.shifts)
        keep = [i for i, shift in enumerate(self.shifts) if shift not in shifts]
        if not keep:
            raise ValueError("shifts: nothing would be left of the evidence")
        names = tuple(self.shifts[i] for i in keep)
        parts = {name: getattr(self, name)[:, keep] for name in ("areas", "ends", "kept")}
        return dataclasses.replace(self, shifts=names, points=self.points[keep], **parts)


def weights(evidence: Evidence, signs: ArrayLike) -> Floats:
    """The weight of every run of the evidence for each of S agents, [S, T, A]; those of an agent sum to one.

    With signs x_f of the agent and y_f of the run, spreads s_f of the signs over the evidence and bandwidth h,

        w = exp(-d² / 2h²) / sum,    d² = mean_f ((x_f - y_f) / s_f)².

    Args:
        evidence: the runs.
        signs: [S, F].

    Raises:
        ValueError: another number of signs, or one that is not finite.
    """
    asked = np.asarray(signs, np.float64)
    if asked.ndim != 2 or asked.shape[1] != len(evidence.signs) or not len(asked):
        raise ValueError(f"signs: shape {asked.shape} is not allowed; it must be [S, {len(evidence.signs)}]")
    if not np.isfinite(asked).all():
        raise ValueError(f"signs: {int((~np.isfinite(asked)).sum())} entries are not finite")
    exponent = -(_distances(evidence, asked) ** 2) / (2.0 * evidence.bandwidth**2)
    # The nearest run has weight 1 before they are normalised, so that far away it alone counts and nothing underflows.
    found = np.exp(exponent - exponent.max(axis=(1, 2), keepdims=True))
    return np.asarray(found / found.sum(axis=(1, 2), keepdims=True))


def distance(evidence: Evidence, signs: ArrayLike) -> float:
    """How far S agents with signs [S, F] are from the nearest run, in typical differences of a sign, in the mean."""
    return float(_distances(evidence, np.asarray(signs, np.float64)).min(axis=(1, 2)).mean())


def _distances(evidence: Evidence, asked: Floats) -> Floats:
    # A sign that is the same everywhere has no weight.
    spread = evidence.points.std(axis=(0, 1))
    told = spread > 1e-9
    apart = (asked[:, None, None] - evidence.points)[..., told] / spread[told]
    return np.sqrt(np.square(apart).mean(axis=-1)) if told.any() else np.zeros(apart.shape[:-1])


def expected(evidence: Evidence, signs: ArrayLike) -> dict[str, Expected]:
    """What to expect of every method, by name, in the mean over S agents with signs [S, F].

    A method that has not run on every shift is taken to differ from `full` there as it does elsewhere: with weights w
    of the runs, of which it has those in C,

        area = sum w full + (sum_C w (method - full)) / sum_C w,

    which is the plain weighted mean where it has run on all.

    Raises:
        ValueError: signs that are not allowed, or `full` has not run on every shift.
    """
    share = weights(evidence, signs).mean(axis=0).ravel()
    areas = evidence.areas.reshape(len(evidence.methods), -1)
    there = np.isfinite(areas)
    area, end = (np.clip(_filled(evidence, values, share), 0.0, 1.0) for values in (evidence.areas, evidence.ends))
    kept = np.maximum(_filled(evidence, evidence.kept, share), 0.0)
    low, high = _quantiles(areas, share)
    columns = area, np.minimum(low, area), np.maximum(high, area), end, kept, np.where(there, share, 0.0).sum(axis=1)
    rows = zip(*(column.tolist() for column in columns), there.sum(axis=1).tolist())
    return {name: Expected(*row) for name, row in zip(evidence.methods, rows)}


def _filled(evidence: Evidence, shares: Floats, share: Floats) -> Floats:
    """What is expected of every method, [M], from values of each run [M, T, A] or of each shift [M, T]."""
    each = shares if shares.ndim == 3 else np.broadcast_to(shares[:, :, None], evidence.areas.shape)
    values = each.reshape(len(each), -1)
    anchor = values[evidence.methods.index(ANCHOR)]
    if not np.isfinite(anchor).all():
        raise ValueError(f"evidence: {ANCHOR} must have run on every shift")
    there = np.isfinite(values)
    own = np.where(there, share, 0.0)
    # Where all the weight is on other shifts, what it has counts alike.
    own = np.where(own.sum(axis=1, keepdims=True) > 1e-12, own, there)
    apart = np.where(there, values - anchor, 0.0)
    found: Floats = share @ anchor + (own * apart).sum(axis=1) / own.sum(axis=1)
    return found


def _quantiles(values: Floats, share: Floats) -> tuple[Floats, Floats]:
    """The smallest of each row of values [M, N] at or below which 2.5% and 97.5% of its weight lie, [M] each.

    What is NaN has no weight; where nothing else has any, all count alike.
    """
    there = np.isfinite(values)
    weight = np.where(there, share, 0.0)
    weight = np.where(weight.sum(axis=1, keepdims=True) > 0, weight, there)
    order = np.argsort(values, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1) / weight.sum(axis=1, keepdims=True)
    ranked = np.take_along_axis(values, order, axis=1)
    last = there.sum(axis=1) - 1
    low, high = (np.minimum((reached < level).sum(axis=1), last) for level in (0.025, 0.975))
    rows = np.arange(len(values))
    return ranked[rows, low], ranked[rows, high]


def left_out_error(evidence: Evidence) -> float:
    """Mean absolute error of the area expected of every method on each shift from those of the others alone."""
    errors = []
    for number, shift in enumerate(evidence.shifts):
        rest = evidence.without([shift])
        share = weights(rest, evidence.points[number]).mean(axis=0).ravel()
        error = np.abs(np.clip(_filled(rest, rest.areas, share), 0.0, 1.0) - evidence.areas[:, number].mean(axis=1))
        errors.append(error[np.isfinite(error)])
    return float(np.concatenate(errors).mean())


def fitted(evidence: Evidence) -> Evidence:
    """The evidence with the bandwidth of `BANDWIDTHS` that has the smallest `left_out_error`."""
    tried = [dataclasses.replace(evidence, bandwidth=bandwidth) for bandwidth in BANDWIDTHS]
    return min(tried, key=left_out_error)


def to_json(evidence: Evidence) -> dict[str, Json]:
    """The evidence as it is kept: shares in whole thousandths, None where a method has not run."""

    def whole(values: Floats) -> list[Json]:
        kept = np.rint(_SCALE * values)
        return [None if np.isnan(row).any() else np.asarray(row, int).tolist() for row in kept]

    return {
        **{name: getattr(evidence, name) for name in ("environment", "steps", "bandwidth", "signs", "shifts")},
        "points": np.round(evidence.points, 4).tolist(),
        "methods": {
            name: {
                "settings": dict(evidence.settings[name]),
                **{key: whole(getattr(evidence, key)[i]) for key in ("ends", "kept", "areas")},
            }
            for i, name in enumerate(evidence.methods)
        },
    }


def from_json(kept: Mapping[str, Json]) -> Evidence:
    """The evidence that `to_json` wrote."""
    methods, agents = kept["methods"], np.shape(kept["points"])[1]

    def shares(name: str, missing: Json) -> Floats:
        rows = [[missing if row is None else row for row in entry[name]] for entry in methods.values()]
        return np.array(rows, np.float64) / _SCALE

    return Evidence(
        environment=kept["environment"],
        methods=tuple(methods),
        shifts=tuple(kept["shifts"]),
        signs=tuple(kept["signs"]),
        points=np.array(kept["points"], np.float64),
        areas=shares("areas", [np.nan] * agents),
        ends=shares("ends", np.nan),
        kept=shares("kept", np.nan),
        settings={name: entry["settings"] for name, entry in methods.items()},
        steps=int(kept["steps"]),
        bandwidth=float(kept["bandwidth"]),
    )


@functools.cache
def leaderboard() -> Evidence:
    """The evidence that travels with the package, from `experiments/advise.py`."""
    return from_json(json.loads(LEADERBOARD.read_text(encoding="utf-8")))
