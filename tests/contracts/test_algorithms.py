"""Contracts of every registered algorithm: with each row of METHODS it fine-tunes, or is refused with the reason."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.algorithms import SMALL

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import from_json, to_json
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.rl.algorithm import Algorithm
from jaxrl_ft.training.finetune import untrained
from jaxrl_ft.training.spec import Budget, finetune_spec, pretraining_spec

ALGOS = [name for name in ft.ALGOS if name != "ppo"]
QUICK = ["full"]
"""One row by default of each algorithm, the others in the slow tests; PPO has tests of its own."""
LIKE_PPO = ("a2c", "reinforce")
"""Algorithms that differ from PPO in their loss alone; their rows are slow tests all."""
ROWS = [name for name in ft.METHODS if ft.METHODS[name].trains]
FEWEST = 40


def pairs():
    """Every algorithm with every row: few by default, each row with one algorithm when slow, all when exhaustive."""
    for number, row in enumerate(ROWS):
        for place, name in enumerate(ALGOS):
            one = row in QUICK or number % len(ALGOS) == place
            slow = pytest.mark.slow if one else pytest.mark.exhaustive
            quick = row in QUICK and name not in LIKE_PPO
            yield pytest.param(name, row, marks=() if quick else slow)


PAIRS = list(pairs())


def small(name):
    return replace(ft.ALGOS[name], **SMALL[name])


def budget_of(algo, method, updates=4):
    each = (algo.steps_per_update() * updates + algo.steps_before()) * method.population
    return {"steps": each + method.spent(), "num_evals": 3, "eval_episodes": 4}


@pytest.fixture(scope="module")
def learned(source, tiny):
    """A function from the name of an algorithm to two small agents of it."""
    known = {}

    def agents(name):
        if name not in known:
            algo = small(name)
            known[name] = ft.pretrain(source, algo=algo, network=tiny.network, seeds=2, **budget_of(algo, ft.Method()))
        return known[name]

    return agents


@pytest.mark.parametrize("name", list(ft.ALGOS))
def test_an_algorithm_is_a_config_that_survives_a_file(name):
    algo = ft.ALGOS[name]
    assert isinstance(algo, Algorithm)
    check_config(algo, "algo")
    assert from_json(to_json(algo)) == algo
    assert SMALL.keys() == set(ft.ALGOS), "an algorithm without small fields"


@pytest.mark.parametrize("name", list(ft.ALGOS))
def test_most_rows_run_and_the_others_are_refused_with_the_reason(name, source, target, tiny, rows, nothing_runs):
    algo = small(name)
    updates = 64
    budget = Budget(budget_of(algo, ft.Method(), updates)["steps"], 1, 3, 4)
    agents = untrained(pretraining_spec(source, algo, ft.MLP(width=8, layer_norm=True), ft.Adam(), 2, budget))
    fine, refused = [], {}
    for row in ROWS:
        method = rows(row)
        try:
            finetune_spec(agents, target, method, budget._replace(steps=budget_of(algo, method, updates)["steps"]))
            fine.append(row)
        except ValueError as error:
            refused[row] = str(error)
    assert len(fine) >= FEWEST
    lacking = {row: text for row, text in refused.items() if type(algo).__name__ in text}
    # Net2Net asks for a network without layer norm or with relu, whatever the algorithm.
    assert refused.keys() - lacking.keys() <= {"net2wider", "net2deeper"}
    assert bool(lacking) is bool(algo.lacks)


@pytest.mark.parametrize(("name", "row"), PAIRS)
def test_a_fine_tune_ends_well_within_its_budget(name, row, learned, rows, target):
    agents, method = learned(name), rows(row)
    algo, budget = agents.algo, budget_of(agents.algo, method)
    try:
        finetune_spec(agents, target, method, Budget(budget["steps"], 1, 3, 4))
    except ValueError:
        pytest.skip("refused")
    tuned = ft.finetune(agents, target, method, seed=1, **budget)
    assert tuned.status == ("ok",) * 2 and tuned.algo == algo
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((tuned.params, tuned.curve)))
    spent = tuned.env_steps - agents.env_steps
    assert np.all(budget["steps"] <= spent) and np.all(spent < budget["steps"] + algo.steps_per_update())
    assert np.all(tuned.curve_steps[:, 0] == 0) and np.all(tuned.curve_steps[:, -1] == spent)
    assert np.all(np.diff(tuned.curve_steps) > 0)
    before, after = tree.flatten(agents.params), tree.flatten(tuned.params)
    assert any(path not in before or not np.array_equal(before[path], leaf) for path, leaf in after.items())
    begun = algo if method.warm_start.from_scratch else algo.finetuned()
    assert any(line.startswith("actor:") for line in tuned.report) and set(begun.beginnings()) <= set(tuned.report)


@pytest.mark.parametrize("name", ALGOS)
def test_agents_come_back_from_disk_and_train_on_bit_for_bit(name, learned, target, tmp_path, same):
    agents = learned(name)
    ft.save(agents, tmp_path / name)
    loaded = ft.load(tmp_path / name)
    assert loaded == agents
    budget = budget_of(agents.algo, ft.Method())
    one, other = (ft.finetune(each, target, "full", seed=1, **budget) for each in (agents, loaded))
    assert same(one.params, other.params)


@pytest.mark.parametrize("name", ALGOS)
def test_zero_shot_and_the_greedy_policy_are_one(name, learned, target):
    agents = learned(name)
    returns = ft.evaluate(agents, target, episodes=4, seed=1)
    sampled = ft.evaluate(agents, target, episodes=4, seed=1, greedy=False)
    assert returns.shape == sampled.shape == (2, 4) and np.isfinite(sampled).all()
    obs = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    expected = agents.algo.distribution(tree.take(agents.policies, 0), obs).mode()
    np.testing.assert_array_equal(agents.policy(0)(obs), expected)
