"""Penalties against formulas worked out by hand, in NumPy."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.penalty_worlds import (
    ALGO,
    BATCH,
    NETWORK,
    STATES,
    Data,
    Linear,
    examine,
    linear,
    memory_of,
    moment,
    policy_of,
    softmax,
    source_of,
)
from helpers.trees import flat

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.methods.penalties import EWC, L1SP, MAS, Churn, Cloning, Features, InFeR, Source, importance

OBS = np.asarray(STATES.obs, np.float64)
NORMALIZING = ft.PPO(normalize_obs=True)


@pytest.fixture(scope="module")
def worlds(random_params, source):
    return {name: random_params(source, NETWORK, seed) for seed, name in enumerate(("base", "init", "now", "before"))}


def test_distances_of_parameters(worlds):
    now, base, init = (flat(worlds[name]).astype(np.float64) for name in ("now", "base", "init"))
    expected = {
        ft.L1(coef=0.3): 0.3 * np.abs(now).sum(),
        L1SP(coef=0.3): 0.3 * np.abs(now - base).sum(),
        ft.L2(coef=0.3): 0.15 * (now**2).sum(),
        ft.L2SP(coef=0.3): 0.15 * ((now - base) ** 2).sum(),
        ft.L2Init(coef=0.3): 0.15 * ((now - init) ** 2).sum(),
    }
    for penalty, value in expected.items():
        np.testing.assert_allclose(examine(penalty, worlds, worlds["now"]).loss, value, rtol=1e-5)


@pytest.mark.parametrize("penalty", [EWC(coef=0.7), MAS(coef=0.7), EWC(coef=0.7, normalize=False)])
def test_importance_weighs_each_squared_distance(penalty, worlds):
    memory, loss, *_ = examine(penalty, worlds, worlds["now"])
    gaps = [(leaf - anchor) ** 2 for leaf, anchor in zip(*(jax.tree.leaves(worlds[n]) for n in ("now", "base")))]
    weights = jax.tree.leaves(memory["importance"])
    expected = 0.35 * sum(np.sum(np.float64(weight) * gap) for weight, gap in zip(weights, gaps))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert not np.any(flat(memory["importance"]["value"]))
    mean = flat(memory["importance"]["policy"]).mean(dtype=np.float64)
    assert (abs(mean - 1) < 1e-5) == penalty.normalize


@quick
def weights_of(policy):
    """The Fisher information and the sensitivity of a linear policy."""
    return importance.fisher(Linear, policy, STATES.obs), importance.sensitivity(Linear, policy, STATES.obs)


def test_fisher_of_a_softmax_linear_policy():
    """E x² p (1 - p) for the weight of input x to the logit of an action with probability p."""
    policy = linear(0)
    p = softmax(OBS @ policy.params["policy"]["kernel"])
    found, _ = weights_of(policy)
    np.testing.assert_allclose(found["kernel"], (OBS**2).T @ (p * (1 - p)) / len(OBS), rtol=1e-5)


def test_fisher_of_a_gaussian_linear_policy():
    """E x²/σ² for the weights of a mean, 2 for a log standard deviation."""
    log_std = np.array([-1.0, 0.0, 0.7])
    found, _ = weights_of(linear(0, log_std))
    expected = (OBS**2).mean(axis=0)[:, None] / np.exp(2 * log_std)
    np.testing.assert_allclose(found["kernel"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["log_std"], np.full(3, 2.0), rtol=1e-5)


def scores(params, x):
    """Probabilities [A] and, by hand, the gradients of each log-probability for a 4-3-2 tanh policy."""
    hidden, head = params["policy"]["dense_0"], params["policy"]["head"]
    h = np.tanh(x @ hidden["kernel"] + hidden["bias"])
    p = softmax(h @ head["kernel"] + head["bias"])
    for action in range(2):
        out = np.eye(2)[action] - p
        inner = (head["kernel"] @ out) * (1 - h**2)
        yield (
            p[action],
            {
                "dense_0": {"kernel": np.outer(x, inner), "bias": inner},
                "head": {"kernel": np.outer(h, out), "bias": out},
            },
        )


@quick
def fisher_and_memory(worlds, obs):
    found = importance.fisher(ALGO, policy_of(worlds["base"]), obs)
    source = source_of(worlds, Data(obs))
    return found, EWC(normalize=False).init(jax.random.key(0), ALGO, policy_of(worlds["now"]), source)


@pytest.mark.parametrize("num", [1, 6, 37, 40])
def test_fisher_of_a_small_network_for_any_number_of_states(num, worlds):
    obs = np.random.default_rng(num).normal(size=(num, 4)).astype(np.float32)
    base = jax.tree.map(np.float64, worlds["base"])
    expected = jax.tree.map(np.zeros_like, base["policy"])
    for x in obs.astype(np.float64):
        for weight, grads in scores(base, x):
            expected = jax.tree.map(lambda total, g, p=weight: total + p * g**2 / num, expected, grads)
    found, ewc = jax.device_get(fisher_and_memory(worlds, obs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), found, expected)
    jax.tree.map(np.testing.assert_array_equal, ewc["importance"]["policy"], dict(found))
    jax.tree.map(np.testing.assert_array_equal, ewc["anchor"]["policy"], dict(worlds["base"]["policy"]))


def test_sensitivity_of_linear_policies():
    """E |2 x z| for the weight of input x to output z; |2 log σ| for a log standard deviation, itself an output."""
    log_std = np.array([-1.0, 0.0, 0.7])
    for policy in (linear(0), linear(0, log_std)):
        z = OBS @ policy.params["policy"]["kernel"]
        _, found = weights_of(policy)
        np.testing.assert_allclose(found["kernel"], 2 * np.abs(OBS).T @ np.abs(z) / len(OBS), rtol=1e-4)
    np.testing.assert_allclose(found["log_std"], 2 * np.abs(log_std), rtol=1e-5)


def test_importance_zero_everywhere_stays_zero():
    zero = {"kernel": np.zeros((2, 3), np.float32), "bias": np.zeros(3, np.float32)}
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(quick(importance.normalized)(zero)))


@quick
def _divergence_and_slope(penalty, base, now, states, at):
    memory = penalty.init(jax.random.key(0), Linear, now, Source(base, base.params, states))

    def value(kernel):
        params = {**now.params, "policy": {**now.params["policy"], "kernel": kernel}}
        return penalty.loss(memory, Linear, now._replace(params=params), BATCH, at)

    return jax.value_and_grad(value)(now.params["policy"]["kernel"])


def divergence_and_slope(penalty, base, now, at):
    """Value and gradient of a penalty between two linear policies on BATCH, with STATES as source data."""
    return jax.device_get(_divergence_and_slope(as_arrays(penalty), base, now, STATES, at))


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_divergences_of_softmax_linear_policies_and_their_gradients(direction):
    base, now, x = linear(0), linear(1), np.asarray(BATCH.obs, np.float64)
    value, slope = divergence_and_slope(ft.KL(coef=2.0, direction=direction), base, now, moment(0.0))
    p, q = (softmax(x @ policy.params["policy"]["kernel"]) for policy in (base, now))
    if direction == "forward":
        kl, errors = (p * np.log(p / q)).sum(-1), q - p
    else:
        kl = (q * np.log(q / p)).sum(-1)
        errors = q * (np.log(q / p) - kl[:, None])
    np.testing.assert_allclose(value, 2 * kl.mean(), rtol=1e-5)
    np.testing.assert_allclose(slope, 2 * x.T @ errors / len(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_divergences_of_gaussian_policies(direction):
    base, now = linear(0, [-1.0, 0.0, 0.5]), linear(1, [0.0, 0.3, -0.5])
    value, _ = divergence_and_slope(ft.KL(coef=1.0, direction=direction), base, now, moment(0.0))
    first, second = (base, now) if direction == "forward" else (now, base)
    (m1, s1), (m2, s2) = (
        (BATCH.obs @ policy.params["policy"]["kernel"], np.exp(policy.params["policy"]["log_std"]))
        for policy in (first, second)
    )
    kl = np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5
    np.testing.assert_allclose(value, kl.sum(-1).mean(), rtol=1e-5)


@pytest.mark.parametrize("decay, left", [(0.0, 1.0), (1.0, 0.75), (2.0, 0.5625)])
@pytest.mark.parametrize("penalty", [ft.KL(), Cloning()])
def test_the_coefficient_falls_with_a_power_of_what_is_left_of_the_budget(penalty, decay, left):
    penalty = replace(penalty, decay=decay)
    whole, later = (divergence_and_slope(penalty, linear(0), linear(1), moment(p))[0] for p in (0.0, 0.25))
    np.testing.assert_allclose(later / whole, left, rtol=1e-6)


@pytest.mark.parametrize("step, rows", [(0, [0, 1, 2, 3]), (1, [4, 5, 6, 7]), (2, [8, 9, 0, 1]), (2**31 - 1, None)])
def test_cloning_walks_through_the_source_states(step, rows):
    base, now = linear(0), linear(1)
    value, slope = divergence_and_slope(Cloning(coef=3.0, batch_size=4), base, now, moment(step=step))
    rows = [(step * 4 + i) % 10 for i in range(4)] if rows is None else rows
    p, q = (softmax(OBS[rows] @ policy.params["policy"]["kernel"]) for policy in (base, now))
    np.testing.assert_allclose(value, 3 * (p * np.log(p / q)).sum(-1).mean(), rtol=1e-5)
    np.testing.assert_allclose(slope, 3 * OBS[rows].T @ (q - p) / 4, rtol=1e-4, atol=1e-6)


def test_cloning_remembers_gaussian_policies():
    base = linear(0, [-1.0, 0.0, 0.5])
    source = Source(base, base.params, STATES)
    memory = jax.eval_shape(partial(Cloning().init, algo=Linear), jax.random.key(0), policy=base, source=source)
    assert memory["base"].mean.shape == memory["base"].log_std.shape == (10, 3)
    assert abs(divergence_and_slope(Cloning(), base, base, moment())[0]) < 1e-7
    assert divergence_and_slope(Cloning(), base, linear(1, [0.0, 0.3, -0.5]), moment())[0] > 0.1


def hidden(params, group="policy"):
    layer = params[group]["dense_0"]
    return np.tanh(np.float64(BATCH.obs) @ layer["kernel"] + layer["bias"])


def test_the_distance_of_features(worlds):
    gaps = hidden(worlds["now"]) - hidden(worlds["base"])
    found = examine(Features(coef=2.0), worlds, worlds["now"])
    np.testing.assert_allclose(found.loss, 2 * (gaps**2).mean(), rtol=1e-5)


def test_features_of_the_critic_are_free(worlds):
    other = {**worlds["base"], "value": worlds["now"]["value"]}
    assert examine(Features(), worlds, other).loss == 0


def test_a_random_subspace_of_the_first_features(worlds):
    penalty = InFeR(coef=0.5, num_heads=7)
    found = examine(penalty, worlds, worlds["now"])
    heads = found.memory["heads"]
    assert heads["policy"].shape == heads["value"].shape == (3, 7)
    assert not np.array_equal(heads["policy"], heads["value"])
    expected = 0.0
    for group in ("policy", "value"):
        gaps = hidden(worlds["now"], group) - hidden(worlds["init"], group)
        expected += 0.5 * ((gaps @ np.float64(heads[group])) ** 2).sum(-1).mean()
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)


def test_random_heads_keep_the_scale_of_features(worlds):
    memory = quick(memory_of)(InFeR(num_heads=4096), worlds, STATES)
    heads = np.asarray(memory["heads"]["policy"])
    np.testing.assert_allclose((heads @ heads.T) / 4096, np.eye(3) / 3, atol=0.03)


@quick
def churn_and_slope(penalty, before, now, at):
    memory = penalty.init(jax.random.key(0), Linear, now, Source(now, now.params))
    memory = penalty.after_step(memory, Linear, before)

    def value(params):
        return penalty.loss(memory, Linear, now._replace(params=params), BATCH, at)

    return jax.value_and_grad(value)(now.params)


def test_churn_is_the_divergence_from_the_policy_before_the_step():
    before, now, x = linear(0), linear(1), np.asarray(BATCH.obs, np.float64)
    value, _ = churn_and_slope(Churn(coef=2.0), before, now, moment(step=1))
    p, q = (softmax(x @ policy.params["policy"]["kernel"]) for policy in (before, now))
    np.testing.assert_allclose(value, 2 * (p * np.log(p / q)).sum(-1).mean(), rtol=1e-5)
    first, slope = churn_and_slope(Churn(coef=2.0), before, now, moment(step=0))
    assert first == 0 and not any(np.any(leaf) for leaf in jax.tree.leaves(slope))


@quick
def losses_with_statistics(penalty, source, moved):
    """The losses of the base against itself, with its own statistics and with others."""
    base = source.policy
    memory = penalty.init(jax.random.key(0), NORMALIZING, base, source)
    policies = (base, base._replace(statistics=moved))
    return [penalty.loss(memory, NORMALIZING, policy, BATCH, moment()) for policy in policies]


def test_the_base_is_seen_through_its_own_statistics_and_churn_through_the_present_ones(worlds, source):
    statistics = jax.device_get(quick(NORMALIZING.init_statistics)(source))
    moved = jax.tree.map(lambda leaf: leaf + np.float32(1), statistics)
    base = policy_of(worlds["base"])._replace(statistics=statistics)
    for penalty, cares in [(ft.KL(), True), (Cloning(), True), (Features(), True), (Churn(), False)]:
        own, later = losses_with_statistics(penalty, Source(base, worlds["init"], STATES), moved)
        assert abs(float(own)) < 1e-7
        assert (float(later) > 1e-4) == cares
