"""Sharing a sweep: what may be dealt apart, that each share is dealt once, and what is said when a process is lost."""

import queue
import socket
import threading

import pytest

from jaxrl_ft.sweeps import sharing
from jaxrl_ft.sweeps.links import Link
from jaxrl_ft.sweeps.plan import Batch, Plan
from jaxrl_ft.sweeps.processes import Team
from jaxrl_ft.sweeps.sharing import Dealer, Help, Lead

LONG = 10.0


def plan(*cells):
    """Batches with the given cells."""
    return Plan((), tuple(Batch(numbers, ((0, 1),) * len(numbers), 1, 0) for numbers in cells))


@pytest.fixture
def linked():
    """A team of two, and everything that was said of its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.create_connection(listener.getsockname())
        here = listener.accept()[0]
    teams = Team(0, 2, (Link(here, "process 1"),)), Team(1, 2, (Link(there, "process 0"),))
    yield teams, queue.Queue()
    for end in (here, there):
        end.close()


@pytest.mark.parametrize(
    "batches, skip, expected",
    [
        ([(0, 1), (2,), (3,)], (), [(0,), (1,), (2,)]),
        ([(0,), (0,), (0,), (1,)], (), [(0, 1, 2), (3,)]),
        ([(0, 1), (1, 2), (3,)], (), [(0, 1), (2,)]),
        ([(0, 1), (2,), (3,)], (2,), [(0,), (2,)]),
        ([(0, 1), (2,)], (1,), [(0,), (1,)]),
        ([(0,)], (0,), []),
    ],
)
def test_a_cell_in_several_batches_is_one_share(batches, skip, expected):
    assert sharing.shares(plan(*batches), skip) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("order", ["in turn", "the last alone", "backwards"])
def test_every_share_is_dealt_once_whoever_asks(count, order):
    shares = [(number,) for number in range(10)]
    dealer = Dealer(shares, count)
    turns = {"in turn": range(count), "the last alone": [count - 1], "backwards": range(count)[::-1]}[order]
    dealt = [dealer.deal(number) for _ in range(11) for number in turns]
    assert sorted(share for share in dealt if share) == shares
    assert all(dealer.deal(number) is None for number in range(count))


def test_a_process_starts_with_neighbours_and_helps_from_the_end():
    dealer = Dealer([(number,) for number in range(6)], 2)
    assert [dealer.deal(1) for _ in range(5)] == [(3,), (4,), (5,), (2,), (1,)]
    assert dealer.deal(0) == (0,)


def test_what_one_finishes_reaches_the_other_and_all_is_trained_once(linked):
    (first, second), said = linked
    taken = []
    lead = Lead(first, Dealer([(0, 1), (2,), (3,), (4,)], 2), lambda cell, body: taken.append((cell, body)), said.put)
    helper = Help(second, said.put)
    done = []

    def work():
        assert helper.begun() == ({"most": 3}, b"agents")
        for number in helper.batches():
            helper.finished({"number": number}, b"x" * 3_000_000)
            done.append(number)

    thread = threading.Thread(target=work)
    thread.start()
    lead.begin({"most": 3}, b"agents")
    own = list(lead.batches())
    lead.wait()
    thread.join(LONG)
    assert sorted(own + done) == [0, 1, 2, 3, 4]
    assert taken == [({"number": number}, b"x" * 3_000_000) for number in done]
    assert said.empty()


def test_a_lost_process_is_named_to_the_first(linked):
    (first, second), said = linked
    Lead(first, Dealer([(0,)], 2), lambda *_: None, said.put).begin({}, b"")
    second.links[0].close()
    assert said.get(timeout=LONG) == "process 1 was lost"


def test_a_lost_first_process_is_named_to_the_others(linked):
    (first, second), said = linked
    Help(second, said.put)
    first.links[0].close()
    assert said.get(timeout=LONG) == "process 0 was lost"


def test_a_process_that_can_still_speak_says_why_it_ends(linked):
    (first, second), said = linked
    Lead(first, Dealer([(0,)], 2), lambda *_: None, said.put).begin({}, b"")
    sharing.tell_the_end(second, "out of memory")
    assert said.get(timeout=LONG) == "process 1 ended: out of memory"


def test_the_first_says_why_it_ends(linked):
    (first, second), said = linked
    Help(second, said.put)
    sharing.tell_the_end(first, "interrupted")
    assert said.get(timeout=LONG) == "process 0 ended: interrupted"


def test_a_cell_cut_off_on_its_way_is_not_taken(linked):
    (first, second), said = linked
    taken = []
    Lead(first, Dealer([(0,)], 2), lambda *cell: taken.append(cell), said.put).begin({}, b"")
    connection = second.links[0]._connection
    connection.sendall((12).to_bytes(8, "big") + (100).to_bytes(8, "big") + b'{"cell": {}}' + b"x" * 99)
    second.links[0].close()
    assert said.get(timeout=LONG) == "process 1 was lost"
    assert not taken
