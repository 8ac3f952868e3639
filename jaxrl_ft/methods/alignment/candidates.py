"""The candidates: meanings of sensors and actions that are tried."""

from itertools import permutations, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# Beyond so many, every order (or sign) would be too many to try; actions are then also reversed.
_MOST_ORDERED, _MOST_SIGNED, _MOST_ACTIONS = 4, 6, 3


class Readings(NamedTuple):
    """Candidates, as in `Realignment`."""

    order: NDArray[np.int64]
    """[C, O]"""
    scale: Floats
    """[C, O], below 0 of reversed sensors"""
    actions: NDArray[np.int64]
    """[C, A]"""

    def take(self, rows: Any) -> "Readings":
        """Return the candidates with these indices."""
        return Readings(*(part[rows] for part in self))


def orders_and_signs(size: int) -> tuple[list[tuple[int, ...]], list[tuple[float, ...]]]:
    """Every order and every choice of signs of so many sensors, no change first."""
    orders = list(permutations(range(size))) if size <= _MOST_ORDERED else [tuple(range(size))]
    signs = list(product([1.0, -1.0], repeat=size)) if size <= _MOST_SIGNED else [(1.0,) * size]
    return orders, signs


def action_maps(num_actions: int, continuous: bool) -> NDArray[np.int64]:
    """Every candidate [K, A], no change first."""
    usual = np.arange(num_actions)
    if continuous:
        signs = [np.ones_like(usual), -np.ones_like(usual)]
        return np.array(list(product([1, -1], repeat=num_actions)) if num_actions <= _MOST_ACTIONS else signs)
    return np.array(list(permutations(usual)) if num_actions <= _MOST_ACTIONS else [usual, usual[::-1]])


def not_tried(size: int, num_actions: int) -> tuple[str, ...]:
    """Name the kinds of change that have too many candidates to try."""
    untried = {
        f"orders of {size} sensors": size > _MOST_ORDERED,
        f"reversed signs of {size} sensors": size > _MOST_SIGNED,
        f"changes of {num_actions} actions but their reversal": num_actions > _MOST_ACTIONS,
    }
    return tuple(what for what, so in untried.items() if so)
