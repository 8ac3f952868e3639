"""Algorithms and rows of METHODS train on images and on shared trunks, or are refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers import image_worlds
from helpers.algorithms import SMALL
from helpers.image_worlds import NETWORKS, OBS_SIZE

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.training.spec import Budget, finetune_spec

ALGO = ft.PPO(**SMALL["ppo"])


def pairs():
    for algo in ft.ALGOS:
        for name in ("cnn", "cnn_shared"):
            yield algo, name
    yield "dueling", "cnn"


@pytest.mark.slow
@pytest.mark.parametrize(("algo", "name"), list(pairs()))
def test_an_algorithm_learns_and_fine_tunes_and_comes_back_from_disk(algo, name, tmp_path, same):
    if (algo, name) == ("sac", "cnn_shared"):
        pytest.skip("refused")
    known = "dqn" if algo == "dueling" else algo
    config = replace(ft.ALGOS[known], **SMALL[known])
    config = replace(config, actor=ft.Boltzmann(dueling=True)) if algo == "dueling" else config
    config = replace(config, num_steps=16)
    network = replace(NETWORKS[name], image=())
    steps = config.steps_before() + 4 * config.steps_per_update()
    budget = {"num_evals": 2, "eval_episodes": 2}
    agents = ft.pretrain(image_worlds.task(), algo=config, network=network, seeds=2, steps=steps, **budget)
    assert agents.network == NETWORKS[name] and agents.status == ("ok",) * 2
    lora = replace(ft.METHODS["lora"], adapter=ft.LoRA(rank=2))
    tuned = ft.finetune(agents, image_worlds.task(2.0), lora, steps=steps, **budget)
    assert tuned.status == ("ok",) * 2
    before = tree.flatten(agents.params)
    moved = {path for path, leaf in tree.flatten(tuned.params).items() if not same(leaf, before[path])}
    assert moved and all(path.endswith("/kernel") for path in moved)
    ft.save(tuned, tmp_path / "tuned")
    loaded = ft.load(tmp_path / "tuned")
    assert loaded == tuned
    obs = np.zeros((3, OBS_SIZE), np.float32)
    np.testing.assert_array_equal(loaded.policy(0)(obs), tuned.policy(0)(obs))


ONE_OF_AN_AXIS = ("full", "lora", "net2wider", "imagine", "ewc", "muon", "redo", "replay", "soup", "pbt")
"""Rows that the slow tests train; the others are exhaustive."""


def trainings():
    """A row of each axis on an image with a shared trunk, slow; all others, exhaustive."""
    for row in (row for row in ft.METHODS if ft.METHODS[row].trains):
        for name in ("cnn_shared", "cnn", "mlp_shared"):
            slow = name == "cnn_shared" and row in ONE_OF_AN_AXIS
            yield pytest.param(row, name, marks=pytest.mark.slow if slow else pytest.mark.exhaustive)


@pytest.fixture(scope="module")
def learned():
    known = {}

    def agents(name):
        if name not in known:
            known[name] = ft.pretrain(
                image_worlds.task(), algo=ALGO, network=NETWORKS[name], seeds=2, steps=256, num_evals=2, eval_episodes=2
            )
        return known[name]

    return agents


@pytest.mark.parametrize(("row", "name"), list(trainings()))
def test_a_row_trains_on_a_network_or_is_refused(row, name, learned, rows):
    agents, method = learned(name), rows(row)
    steps = 256 * method.population + method.spent()
    try:
        finetune_spec(agents, image_worlds.task(2.0), method, Budget(steps, 1, 2, 2))
    except ValueError:
        pytest.skip("refused")
    tuned = ft.finetune(agents, image_worlds.task(2.0), method, steps=steps, seed=1, num_evals=2, eval_episodes=2)
    assert tuned.status == ("ok",) * 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((tuned.params, tuned.curve)))
