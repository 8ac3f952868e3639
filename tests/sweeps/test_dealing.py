"""Dealing a sweep: what may be dealt apart, that each share is dealt once, and how a worker that fails is met."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from jaxrl_ft.sweeps import cluster, dealing, worker
from jaxrl_ft.sweeps.cluster import ATTEMPTS, BatchError, Cluster
from jaxrl_ft.sweeps.dealing import Dealer
from jaxrl_ft.sweeps.plan import Batch


def plan(*cells):
    """Batches with the given cells."""
    return SimpleNamespace(batches=tuple(Batch(numbers, ((0, 1),) * len(numbers), 1, 0) for numbers in cells))


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
    assert dealing.shares(plan(*batches), skip) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("order", ["in turn", "the last alone", "backwards", "one that joined later"])
def test_every_share_is_dealt_once_whoever_asks(count, order):
    shares = [(number,) for number in range(10)]
    dealer = Dealer(shares, count)
    turns = {
        "in turn": range(count),
        "the last alone": [count - 1],
        "backwards": range(count)[::-1],
        "one that joined later": [count],
    }
    dealt = [dealer.deal(number) for _ in range(11) for number in turns[order]]
    assert sorted(share for share in dealt if share) == shares
    assert all(dealer.deal(number) is None for number in range(count))


def test_a_worker_starts_with_neighbours_and_helps_from_the_end():
    dealer = Dealer([(number,) for number in range(6)], 2)
    assert [dealer.deal(1) for _ in range(5)] == [(3,), (4,), (5,), (2,), (1,)]
    assert dealer.deal(0) == (0,)


class RayError(Exception):
    """The end of a worker, as Ray reports it."""


class RayTaskError(RayError):
    """An error of a task, as Ray reports it."""

    def __init__(self, cause):
        self.cause = cause


class Engine:
    """What is used of Ray, in this process: a task runs when it is waited for, the last one first."""

    exceptions = SimpleNamespace(RayTaskError=RayTaskError, RayError=RayError)

    def __init__(self, cpus):
        self.cpus, self.tasks, self.most, self.numbers = cpus, {}, 0, itertools.count()

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": cpus}} for cpus in self.cpus]

    def put(self, value):
        return value

    def remote(self, function):
        def submit(setup, held, *args):
            number = next(self.numbers)
            self.tasks[number] = (held, args)
            self.most = max(self.most, len(self.tasks))
            return number

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=submit))

    def wait(self, references, timeout):
        return [max(references)], None

    def get(self, reference):
        [(function, work)], args = self.tasks.pop(reference)
        try:
            return function(work, *args)
        except ValueError as error:
            raise RayTaskError(error) from None

    def cancel(self, reference, force):
        del self.tasks[reference]


@pytest.fixture
def engine(monkeypatch):
    """A function from the CPUs of nodes to an engine, a cluster on it, and all that is told of it."""

    def make(*cpus, each=1):
        found, told = Engine(cpus), []
        monkeypatch.setitem(sys.modules, "ray", found)
        return found, Cluster(each, "fast", (), told.append), told

    return make


def run(workers, function, shares):
    return workers.run(function, "work", shares, lambda share: f"batches {share}")


def test_every_share_comes_back_once_and_no_more_run_than_there_are_workers(engine):
    found, workers, _ = engine(2.0, 3, 0)
    shares = [(number,) for number in range(12)]
    assert sorted(run(workers, lambda work, share: (work, share), shares)) == [("work", share) for share in shares]
    assert found.most == 5 and not found.tasks


def test_a_share_that_raises_is_tried_three_times_while_the_others_go_on(engine):
    _, workers, told = engine(2)
    tried, finished = [], []

    def train(work, share):
        tried.append(share)
        if share == (1,):
            raise ValueError("not\nthis one")
        return share

    with pytest.raises(BatchError, match=r"^1 of 5 batches failed: batches \(1,\) \(ValueError: not this one\)$"):
        for share in run(workers, train, [(number,) for number in range(5)]):
            finished.append(share)
    assert sorted(finished) == [(0,), (2,), (3,), (4,)]
    assert tried.count((1,)) == ATTEMPTS and len(told) == 1 and "batches (1,)" in told[0]


def test_a_share_that_fails_twice_is_as_good_as_any(engine):
    _, workers, told = engine(1)
    left = [1, 2]

    def train(work, share):
        if left:
            raise ValueError(left.pop())
        return share

    assert list(run(workers, train, [(0,), (1,)])) == [(0,), (1,)]
    assert not told


def test_what_ray_gave_up_is_not_tried_again(engine):
    _, workers, _ = engine(1)
    tried = []

    def die(work, share):
        tried.append(share)
        raise RayError("gone")

    with pytest.raises(BatchError, match="its worker died: gone"):
        list(run(workers, die, [(0,)]))
    assert tried == [(0,)]


def test_a_worker_that_differs_ends_the_sweep_at_once(engine):
    found, workers, _ = engine(1)
    refusal = worker.Refusal("node x differs from this one in jax: 1 there, 2 here")
    with pytest.raises(ValueError, match=r"^ray: node x differs from this one in jax: 1 there, 2 here$"):
        list(run(workers, lambda *_: refusal, [(0,)] * 3))
    assert not found.tasks


def test_arrays_are_copied_out_of_the_memory_of_ray(engine):
    _, workers, _ = engine(1)
    array = np.zeros(3)
    array.setflags(write=False)
    back = workers.call(lambda: {"x": array})["x"]
    assert back is not array and back.flags.writeable and back.flags.owndata


def test_no_worker_waits_for_a_result_to_be_used_and_what_still_runs_is_ended(engine):
    found, workers, _ = engine(3)
    next(run(workers, lambda work, share: share, [(number,) for number in range(9)]))
    assert len(found.tasks) == 3
    workers.cancel()
    assert not found.tasks


def test_nodes_that_are_too_small_are_named(engine):
    with pytest.raises(ValueError, match="cpus_per_worker: 4 is not allowed; no node of the cluster has 4 CPUs"):
        engine(3, 3, each=4)
    assert engine(9, 3, each=4)[1].nodes == [2]


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = r'^ray: needs the package ray, which is not installed; python -m pip install "jaxrl_ft\[cluster\]"$'
    with pytest.raises(ValueError, match=line):
        cluster.joined(True).__enter__()


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_an_address_where_nobody_answers_is_named(by, free_port, monkeypatch):
    address = f"127.0.0.1:{free_port}"
    monkeypatch.setenv("RAY_ADDRESS", address if by == "variable" else "other:1")
    name = "ray" if by == "argument" else "RAY_ADDRESS"
    with pytest.raises(ValueError, match=f"^{name}: no cluster answers at {address}: "):
        cluster.joined(address if by == "argument" else True).__enter__()


@pytest.fixture
def setup():
    return worker.setup(worker.devices.mesh().size, "fast", ("json",), worker.machine.versions())


def test_a_worker_like_this_process_is_not_refused(setup):
    assert worker.prepare(setup) is None


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda setup: {"facts": setup.facts | {"jax": "0.1"}}, "differs from this one in jax: "),
        (lambda setup: {"facts": setup.facts | {"device": "H100"}}, "differs from this one in device: cpu there, H100"),
        (lambda setup: {"devices": 77}, "differs from this one in devices of a worker: "),
        (lambda setup: {"modules": ("no_such",)}, "cannot import no_such: No module named 'no_such'"),
    ],
)
def test_a_worker_that_differs_says_in_what(change, why, setup):
    refusal = worker.prepare(setup._replace(**change(setup)))
    assert why in refusal.text and refusal.text.startswith("node ")


def test_settings_of_jax_are_taken_over(setup, monkeypatch):
    changed = []
    monkeypatch.setattr(worker.jax.config, "update", lambda *change: changed.append(change))
    assert setup.settings["jax_enable_x64"] is False
    worker.prepare(setup._replace(settings=setup.settings | {"jax_enable_x64": True}))
    assert changed == [("jax_enable_x64", True)]


def test_a_worker_has_devices_of_its_own_and_another_setup_another_process(setup, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1 --xla_force_host_platform_device_count=8")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "8")
    monkeypatch.setenv("OTHER", "1")
    one = worker.variables(setup._replace(devices=3), "cpu")
    assert (one["XLA_FLAGS"], one["JAX_NUM_CPU_DEVICES"], one["JAX_PLATFORMS"]) == ("--xla_a=1", "3", "cpu")
    assert (
        one["NPROC"] == "3"
        and "OTHER" not in one
        and one != worker.variables(setup._replace(devices=3, layout="exact"), "cpu")
    )
