"""Every argument of every public function with hostile values: one refusal that names it, before anything compiles."""

import inspect
import typing

import numpy as np
import pytest
from helpers import hostile
from hypothesis import strategies as st

import jaxrl_ft as ft
from jaxrl_ft.training.finetune import untrained
from jaxrl_ft.training.spec import Budget, pretraining_spec

SOURCE = ft.make_task("CartPole-v1")
TARGET = ft.make_task("CartPole-v1", shift="long-pole")
BUDGET = Budget(steps=2048, seed=0, num_evals=2, eval_episodes=1)
AGENTS = untrained(pretraining_spec(SOURCE, ft.PPO(), ft.MLP(), ft.Adam(), 2, BUDGET))
LAYERS = {"policy": [(np.ones((4, 8)), np.ones(8)), (np.ones((8, 2)), np.ones(2))]}
TARGETS = {"long": TARGET}
CALLS = {
    ft.make_task: {"id": "CartPole-v1", "gravity": 9.0, "obs_noise": 0.1, "action_delay": 1},
    ft.pretrain: {"source": SOURCE},
    ft.finetune: {"agents": AGENTS, "target": TARGET},
    ft.evaluate: {"agents": AGENTS, "task": TARGET},
    ft.compare: {"agents": AGENTS, "targets": TARGETS, "methods": ["full"]},
    ft.search: {"agents": AGENTS, "targets": TARGETS, "methods": ["full"],
                "space": {"optimizer.learning_rate": [1e-3, 1e-2]}},
    ft.advise: {"agents": AGENTS, "target": TARGET},
    ft.wrap: {"params": LAYERS, "source": SOURCE},
    ft.import_policy: {"policy": LAYERS, "source": SOURCE, "verbose": False},
    ft.export: {"agents": AGENTS, "out": "exported"},
    ft.gymnasium_returns: {"agents": AGENTS, "env": "CartPole-v1"},
    ft.play: {"agents": AGENTS, "out": "film.gif"},
    ft.compress: {"agents": AGENTS},
    ft.load_compressed: {"path": "nowhere"},
    ft.finetune_gymnasium: {"agents": AGENTS, "env": "CartPole-v1"},
    ft.save: {"agents": AGENTS, "path": "saved"},
    ft.load: {"path": "nowhere"},
    ft.held_out_tasks: {"id": "CartPole-v1", "shift": "long-pole"},
    ft.held_out_grid: {"source": SOURCE, "target": TARGET},
    ft.validation_tasks: {"source": SOURCE, "targets": TARGETS, "held_out": {}},
    ft.shifts_of: {"id": "CartPole-v1"},
}  # fmt: skip
ELSEWHERE = {"ray", "cpus_per_worker"}
"""Arguments that start programs of others."""
PLACES = [
    (function, name)
    for function, usual in CALLS.items()
    for name in dict.fromkeys([*inspect.signature(function).parameters, *usual])
    if name not in ELSEWHERE and name != "physics"
]


def judged(function, name, value):
    """Whether the function took the value, which is then of the type that the argument is annotated with."""
    usual = CALLS[function]
    told = hostile.refused(lambda: function(**{**usual, name: value}), None)
    if told is None:
        # Quantities of a task may be arrays.
        assert hostile.of_type(typing.get_type_hints(function).get(name, object), value)
    elif name.removesuffix("s") not in told and not (isinstance(value, str) and (value in told or repr(value) in told)):
        # What is refused for another reason, such as a package that is missing, is refused without the value too.
        assert told == hostile.refused(lambda: function(**usual), None)
    return told is None


def test_every_public_function_is_called():
    functions = {getattr(ft, name) for name in dir(ft) if inspect.isfunction(getattr(ft, name))}
    assert functions == set(CALLS)


@pytest.mark.parametrize("examples", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_an_argument_is_refused_by_name_or_taken(examples, tmp_path, monkeypatch, compilations):
    taken = []
    monkeypatch.chdir(tmp_path)
    compilations.reset()
    with hostile.stopped_at_the_door(monkeypatch):
        cases = st.tuples(st.sampled_from(PLACES), hostile.values())
        hostile.fuzz(cases, lambda place, value: taken.append(judged(*place, value)), examples)
    assert not compilations.names
    assert 0.02 < sum(taken) / len(taken) < 0.6
