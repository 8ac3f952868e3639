"""Laws of every registered penalty, and closed forms of each."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays, floats
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.rl.distributions import Categorical

NETWORK = ft.MLP(width=3, depth=1)
BATCH = SimpleNamespace(obs=np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32))
HALF = jnp.float32(0.5)
ANCHORED = {"l2sp": "base", "l2init": "init", "kl": "base"}


@pytest.fixture(scope="module")
def worlds(random_params, source):
    """Parameters of three policies: the base, the network's first ones, and where training is."""
    return {name: random_params(source, NETWORK, seed) for seed, name in enumerate(("base", "init", "now"))}


def loss(penalty, worlds, params, progress=HALF):
    penalty = as_arrays(penalty)
    source = Source(Policy(worlds["base"], {}, NETWORK), worlds["init"])
    memory = penalty.init(jax.random.key(0), ft.PPO(), Policy(worlds["now"], {}, NETWORK), source)
    return penalty.loss(memory, ft.PPO(), Policy(params, {}, NETWORK), BATCH, progress)


def scaled(penalty, coef):
    return replace(penalty, coef=coef) if "coef" in floats(penalty) else penalty


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_the_loss_is_linear_in_the_coefficient_and_zero_without_it(name, worlds):
    penalty, now = ft.PENALTIES[name], worlds["now"]
    assert loss(scaled(penalty, 0.0), worlds, now) == 0
    assert not any(np.any(g) for g in jax.tree.leaves(jax.grad(lambda p: loss(scaled(penalty, 0.0), worlds, p))(now)))
    one, two = (loss(scaled(penalty, coef), worlds, now) for coef in (0.25, 0.5))
    assert one.shape == () and one.dtype == jnp.float32
    assert np.float32(2) * one == two
    assert one > 0 or name == "none"


@pytest.mark.parametrize("name", list(ANCHORED))
def test_at_its_anchor_value_and_gradient_are_zero(name, worlds):
    value, grads = jax.value_and_grad(lambda p: loss(scaled(ft.PENALTIES[name], 1.0), worlds, p))(
        worlds[ANCHORED[name]]
    )
    assert abs(value) < 1e-7
    assert max(np.abs(g).max() for g in jax.tree.leaves(grads)) < 1e-6


@pytest.mark.parametrize("name", [name for name in ft.PENALTIES if name != "none"])
def test_gradients_agree_with_finite_differences(name, worlds):
    penalty = scaled(ft.PENALTIES[name], 0.1)
    check_grads(lambda p: loss(penalty, worlds, p), (worlds["now"],), 1, ["rev"], atol=2e-2, rtol=2e-2, eps=1e-2)


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_the_memory_lasts(name, worlds):
    penalty = ft.PENALTIES[name]
    memory = {"anything": np.ones(2)}
    assert penalty.after_update(memory, Policy(worlds["now"], {}, NETWORK), BATCH) is memory


def test_closed_forms(worlds):
    vectors = {key: np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)]).astype(np.float64)
               for key, tree in worlds.items()}  # fmt: skip
    now, base, init = vectors["now"], vectors["base"], vectors["init"]
    expected = {
        "none": 0.0,
        "l1": 0.3 * np.abs(now).sum(),
        "l2": 0.15 * (now**2).sum(),
        "l2sp": 0.15 * ((now - base) ** 2).sum(),
        "l2init": 0.15 * ((now - init) ** 2).sum(),
    }
    for key, value in expected.items():
        np.testing.assert_allclose(loss(scaled(ft.PENALTIES[key], 0.3), worlds, worlds["now"]), value, rtol=1e-5)


def test_what_an_adapter_added_is_free(worlds):
    added = {**worlds["base"], "policy": {**worlds["base"]["policy"], "input": {"kernel": np.ones((4, 4))}}}
    for name in ("l2sp", "l2init"):
        assert loss(ft.PENALTIES[name], worlds, added) == loss(ft.PENALTIES[name], worlds, worlds["base"])


class KnownLogits:
    """An algorithm whose policies hold their logits."""

    @staticmethod
    def distribution(policy, obs):
        return Categorical(jnp.broadcast_to(policy.params["logits"], (len(obs), 2)))


def known_divergence(penalty, progress):
    base, now = ({"logits": jnp.log(jnp.asarray(p))} for p in ([0.5, 0.5], [0.9, 0.1]))
    source = Source(Policy(base, {}, NETWORK), base)
    memory = penalty.init(jax.random.key(0), KnownLogits, Policy(now, {}, NETWORK), source)
    return penalty.loss(memory, KnownLogits, Policy(now, {}, NETWORK), BATCH, jnp.float32(progress))


def test_forward_kl_is_from_the_base_and_reverse_kl_from_the_policy():
    forward = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    reverse = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    np.testing.assert_allclose(known_divergence(ft.KL(coef=2.0), 0.0), 2 * forward, rtol=1e-5)
    np.testing.assert_allclose(known_divergence(ft.KL(coef=2.0, direction="reverse"), 0.0), 2 * reverse, rtol=1e-5)


@pytest.mark.parametrize("decay, left", [(0.0, 1.0), (1.0, 0.75), (2.0, 0.5625)])
def test_the_kl_coefficient_falls_with_a_power_of_what_is_left_of_the_budget(decay, left):
    whole, later = (known_divergence(ft.KL(decay=decay), progress) for progress in (0.0, 0.25))
    np.testing.assert_allclose(later / whole, left, rtol=1e-6)


def test_kl_sees_through_the_bases_own_statistics(worlds, source):
    algo = ft.PPO(normalize_obs=True)
    statistics = algo.init_statistics(source)
    moved = jax.tree.map(lambda leaf: leaf + 1.0, statistics)
    base = Policy(worlds["base"], statistics, NETWORK)
    memory = ft.KL().init(jax.random.key(0), algo, base, Source(base, worlds["init"]))
    assert abs(ft.KL().loss(memory, algo, base, BATCH, HALF)) < 1e-7
    assert ft.KL().loss(memory, algo, base._replace(statistics=moved), BATCH, HALF) > 1e-4


@pytest.mark.parametrize("name", [name for name in ft.PENALTIES if name != "none"])
def test_in_training_coefficient_zero_is_no_penalty_bit_for_bit(name, tiny, agents, target, finetuned, same):
    method = ft.Method(penalty=scaled(ft.PENALTIES[name], 0.0))
    tuned = ft.finetune(agents, target, method, seed=1, **tiny.budget)
    plain = finetuned("full")
    assert same(tuned.params, plain.params)
    assert same(tuned.opt_state, plain.opt_state)
    np.testing.assert_array_equal(tuned.curve, plain.curve)


@pytest.mark.parametrize("name", [name for name in ft.PENALTIES if name != "none"])
def test_in_training_a_large_coefficient_holds(name, tiny, agents, target, finetuned):
    held = ft.finetune(agents, target, ft.Method(penalty=scaled(ft.PENALTIES[name], 10.0)), seed=1, **tiny.budget)
    anchor = {"l2sp": agents.params, "kl": agents.params, "l2init": agents.init_params}.get(
        name, jax.tree.map(np.zeros_like, agents.params)
    )

    def distance(params):
        if name == "kl":
            logits = [Categorical(_logits(agents, p)) for p in (anchor, params)]
            return float(logits[0].kl(logits[1]).mean())
        return sum(np.sum((a - b) ** 2) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(anchor)))

    assert distance(held.params) < distance(finetuned("full").params)


def _logits(agents, params):
    obs = np.tile(BATCH.obs, (agents.num_seeds, 1, 1))
    x = obs
    for layer in ("dense_0", "dense_1", "head"):
        x = x @ params["policy"][layer]["kernel"] + params["policy"][layer]["bias"][:, None]
        x = x if layer == "head" else np.tanh(x)
    return jnp.asarray(x)
