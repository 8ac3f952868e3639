"""Programs are stored only for code that is what its files say."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from jaxrl_ft.training.programs.code import ROOT

BEGIN = """
import importlib, json, pkgutil
import jaxrl_ft as ft
from jaxrl_ft.training import devices
devices.prepare()
from jaxrl_ft.training.programs import code
for module in pkgutil.walk_packages(ft.__path__, "jaxrl_ft."):
    importlib.import_module(module.name)
"""

CHANGES = """
import functools, types
import gymnax, jax, jax.numpy as jnp, numpy as np, optax
from gymnax.environments.classic_control.cartpole import CartPole
from gymnax.environments.bsuite.deep_sea import DeepSea
from jaxrl_ft.core import config
from jaxrl_ft.envs import cartpole, imagined, simulator
from jaxrl_ft.rl import ppo, returns
from jaxrl_ft.training import stretch
from jaxrl_ft.training.programs import live

before = code.loaded()
found = {}

def other(*args):
    return args

class Simulator:
    obs_size = 4

class Callable:
    def __call__(self, *args):
        return args

class Env(CartPole):
    pass

def usable(name):
    now = code.loaded()
    found[name] = now is not None and live.agree(before, now)

def usable_with(name, owner, attribute, value):
    was = vars(owner)[attribute]
    setattr(owner, attribute, value)
    usable(name)
    setattr(owner, attribute, was)

def usable_with_row(name, table, key, row):
    was = dict(table._rows)
    table._rows[key] = row
    usable(name)
    table._rows.clear()
    table._rows.update(was)

usable("plain")
own = [name for name, value in vars(returns).items() if getattr(value, "__module__", "") == returns.__name__]
function, another = own[:2]
usable_with("function", returns, function, other)
usable_with("function of this package", returns, function, getattr(returns, another))
usable_with("partial function", returns, function, functools.partial(getattr(returns, function), 1.0))
usable_with("jitted function", returns, function, jax.jit(other))
usable_with("object", returns, function, Callable())
usable_with("method", ppo.PPO, "loss", other)
usable_with("static", ppo.PPO, "loss", staticmethod(lambda *args: args))
usable_with("constant", stretch, "LONGEST", 64)
usable_with("class", ppo, "PPO", Simulator)
usable_with("number of a class", cartpole.CartPoleSimulator, "obs_size", 5)
usable_with("program", stretch, "stretch", Callable())
usable_with("jax", jnp, "tanh", jnp.sin)
usable_with("jax by a user", jax.nn, "relu", other)
usable_with("numpy", np, "prod", other)
usable_with("optax", optax, "adam", optax.sgd)
usable_with("gymnax", CartPole, "step_env", other)
usable_with("default", returns, function, types.FunctionType(
    getattr(returns, function).__code__, vars(returns), function, (1.0, 2.0), getattr(returns, function).__closure__))
usable_with_row("row", ft.ALGOS, "ppo", ft.ALGOS["a2c"])
usable_with_row("row with another number", ft.METHODS, "l2sp", ft.Method(penalty=ft.L2SP(coef=0.123)))
usable("restored")

@config.config
class Mine(ft.L2SP):
    pass

ft.METHODS.add("mine", ft.Method(penalty=Mine()), "")
usable("method row")
rows = dict(simulator.SIMULATORS._rows)

def usable_with_task(name, make):
    simulator.SIMULATORS._rows.clear()
    simulator.SIMULATORS._rows.update(rows)
    make()
    usable(name)

usable_with_task("learned model", lambda: imagined.imagined_simulator(4, ft.make_task("CartPole-v1").action_space))
usable_with_task("simulator", lambda: simulator.register_simulator("mine", Simulator()))
usable_with_task("added here", lambda: simulator.SIMULATORS.add("mine", cartpole.CartPoleSimulator(), ""))
usable_with_task("environment", lambda: ft.make_task(Env()))
sizes = []
for size in (4, 5):
    usable_with_task(f"deep sea {size}", lambda: ft.make_task(DeepSea(size=size), name="deep"))
    sizes.append(code.loaded())
found["deep sea of another size"] = live.agree(*sizes)
print(json.dumps(found))
"""


def run(text, folder, root=ROOT.parent):
    """What a process that runs a script, and imports the package from a directory, prints last."""
    script = folder / "script_of_a_test.py"
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, str(script)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=folder).stdout
    return json.loads(output.splitlines()[-1])


@pytest.fixture
def copy(tmp_path):
    """A directory with a copy of the package."""
    shutil.copytree(ROOT, tmp_path / "copy" / "jaxrl_ft", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


USABLE = {"plain", "restored", "method row", "learned model", "deep sea 4", "deep sea 5"}


@pytest.mark.slow
def test_programs_are_used_where_nothing_was_put_into_the_code_that_they_were_traced_from(tmp_path):
    found = run(BEGIN + CHANGES, tmp_path)
    assert {name for name, usable in found.items() if usable} == USABLE, found
    assert len(found) == 29


@pytest.mark.slow
def test_edited_code_has_another_hash_and_code_edited_since_the_start_has_none(copy, tmp_path):
    show = "print(json.dumps([code.fingerprint(), code.unchanged()]))"

    def shown(text=""):
        # The start of a process is known to a second.
        time.sleep(2.1)
        return run(BEGIN + text + show, tmp_path, copy)

    before = shown()
    assert before == shown() and before[0] and before[1]
    file = copy / "jaxrl_ft" / "rl" / "returns.py"
    file.write_text(file.read_text() + "\n")
    os.utime(file, (1e9, 1e9))
    edited = shown()
    assert edited[0] not in (None, before[0]) and edited[1]
    replaced = "import os; os.utime(code.ROOT / 'rl' / 'returns.py', (1e9, 1e9)); "
    assert shown("code.fingerprint(); " + replaced) == [edited[0], False]
    assert shown(replaced)[0] is None
    os.utime(file, (2e10, 2e10))
    assert shown()[0] is None
