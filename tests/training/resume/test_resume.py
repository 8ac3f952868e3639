"""The law of going on: a training that was cut off anywhere ends with the bits of one that was not."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from helpers.algorithms import SMALL

import jaxrl_ft as ft
from jaxrl_ft.training.resume.checkpoint import Checkpoint

FIELDS = ("params", "statistics", "opt_state", "env_steps", "curve", "curve_steps", "kept_steps")
METHODS = [
    "full",
    "pbt",
    "soup",
    "replay",
    "jump_start",
    "strength",
    "redo",
    "ewc",
    "keep_adam",
    "gap_decay",
    "imagine",
]


class CutOffError(Exception):
    """The process is gone."""


@pytest.fixture
def cut_off(monkeypatch, tmp_path):
    """A function that makes a call, ends it when it has written so many checkpoints, and makes it again."""

    def twice(call, number):
        written, write = [], Checkpoint.write
        path = tmp_path / str(number)

        def counted(self, *args):
            write(self, *args)
            written.append(args)
            if len(written) == number:
                raise CutOffError

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "write", counted)
            with pytest.raises(CutOffError):
                call(checkpoint=path, checkpoint_every=0.0)
        return call(checkpoint=path, checkpoint_every=0.0)

    return twice


def assert_same(one, other, same):
    for name in FIELDS:
        assert same(getattr(one, name), getattr(other, name)), name
    assert one == other


@pytest.mark.parametrize("number", [1, 2, 3])
def test_pretraining_goes_on_to_the_same_bits(number, cut_off, agents, source, tiny, same):
    def call(**checkpoint):
        return ft.pretrain(
            source, algo=tiny.algo, network=tiny.network, seeds=tiny.seeds, seed=0, **tiny.budget, **checkpoint
        )

    assert_same(cut_off(call, number), agents, same)


@pytest.mark.parametrize("method", ["full", *(pytest.param(name, marks=pytest.mark.slow) for name in METHODS)])
def test_fine_tuning_by_any_family_goes_on_to_the_same_bits(
    method, cut_off, agents, target, rows, enough, tiny, finetuned, same
):
    row = rows(method)
    budget = {**tiny.budget, "steps": enough(row)}

    def call(**checkpoint):
        return ft.finetune(agents, target, row, seed=1, **budget, **checkpoint)

    assert_same(cut_off(call, 1), finetuned(method), same)
    assert_same(cut_off(call, 2), finetuned(method), same)


def test_stops_and_the_best_policy_go_on_too(cut_off, agents, target, tiny, same):
    budget = {"steps": 512, "num_evals": 9, "eval_episodes": 4, "seed": 1, "keep": "best"}
    whole = ft.finetune(agents, target, "full", **budget)
    twice = np.sort(np.minimum(whole.curve[:, 1:-1], whole.curve[:, :-2]).max(axis=1))
    stop_at = float(twice[1:3].mean())

    def call(**checkpoint):
        return ft.finetune(agents, target, "full", **budget, stop_at=stop_at, **checkpoint)

    stopped = call()
    assert len(set(stopped.env_steps.tolist())) > 1
    for number in (3, 6):
        assert_same(cut_off(call, number), stopped, same)


def test_a_finished_call_may_be_made_again_and_another_one_not(agents, source, tiny, tmp_path, same):
    def call(**changes):
        settings = {"algo": tiny.algo, "network": tiny.network, "seeds": tiny.seeds, "seed": 0} | tiny.budget | changes
        return ft.pretrain(source, **settings, checkpoint=tmp_path / "c", checkpoint_every=0.0)

    assert_same(call(), agents, same)
    assert_same(call(), agents, same)
    for changes, name in (
        ({"seed": 1}, "seed"),
        ({"steps": 576}, "num_updates"),
        ({"num_evals": 4}, "num_evals"),
        ({"optimizer": ft.Adam(learning_rate=1e-3)}, r"method\.optimizer\.learning_rate"),
    ):
        with pytest.raises(ValueError, match=f"is of another training, which differs in {name}"):
            call(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ft.ALGOS if name != "ppo"])
def test_every_algorithm_goes_on_to_the_same_bits(name, cut_off, source, target, tiny, same):
    algo = replace(ft.ALGOS[name], **SMALL[name])
    steps = 6 * algo.steps_per_update() + algo.steps_before()
    budget = {"steps": steps, "num_evals": 3, "eval_episodes": 4}

    def pretrain(**checkpoint):
        return ft.pretrain(source, algo=algo, network=tiny.network, seeds=2, **budget, **checkpoint)

    agents = pretrain()
    assert_same(cut_off(pretrain, 2), agents, same)

    def tune(**checkpoint):
        return ft.finetune(agents, target, "full", **budget, **checkpoint)

    assert_same(cut_off(tune, 3), tune(), same)


@pytest.mark.parametrize("field", ["params", "init_params", "opt_state"])
def test_other_agents_are_refused_whatever_differs_in_them(field, agents, target, tiny, tmp_path):
    call = partial(ft.finetune, target=target, method="full", **tiny.budget, checkpoint=tmp_path, checkpoint_every=0.0)
    call(agents)
    changed = jax.tree.map(np.array, getattr(agents, field))
    leaf = jax.tree.leaves(changed)[-1]
    leaf.reshape(-1)[0] += 1
    other = replace(agents, **{field: changed})
    assert other.digest != agents.digest == agents.select(range(agents.num_seeds)).digest
    with pytest.raises(ValueError, match="is of another training, which differs in agents"):
        call(other)
