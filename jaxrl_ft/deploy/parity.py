"""Whether two policies are the same: observations to compare them on, bounds and extremes included, and how near."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.deploy.description import Description, Floats, Normalize

Mask: TypeAlias = NDArray[np.bool_]
TOLERANCE = 1e-5
"""How far outputs may be apart, of the largest of a row where that is above 1; also the margin below which the choice
among discrete actions may differ."""
_WIDE, _HUGE, _TINY = 30.0, 1e30, 1e-40
_DRAWS, _NUDGE = 4, 2.0**-22
_ORDERS = 8.0
"""How many times the rounding error of one program that of another may be, which sums in another order."""


def observations(description: Description, num: int, seed: int) -> Floats:
    """Observations [num, O] around those that the policy knows, far outside of them, and at the ends of 32 bits.

    Half of them are normal around the mean of the normaliser, a quarter 30 times as wide. Of the others most have one
    entry of up to 1e30 or a denormal one, and the last are zero, the largest number, and the limits of the clip.

    Args:
        description: gives the size, and the normaliser if there is one.
        num: how many.
        seed: a Python int.
    """
    rng, size = np.random.default_rng(seed), description.obs_size
    mean, scale, clip = np.zeros(size), np.ones(size), 10.0
    if description.steps and isinstance(first := description.steps[0], Normalize):
        mean, scale, clip = first.mean.astype(float), first.scale.astype(float), min(first.clip, 1e6)
    wide = np.where(np.arange(num) < num // 2, 1.0, _WIDE)[:, None]
    found = mean + wide * rng.standard_normal((num, size)) / scale
    ends = np.stack([mean + sign * factor * clip / scale for sign in (-1, 1) for factor in (1 - 1e-6, 1, 1 + 1e-6)])
    corners = [ends, np.zeros((1, size)), np.full((2, size), [[_TINY], [-_TINY]])]
    one = slice(num * 3 // 4, num)
    rows = np.arange(one.start, one.stop)
    size_of_it = 10.0 ** rng.uniform(-42, np.log10(_HUGE), len(rows)) * rng.choice([-1, 1], len(rows))
    found[rows, rng.integers(size, size=len(rows))] = size_of_it
    last = np.concatenate(corners)[: max(0, num // 8)]
    found[num - len(last) :] = last
    return found.astype(np.float32)


def unsure(description: Description, obs: Floats) -> Floats:
    """How far outputs [M, 1] move by rounding errors, of observations and of layers: no two programs agree better."""
    exact, rng = description.policy(np.float64), np.random.default_rng(0)
    outputs = exact.outputs(obs)
    moved = np.zeros((len(obs), 1))
    for _ in range(_DRAWS):
        nudged = obs.astype(float) * (1 + _NUDGE * rng.uniform(-1, 1, obs.shape))
        with np.errstate(invalid="ignore"):
            moved = np.fmax(moved, np.abs(exact.outputs(nudged) - outputs).max(axis=-1, keepdims=True))
    with np.errstate(invalid="ignore"):
        # A layer norm whose inputs hardly differ enlarges what the layers before it round.
        rounded = np.abs(description.policy().outputs(obs) - outputs).max(axis=-1, keepdims=True)
    return np.asarray(2 * moved + _ORDERS * np.nan_to_num(rounded, nan=0.0, posinf=0.0), np.float32)


def apart(description: Description, obs: Floats, ours: Floats, theirs: Floats) -> Floats:
    """How far outputs [M, A] are apart in each row, in tolerances; at most 1 is the same, [M].

    Rows whose outputs are not finite in both count as the same.
    """
    largest = np.abs(theirs).max(axis=-1, keepdims=True)
    allowed = TOLERANCE * np.maximum(1, largest) + unsure(description, obs)
    with np.errstate(invalid="ignore"):
        found = (np.abs(ours - theirs) / allowed).max(axis=-1)
    ours_finite, theirs_finite = _finite(ours), _finite(theirs)
    odd = np.where(ours_finite == theirs_finite, 0.0, np.inf)
    return np.where(ours_finite & theirs_finite, found, odd).astype(np.float32)


def decided(description: Description, obs: Floats, outputs: Floats) -> Mask:
    """Rows [M] in which the best discrete action is ahead of the next by more than the tolerance."""
    finite = _finite(outputs)
    if outputs.shape[-1] == 1:
        return finite
    ordered = np.sort(outputs, axis=-1)
    largest = np.maximum(1, np.abs(outputs).max(axis=-1))
    allowed = TOLERANCE * largest + 2 * unsure(description, obs)[:, 0]
    with np.errstate(invalid="ignore"):
        ahead: Mask = np.greater(ordered[..., -1] - ordered[..., -2], allowed)
    return finite & ahead


def _finite(outputs: Floats) -> Mask:
    """Rows [M] whose entries [M, A] are all finite."""
    return np.asarray(np.isfinite(outputs).all(axis=-1), bool)


def check(
    description: Description,
    act: Callable[[Floats], Floats],
    scores: Callable[[Floats], Floats],
    obs: Floats,
) -> None:
    """Refuse a description that is not the policy.

    Args:
        description: of the policy.
        act: the policy.
        scores: what the policy makes its actions from.
        obs: where they are compared, [M, O].

    Raises:
        ValueError: outputs or actions differ; says by how much.
    """
    policy = description.policy()
    outputs = policy.outputs(obs)
    difference = apart(description, obs, outputs, np.asarray(scores(obs)) * np.float32(description.temperature))
    differing = actions_apart(description, obs, outputs, policy(obs), act(obs))
    if difference.max() > 1 or differing.any():
        raise ValueError(
            f"agents: the description is not the policy: outputs are up to {difference.max():.3g} tolerances of "
            f"{TOLERANCE:g} apart, and {int(differing.sum())} of {len(obs)} actions differ"
        )


def actions_apart(description: Description, obs: Floats, outputs: Floats, ours: Floats, theirs: Floats) -> Mask:
    """Rows [M] whose actions differ where they must not.

    Args:
        description: says of which kind actions are.
        obs: [M, O].
        outputs: [M, A], which discrete actions are chosen from.
        ours: actions [M] or [M, A].
        theirs: likewise.
    """
    if description.bounds is not None:
        differing: Mask = apart(description, obs, ours, theirs) > 1
    else:
        differing = decided(description, obs, outputs) & (ours != theirs)
    return differing
