"""The order in which batches are dealt out to workers, so that each compiles few programs and none is idle."""

from collections import deque
from collections.abc import Collection
from itertools import pairwise

from jaxrl_ft.sweeps.plan import Plan

Share = tuple[int, ...]
"""Numbers of batches that one worker trains, one after another."""


def shares(plan: Plan, skip: Collection[int] = ()) -> list[Share]:
    """The batches of a plan that go to one worker together, in order, without those whose cells are all finished.

    A cell in several batches stays with one worker. Such batches follow each other.
    """
    found: list[list[int]] = []
    before: set[int] = set()
    for number, batch in enumerate(plan.batches):
        cells = set(batch.cells)
        if cells.issubset(skip):
            continue
        if cells & before:
            found[-1].append(number)
        else:
            found.append([number])
        before = cells
    return [tuple(share) for share in found]


class Dealer:
    """Deals shares: to each worker those of a stretch of its own, and then the last of the longest stretch left.

    Neighbours in a plan have one program, so a worker compiles few of them, and none is idle while there is work.

    Args:
        shares: in order.
        count: workers; those that join later have no stretch of their own.
    """

    def __init__(self, shares: list[Share], count: int) -> None:
        bounds = [len(shares) * number // count for number in range(count + 1)]
        self._stretches = [deque(shares[first:last]) for first, last in pairwise(bounds)]

    def deal(self, number: int) -> Share | None:
        """What worker `number` is to train next; None when nothing is left."""
        if number < len(self._stretches) and self._stretches[number]:
            return self._stretches[number].popleft()
        longest = max(self._stretches, key=len)
        return longest.pop() if longest else None
