"""Transfer metrics in closed form, over one curve [K] or many [..., K] of mean greedy returns.

Jumpstart, asymptotic performance, transfer ratio and time to threshold are those of Taylor and Stone 2009, "Transfer
learning for reinforcement learning domains" (JMLR 10, 1633-1685); forward transfer is Continual World's (Wolczyk et al.
2021, arXiv 2105.10919). Time is counted in env steps of the target from the start of the budget: a curve whose first
point comes later (the method paid for a probe) had its first value from step 0.
"""

import numpy as np
from numpy.typing import ArrayLike

from jaxrl_ft.core.curves import Estimate, curve_and_steps, held_from_zero, per_step
from jaxrl_ft.core.curves import area_under_curve as area_under_curve


def jumpstart(curve: ArrayLike, scratch_curve: ArrayLike) -> Estimate:
    """How much higher the curve starts than scratch's, [...], in units of return (Taylor and Stone)."""
    return np.asarray(curve, np.float64)[..., 0] - np.asarray(scratch_curve, np.float64)[..., 0]


def asymptotic(curve: ArrayLike) -> Estimate:
    """The last point of the curve, [...]: performance at the end of the budget (Taylor and Stone)."""
    return np.asarray(curve, np.float64)[..., -1]


def transfer_ratio(auc: ArrayLike, auc_scratch: ArrayLike) -> Estimate:
    """Area over scratch's area, [...] (Taylor and Stone's total-reward ratio; some subtract 1).

    NaN where scratch's area is not positive: a ratio of such returns means nothing.
    """
    ours, scratch = np.broadcast_arrays(np.asarray(auc, np.float64), np.asarray(auc_scratch, np.float64))
    return np.where(scratch > 0, ours / np.where(scratch > 0, scratch, 1.0), np.nan)[()]


def forward_transfer(
    auc: ArrayLike, auc_scratch: ArrayLike, return_range: tuple[float, float], least_room: float = 0.01
) -> tuple[Estimate, Estimate]:
    """Continual World's forward transfer (A - A_b) / (1 - A_b) on areas scaled to [0, 1], and where it was clipped.

    At most 1 (nothing left to gain); 0 equals scratch. It is undefined where scratch leaves no room (A_b = 1), so the
    room 1 - A_b is clipped from below; the second result [...] is True there, to be counted beside the mean.

    Args:
        auc: areas [...], in units of return.
        auc_scratch: scratch's areas [...].
        return_range: the lowest and highest possible return of the task.
        least_room: smallest room, as a share of the range.

    Raises:
        ValueError: an empty return range.
    """
    low, high = return_range
    if not low < high:
        raise ValueError(f"return_range: {return_range!r} is not allowed; its first number must be below its second")
    ours = (np.asarray(auc, np.float64) - low) / (high - low)
    scratch = (np.asarray(auc_scratch, np.float64) - low) / (high - low)
    room = 1.0 - scratch
    return (ours - scratch) / np.maximum(room, least_room), room < least_room


def forgetting(before: ArrayLike, after: ArrayLike) -> Estimate:
    """Source return lost, before - after, [...]: negative where fine-tuning helped the source."""
    return np.asarray(before, np.float64) - np.asarray(after, np.float64)


def dip_area(curve: ArrayLike, curve_steps: ArrayLike, zero_shot: ArrayLike) -> Estimate:
    """Area between the zero-shot return and the curve where the curve is below, over the final step count, [...].

    In units of return: the return given up on average over the budget by not leaving the policy alone. Exact for the
    piecewise linear curve, crossings included.

    Args:
        curve: returns [..., K].
        curve_steps: env steps [K] or [..., K].
        zero_shot: the untouched policy's return, a scalar or [...].
    """
    values, steps = curve_and_steps(curve, curve_steps)
    held, held_steps = held_from_zero(np.asarray(zero_shot, np.float64)[..., None] - values, steps)
    above, width = np.maximum(held, 0.0), np.diff(held_steps, axis=-1)
    rise = np.abs(np.diff(held, axis=-1))
    crossing = held[..., 1:] * held[..., :-1] < 0
    triangle = np.maximum(above[..., 1:], above[..., :-1]) ** 2 / np.where(crossing, 2.0 * rise, 1.0)
    area = (width * np.where(crossing, triangle, (above[..., 1:] + above[..., :-1]) / 2.0)).sum(axis=-1)
    return per_step(area, above, steps)


def time_to_threshold(curve: ArrayLike, curve_steps: ArrayLike, threshold: float) -> tuple[Estimate, Estimate]:
    """Env steps at the first evaluation that reaches the threshold, [...], and whether that was censored, [...].

    A run that never reaches it is right-censored at its final step count: its true time is longer, and leaving it out
    would favour methods that fail (use `kaplan_meier_quantile` for a group).
    """
    values, steps = curve_and_steps(curve, curve_steps)
    reached = values >= threshold
    first = np.where(reached.any(axis=-1), reached.argmax(axis=-1), steps.shape[-1] - 1)
    time = np.take_along_axis(steps, first[..., None], axis=-1)[..., 0]
    return time[()], ~reached.any(axis=-1)


def kaplan_meier(times: ArrayLike, censored: ArrayLike) -> tuple[Estimate, Estimate]:
    """Event times [E], ascending, and the estimated share S [E] of runs that take longer than each.

    S(t) is the product over event times u <= t of 1 - d_u / n_u: d_u runs reach the threshold at u, of n_u whose time
    or censoring is u or later (Kaplan and Meier 1958, JASA 53, 457-481).

    Raises:
        ValueError: no runs, NaN times, or shapes that differ.
    """
    time, cut_off = np.asarray(times, np.float64).ravel(), np.asarray(censored, bool).ravel()
    if time.size == 0 or time.shape != cut_off.shape or np.isnan(time).any():
        raise ValueError(f"times: {np.shape(times)} with censored {np.shape(censored)} must be one number for each run")
    events, reached = np.unique(time[~cut_off], return_counts=True)
    at_risk = (time[None, :] >= events[:, None]).sum(axis=1)
    return events, np.cumprod(1.0 - reached / at_risk)


def kaplan_meier_quantile(times: ArrayLike, censored: ArrayLike, quantile: float = 0.5) -> float:
    """The smallest time by which a share `quantile` of runs has reached the threshold; infinite if none is known."""
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile: {quantile!r} is not allowed; it must be in (0, 1)")
    events, survival = kaplan_meier(times, censored)
    # a product of exact fractions misses 1 - quantile by rounding
    enough = survival <= 1.0 - quantile + 1e-12
    return float(events[enough.argmax()]) if enough.any() else float("inf")


def kaplan_meier_median(times: ArrayLike, censored: ArrayLike) -> float:
    """The median time to threshold of a group with censored runs; infinite if fewer than half are known to reach it."""
    return kaplan_meier_quantile(times, censored, 0.5)
