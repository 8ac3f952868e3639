"""A sweep that several processes share: process 0 deals out batches and takes in cells; the others ask and send."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from typing import Any

from jaxrl_ft.sweeps.links import Link
from jaxrl_ft.sweeps.plan import Plan
from jaxrl_ft.sweeps.processes import Team

Share = tuple[int, ...]
"""Numbers of batches that one process trains, one after another"""
Receiver = Callable[[Any, bytes], None]
"""Called with what a process sent about a finished cell."""
Told = Callable[[str], None]
"""Called with one line when the sweep cannot go on."""


def shares(plan: Plan, skip: Collection[int] = ()) -> list[Share]:
    """The batches of a plan that go to one process together, in order; those whose cells are all finished are left out.

    A cell in several batches stays with one process. Such batches follow each other.
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
    """Deals shares: to each process those of a stretch of its own, and then the last of the longest stretch left.

    Neighbours in a plan have one program, so a process compiles few of them, and none is idle while there is work.

    Args:
        shares: in order.
        count: processes.
    """

    def __init__(self, shares: list[Share], count: int) -> None:
        bounds = [len(shares) * number // count for number in range(count + 1)]
        self._stretches = [deque(shares[first:last]) for first, last in pairwise(bounds)]
        self._dealing = threading.Lock()

    def deal(self, number: int) -> Share | None:
        """What process `number` is to train next; None when nothing is left."""
        with self._dealing:
            if self._stretches[number]:
                return self._stretches[number].popleft()
            longest = max(self._stretches, key=len)
            return longest.pop() if longest else None


class Lead:
    """Process 0's part: it answers the others while it trains itself.

    Args:
        team: of process 0.
        dealer: of the shares.
        take: called, by several threads, with each cell that another process finished.
        stop: called by a thread of its own when another process fails or is lost.
    """

    def __init__(self, team: Team, dealer: Dealer, take: Receiver, stop: Told) -> None:
        self._team, self._dealer, self._take, self._stop = team, dealer, take, stop
        self._threads = [threading.Thread(target=self._serve, args=(link,), daemon=True) for link in team.links]

    def begin(self, words: Any, body: bytes) -> None:
        """Nothing; the others then know what they need to start."""
        for link, thread in zip(self._team.links, self._threads):
            link.send(words, body)
            thread.start()

    def batches(self) -> Iterator[int]:
        """Numbers of the batches that this process trains."""
        while (share := self._dealer.deal(0)) is not None:
            yield from share

    def wait(self) -> None:
        """Nothing, once the others have nothing left to do."""
        for thread in self._threads:
            thread.join()

    def _serve(self, link: Link) -> None:
        number = self._team.links.index(link) + 1
        try:
            while True:
                words, body = link.receive()
                if "cell" in words:
                    self._take(words["cell"], body)
                elif "failed" in words:
                    self._stop(f"{link.name} ended: {words['failed']}")
                    return
                else:
                    share = self._dealer.deal(number)
                    link.send({"share": share})
                    if share is None:
                        return
        except OSError as error:
            self._stop(str(error))


class Help:
    """The part of every other process.

    Args:
        team: its own.
        stop: called by a thread of its own when process 0 ends early or is lost.
    """

    def __init__(self, team: Team, stop: Told) -> None:
        self._link, self._stop = team.links[0], stop
        self._heard: queue.Queue[tuple[Any, bytes]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def begun(self) -> tuple[Any, bytes]:
        """What process 0 said to start with, once it does."""
        return self._heard.get()

    def batches(self) -> Iterator[int]:
        """Numbers of the batches that this process trains."""
        while True:
            self._send({"next": True})
            share = self._heard.get()[0]["share"]
            if share is None:
                return
            yield from share

    def finished(self, cell: Any, body: bytes) -> None:
        """Nothing; process 0 then has the cell."""
        self._send({"cell": cell}, body)

    def _send(self, words: Any, body: bytes = b"") -> None:
        try:
            self._link.send(words, body)
        except ConnectionError:
            # The listener finds out too, and says so in the one line there is to be.
            threading.Event().wait()

    def _listen(self) -> None:
        try:
            while True:
                words, body = self._link.receive()
                if "ended" in words:
                    self._stop(f"{self._link.name} ended: {words['ended']}")
                    return
                self._heard.put((words, body))
                if words.get("share", ()) is None:
                    return
        except OSError as error:
            self._stop(str(error))


def tell_the_end(team: Team, text: str) -> None:
    """Nothing; those that still listen then know why this process ends early."""
    for link in team.links:
        try:
            link.send({"failed" if team.number else "ended": text})
        except OSError:
            continue
