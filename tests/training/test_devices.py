"""Devices: all CPU cores, whichever public call comes first, and the truth where JAX runs already."""

import json
import os
import subprocess
import sys

import pytest

# A machine of three cores: children of one process that has imported everything and started nothing.
PROGRAM = """
import json, os, sys, warnings
import jax
import jaxrl_ft as ft
from jaxrl_ft.advice import advise
from jaxrl_ft.sweeps import compare, search
from jaxrl_ft.training import per_run
from jaxrl_ft.store import checkpoints

class Reached(Exception):
    pass

def reached(*_):
    raise Reached

os.sched_getaffinity = lambda _: range(3)
per_run.Program.placed = per_run.Program.lower = reached
source = lambda: ft.make_task("CartPole-v1")
agents = lambda: checkpoints.load(sys.argv[1])
budget = {"steps": 64, "num_evals": 2}
calls = {
    "user": lambda: jax.random.key(0),
    "chosen": lambda: jax.config.update("jax_num_cpu_devices", 2),
    "make_task": source,
    "load": lambda: ft.load(sys.argv[1]),
    "policy": lambda: ft.load(sys.argv[1]).policy(0)([0.0] * 4),
    "pretrain": lambda: ft.pretrain(source(), **budget),
    "wrap": lambda: ft.wrap({"policy": [([[0.0]] * 4, [0.0]), ([[0.0] * 2], [0.0] * 2)]}, source()),
    "evaluate": lambda: ft.evaluate(ft.load(sys.argv[1]), source()),
    "finetune": lambda: ft.finetune(ft.load(sys.argv[1]), source(), "full", **budget),
    "compare": lambda: ft.compare(ft.load(sys.argv[1]), {"same": source()}, ["full"], **budget),
    "compare inside": lambda: compare.compare(agents(), {"same": agents().source}, ["full"], **budget),
    "search": lambda: ft.search(
        ft.load(sys.argv[1]), {"same": source()}, ["lora"], {"optimizer.learning_rate": [1e-3]}, trials=1, **budget
    ),
    "advise": lambda: ft.advise(ft.load(sys.argv[1]), ft.make_task("CartPole-v1", force=5.0)),
}
for order in json.loads(sys.argv[2]):
    if os.fork():
        os.wait()
        continue
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in order:
            try:
                calls[name]()
            except Reached:
                pass
        found = [jax.device_count(), [str(w.message) for w in caught if "started before" in str(w.message)]]
    print(json.dumps(found), flush=True)
    os._exit(0)
"""
ALONE = ("policy", "pretrain", "wrap", "evaluate", "finetune", "compare", "compare inside", "search", "advise")
ORDERS = [[name] for name in ALONE] + [["make_task", "user"], ["load", "compare"], ["policy", "make_task", "finetune"]]
QUICK = [["pretrain"], ["compare inside"], ["policy", "make_task", "finetune"]]
"""Of the orders, those among the tests that always run."""
STARTED = ["user", "load", "compare"]
CHOSEN = [["chosen", "load", "compare"], ["chosen", "user", "load"], ["load", "chosen", "user"]]


def devices_after(orders, saved):
    """A function from an order of calls to the number of devices after it, and the warnings."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_NUM_CPU_DEVICES"}
    command = [sys.executable, "-c", PROGRAM, str(saved), json.dumps(orders)]
    told = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert told.returncode == 0 and len(found) == len(orders), told.stderr
    return lambda order: found[orders.index(order)]


@pytest.fixture(scope="module")
def devices(saved):
    return devices_after([*QUICK, STARTED, *CHOSEN[:1]], saved)


@pytest.mark.parametrize("order", QUICK, ids=" ".join)
def test_whichever_call_comes_first_all_cores_compute(order, devices):
    assert devices(order) == [3, []]


def test_jax_that_the_user_started_first_keeps_its_devices_and_is_named_once(devices):
    count, [told] = devices(STARTED)
    assert count == 1 and "with one CPU device for 3 cores" in told


def test_devices_that_the_user_chose_are_kept_without_a_word(devices):
    assert devices(CHOSEN[0]) == [2, []]


@pytest.mark.slow
def test_any_other_order_of_calls_is_as_good(saved):
    devices = devices_after([*ORDERS, *CHOSEN], saved)
    assert [devices(order) for order in ORDERS] == [[3, []]] * len(ORDERS)
    assert [devices(order) for order in CHOSEN] == [[2, []]] * len(CHOSEN)
