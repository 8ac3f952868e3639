"""Learning curves: mean returns [..., K] at the env steps [..., K] that were spent by each evaluation.

Time is counted from the start of the budget: a curve whose first point comes later (the method paid for a probe) had
its first value from step 0.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
"""A NumPy array of float64."""
Estimate: TypeAlias = Any
"""A float, or an array where a function of scores gives one for each task, run or threshold."""


def curve_and_steps(curve: ArrayLike, curve_steps: ArrayLike) -> tuple[Floats, Floats]:
    """Return curve and steps as float64 arrays [..., K] of one shape.

    Raises:
        ValueError: no points, shapes that do not match, or steps that are negative or go back.
    """
    values, steps = np.asarray(curve, np.float64), np.asarray(curve_steps, np.float64)
    if values.ndim == 0 or values.size == 0 or steps.ndim == 0 or values.shape[-1] != steps.shape[-1]:
        raise ValueError(f"curve_steps: shape {steps.shape} is not allowed; it must match the curve's {values.shape}")
    if not (steps[..., 0] >= 0).all() or not (np.diff(steps, axis=-1) >= 0).all():
        raise ValueError("curve_steps: steps that are negative or decrease are not allowed; they count env steps spent")
    values, steps = np.broadcast_arrays(values, steps)
    return values, steps


def together(parts: Sequence[Floats]) -> Floats:
    """Stack curves, or their steps, [R, K] each, to [sum of R, longest K]; shorter ones repeat their last entry.

    A short budget has as many evaluations as updates; the last repeated adds no area.
    """
    longest = max(part.shape[1] for part in parts)
    return np.concatenate([part[:, np.minimum(np.arange(longest), part.shape[1] - 1)] for part in parts])


def held_from_zero(values: Floats, steps: Floats) -> tuple[Floats, Floats]:
    """Return the curve with its first value also at step 0, [..., K + 1]."""
    start = np.zeros_like(steps[..., :1])
    return np.concatenate([values[..., :1], values], axis=-1), np.concatenate([start, steps], axis=-1)


def per_step(area: Floats, values: Floats, steps: Floats) -> Estimate:
    """Divide the area by the final step count; where no step was spent, return the last value."""
    final = steps[..., -1]
    return np.where(final > 0, area / np.where(final > 0, final, 1.0), values[..., -1])[()]


def area_under_curve(curve: ArrayLike, curve_steps: ArrayLike) -> Estimate:
    """Return the trapezoid area of the curve over env steps, divided by the final step count: a return, [...].

    With R(s) linear between evaluations and R(s) = R(s_1) before the first: (1/s_K) * integral of R from 0 to s_K.

    Args:
        curve: returns [..., K].
        curve_steps: env steps spent on the target at each point, [K] or [..., K].
    """
    values, steps = curve_and_steps(curve, curve_steps)
    held, held_steps = held_from_zero(values, steps)
    area = (np.diff(held_steps, axis=-1) * (held[..., 1:] + held[..., :-1]) / 2.0).sum(axis=-1)
    return per_step(area, values, steps)
