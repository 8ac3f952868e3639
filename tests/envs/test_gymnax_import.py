"""Gymnax is imported when it is first needed, which is often while a program is traced."""

import json
import subprocess
import sys

import pytest

TRACE = """
import json, sys
import jax
import jaxrl_ft as ft

task = ft.make_task(sys.argv[1])

def stepped(key):
    _, env_state = task.reset(key)
    return task.step(key, env_state, 0)[0]

jax.make_jaxpr(stepped)(jax.random.key(0))
modules = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "gymnax"}
values = [(f"{name}.{key}", value) for name, module in modules.items() for key, value in vars(module).items()]
arrays = [(name, isinstance(value, jax.core.Tracer)) for name, value in values if isinstance(value, jax.Array)]
print(json.dumps(arrays))
"""


@pytest.mark.slow
@pytest.mark.parametrize("id", ["CartPole-v1", "Acrobot-v1"])
def test_no_tracer_outlives_a_trace_that_imports_gymnax(id):
    """A module of gymnax's with a tracer in its constants cannot be used by any later program."""
    command = [sys.executable, "-c", TRACE, id]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    arrays = json.loads(output.splitlines()[-1])
    assert arrays and not [name for name, traced in arrays if traced]
