"""Replays in the memory of a sweep: they are planned, written in place, and refused where they do not fit."""

from dataclasses import replace

import pytest

import jaxrl_ft as ft
from jaxrl_ft.sweeps import cost
from jaxrl_ft.sweeps.plan import make_plan
from jaxrl_ft.training import devices
from jaxrl_ft.training.finetune import untrained
from jaxrl_ft.training.spec import Budget, finetune_spec, pretraining_spec

BUDGET = Budget(steps=512, seed=1, num_evals=3, eval_episodes=4)
ALGO = ft.DQN(num_envs=4, num_steps=16, gradient_steps=2, batch_size=8, replay_size=512, learning_starts=64)


def agents_of(algo, source):
    return untrained(pretraining_spec(source, algo, ft.MLP(width=8), ft.Adam(), 2, BUDGET))


@pytest.mark.parametrize("prioritized", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_plan_has_each_replay_in_it_once(prioritized, source, target, monkeypatch):
    """A program that copied a replay to write it would take twice as much; nothing is allocated to find out."""
    monkeypatch.setattr(devices, "put", lambda *_: pytest.fail("something was allocated"))
    rows, memory, stored = 2**18, [], []
    for size in (512, rows):
        algo = replace(ALGO, replay_size=size, prioritized=prioritized)
        spec = finetune_spec(agents_of(algo, source), target, ft.METHODS["full"], BUDGET)
        memory.append(cost.memory_of_a_run(make_plan([spec], 2)))
        stored.append(spec.stored_bytes)
    assert stored == [4 * size * (11 + prioritized) for size in (512, rows)]
    assert 0.99 < (memory[1] - memory[0]) / (stored[1] - stored[0]) < 1.25


def test_what_does_not_fit_is_refused_before_anything_runs(source, target, monkeypatch):
    monkeypatch.setattr(devices, "free_memory", lambda *_: 100_000)
    monkeypatch.setattr(devices, "put", lambda *_: pytest.fail("a program was about to run"))
    message = "algo: 2 runs that store 11.5 MB of experience each do not fit into the 0 MB that are free"
    algo = replace(ALGO, replay_size=2**18)
    with pytest.raises(ValueError, match=message):
        ft.pretrain(source, algo=algo, seeds=2, steps=512)
    with pytest.raises(ValueError, match=message):
        ft.finetune(agents_of(algo, source), target, "full", steps=512)
    one = "algo: a run that stores 11.5 MB of experience does not fit"
    with pytest.raises(ValueError, match=one):
        ft.compare(agents_of(algo, source), {"long": target}, ["full"], steps=512)
