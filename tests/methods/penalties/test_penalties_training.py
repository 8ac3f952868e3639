"""Penalties in training: coefficient zero for each program, a large coefficient for each row."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.penalties import Features

BATCH = SimpleNamespace(obs=jnp.asarray(np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)))


@pytest.fixture(scope="module")
def trained(tiny, agents, target):
    """A function from a penalty's name and coefficient to agents after 8 updates on the target."""

    def train(name, coef):
        method = ft.Method(penalty=replace(ft.PENALTIES[name], coef=coef))
        return ft.finetune(agents, target, method, seed=1, **tiny.budget)

    return train


QUICK = ("ewc", "kl", "churn")
"""Of three training programs."""


def quick(names):
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", quick(["l1", "ewc", "kl", "cloning", "features", "infer", "churn"]))
def test_coefficient_zero_is_no_penalty_bit_for_bit(name, trained, finetuned, same):
    tuned, plain = trained(name, 0.0), finetuned("full")
    assert same(tuned.params, plain.params)
    assert same(tuned.opt_state, plain.opt_state)
    np.testing.assert_array_equal(tuned.curve, plain.curve)


def policies(params, agents):
    return [Policy(tree.take(params, i), {}, agents.network) for i in range(agents.num_seeds)]


def divergence(tuned, agents):
    """KL between the tuned policies and the base's, summed over agents."""
    pairs = zip(policies(agents.params, agents), policies(tuned.params, agents))
    return sum(
        float(ft.PPO().distribution(base, BATCH.obs).kl(ft.PPO().distribution(now, BATCH.obs)).mean())
        for base, now in pairs
    )


def feature_distance(tuned, agents):
    pairs = zip(policies(agents.params, agents), policies(tuned.params, agents))
    return sum(
        float(
            Features().loss(
                {"params": base.params, "statistics": {}}, ft.PPO(), now, BATCH, Moment(jnp.float32(0), jnp.int32(0))
            )
        )
        for base, now in pairs
    )


def distance_from(anchor, group):
    """A function from tuned agents to the squared distance of a group of their parameters from the anchor."""

    def distance(tuned, agents):
        there = tree.flatten(anchor(agents))
        flat = tree.flatten(tuned.params).items()
        return sum(np.sum((leaf - there[path]) ** 2) for path, leaf in flat if path.startswith(group))

    return distance


def zeros(agents):
    return jax.tree.map(np.zeros_like, agents.params)


DISTANCES = {
    "l1": distance_from(zeros, ""),
    "l2": distance_from(zeros, ""),
    "l1sp": distance_from(lambda agents: agents.params, ""),
    "l2sp": distance_from(lambda agents: agents.params, ""),
    "l2init": distance_from(lambda agents: agents.init_params, ""),
    "ewc": distance_from(lambda agents: agents.params, "policy"),
    "mas": distance_from(lambda agents: agents.params, "policy"),
    "kl": divergence,
    "kl_reverse": divergence,
    "cloning": divergence,
    "features": feature_distance,
    "churn": divergence,
}


@pytest.mark.parametrize("name", quick(DISTANCES))
def test_a_large_coefficient_holds(name, trained, finetuned, agents):
    held, free = (DISTANCES[name](tuned, agents) for tuned in (trained(name, 100.0), finetuned("full")))
    assert held < 0.9 * free
