"""`sweep --ray` on a cluster of two nodes of a core: the bits of one process, whatever is lost on the way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import settings_there

import jaxrl_ft as ft
from jaxrl_ft.sweeps import cluster

pytestmark = [
    pytest.mark.slow,
    # Ray forks processes that become other programs at once, and leaves pipes to them open.
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
FLAGS = ["--shifts", "weak-motor", "--methods", "adamw", "--seeds", "8", "--steps", "512", "--cpus-per-worker", "1"]
MODULE = """
import os, signal, time
from pathlib import Path

import ray

import jaxrl_ft as ft
from jaxrl_ft.training import finetune

PLACE, ADAMW = Path({place!r}), ft.METHODS["adamw"]
together = finetune.finetune_together

def meddling(specs, *rest):
    node = ray.get_runtime_context().get_node_id()
    adamw = [spec.method for spec in specs].count(ADAMW)
    (PLACE / ("adamw" if adamw else "other") / f"{{time.time_ns()}} {{os.getpid()}} {{node}}").touch()
    {meddle}
    return together(specs, *rest)

finetune.finetune_together = meddling
"""
"""A module of a user, which workers import; it notes every batch that a worker begins."""
DIES = """
    if adamw and len(list((PLACE / "adamw").iterdir())) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""
WAITS = """
    if adamw and len(list((PLACE / "adamw").iterdir())) == 1:
        time.sleep(1000)
"""
FAILS = """
    if adamw:
        raise RuntimeError("no luck")
"""


class Sweep:
    """Starts one tiny sweep of four cells, whose agents are given."""

    def __init__(self, path):
        self._path = path

    def start(self, place, *flags, meddle="pass"):
        """A process that writes to the folder `out` of a place, and notes there what its workers begin."""
        for name in ("adamw", "other"):
            (place / name).mkdir(parents=True)
        (place / "meddler.py").write_text(MODULE.format(place=str(place), meddle=meddle.strip("\n").lstrip()))
        return self.again(place, "--import", str(place / "meddler.py"), *flags)

    def again(self, place, *flags):
        variables = {
            "JAX_NUM_CPU_DEVICES": "1",
            "JAX_COMPILATION_CACHE_DIR": str(self._path / "cache"),
            "PYTHONPATH": os.pathsep.join([str(Path(ft.__file__).parent.parent), *sys.path]),
        }
        command = [sys.executable, "-m", "jaxrl_ft.sweep", *FLAGS, "--agents", str(self._path / "agents")]
        command += ["--out", str(place / "out"), *flags]
        return subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.PIPE, text=True)


def ended(process):
    """Status and what was said on stderr."""
    said = process.communicate(timeout=300)[1]
    return process.returncode, said


def left(place):
    """Every file of cells and agents with its bytes, and every run."""
    out = place / "out"
    files = [file for folder in ("cells", "agents") for file in (out / folder).rglob("*") if file.is_file()]
    return {str(file.relative_to(out)): file.read_bytes() for file in [*files, *out.glob("runs.csv")]}


def begun(place, name):
    """Process and node of each batch that began, in order."""
    return [tuple(file.name.split()[1:]) for file in sorted((place / name).iterdir())]


def wait_for(condition):
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture(scope="module")
def world(agents, tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster")
    ft.save(agents, path / "agents")
    return Sweep(path)


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory):
    place = tmp_path_factory.mktemp("alone")
    status, said = ended(world.again(place))
    assert status == 0, said
    return left(place)


@pytest.fixture(scope="module")
def head():
    """A cluster whose head has no core for workers."""
    from ray.cluster_utils import Cluster

    found = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield found
    found.shutdown()


@pytest.fixture
def nodes(head):
    """The cluster with two nodes of a core."""
    added = [head.add_node(num_cpus=1) for _ in range(2)]
    head.wait_for_nodes()
    yield head
    for node in added:
        if node in head.worker_nodes:
            head.remove_node(node)


def test_two_nodes_leave_what_one_process_leaves(world, alone, nodes, tmp_path):
    status, said = ended(world.start(tmp_path, "--ray", nodes.address))
    assert status == 0, said
    assert "on 2 workers of Ray" in said and len(said.splitlines()) == 5
    assert left(tmp_path) == alone
    assert len({node for name in ("adamw", "other") for _, node in begun(tmp_path, name)}) == 2


def test_a_worker_that_dies_in_a_batch_changes_nothing(world, alone, nodes, tmp_path):
    status, said = ended(world.start(tmp_path, "--ray", nodes.address, meddle=DIES))
    assert status == 0, said
    (first, _), (second, _) = begun(tmp_path, "adamw")
    assert first != second and left(tmp_path) == alone


def test_what_a_node_did_that_is_gone_another_one_does(world, alone, nodes, tmp_path):
    process = world.start(tmp_path, "--ray", nodes.address, meddle=WAITS)
    wait_for(lambda: begun(tmp_path, "adamw"))
    [(_, lost)] = begun(tmp_path, "adamw")
    nodes.remove_node(next(node for node in nodes.worker_nodes if node.node_id == lost), allow_graceful=False)
    status, said = ended(process)
    assert status == 0, said
    assert [node == lost for _, node in begun(tmp_path, "adamw")] == [True, False]
    assert left(tmp_path) == alone


def test_a_batch_that_fails_is_named_and_the_same_command_goes_on(world, alone, nodes, tmp_path):
    status, said = ended(world.start(tmp_path, "--ray", nodes.address, meddle=FAILS))
    last = said.splitlines()[-1]
    assert status == 1 and "Traceback" not in said
    assert last == (
        "error: 1 of 4 batches failed: adamw on weak-motor (RuntimeError: no luck); "
        f"what was finished is in {tmp_path / 'out'}, and "
        f"`python -m jaxrl_ft.sweep --resume {tmp_path / 'out'}` goes on from there"
    )
    assert len(begun(tmp_path, "adamw")) == 3 and len(list((tmp_path / "out" / "cells").iterdir())) == 3
    status, said = ended(world.again(tmp_path, "--ray", nodes.address))
    assert status == 0 and "3 cells are finished already" in said
    assert left(tmp_path) == alone


def test_a_driver_that_is_killed_leaves_what_was_finished(world, alone, nodes, tmp_path):
    process = world.start(tmp_path, "--ray", nodes.address, meddle=WAITS)
    wait_for(lambda: (tmp_path / "out" / "cells").exists() and list((tmp_path / "out" / "cells").iterdir()))
    process.send_signal(signal.SIGKILL)
    assert ended(process)[0] == -signal.SIGKILL
    kept = left(tmp_path)
    status, said = ended(world.again(tmp_path))
    assert status == 0 and "finished already" in said
    assert left(tmp_path) == alone and kept.items() <= alone.items()


def test_a_comparison_in_python_has_the_runs_of_one_process(agents, target, tiny, same, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    compared = [
        ft.compare(agents, {"long": target}, ["lora"], **tiny.budget, episodes=4, held_out_episodes=1, **more)
        for more in ({"layout": "exact"}, {"layout": "exact", "ray": True})
    ]
    one, other = compared
    assert one.runs == other.runs
    np.testing.assert_array_equal(one.curves, other.curves)
    for key, tuned in one.cells.items():
        assert same(tuned.params, other.cells[key].params) and tuned == other.cells[key]


def test_workers_have_the_settings_of_this_process_and_a_device_each():
    with jax.numpy_rank_promotion("raise"), cluster.joined(True, cpus=2, layout="exact") as workers:
        assert workers.nodes == [1]
        assert workers.call(settings_there.seen) == ("raise", 2, True)
    with pytest.raises(ValueError, match=r"jax: \S+ there, 0\.1 here"), cluster.joined(True) as workers:
        workers.setup = workers.setup._replace(facts=workers.setup.facts | {"jax": "0.1"})
        workers.call(settings_there.seen)
