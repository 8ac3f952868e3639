"""Laws of every registered warm start, and closed forms of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.warm_starts import Probe
from jaxrl_ft.rl import actor_critic

NETWORK = ft.MLP(width=8)
OBS = np.random.default_rng(2).normal(size=(50, 4)).astype(np.float32)
GROUPS = {
    "keep": (),
    "scratch": ("policy", "value"),
    "soften": ("policy",),
    "probe_soften": ("policy",),
    "critic_reset": ("value",),
    "shrink_perturb": ("policy", "value"),
}


@pytest.fixture(scope="module")
def trees(random_params, source):
    return random_params(source, NETWORK, 0), random_params(source, NETWORK, 1)


def apply(warm, trees, share=0.25):
    return as_arrays(warm).apply(jax.random.key(0), *trees, Probe(jnp.float32(share)))


def policy(params, obs=OBS):
    return actor_critic.distribution(Policy(params, {}, NETWORK), obs)


@pytest.mark.parametrize("name", list(ft.WARM_STARTS))
def test_the_tree_stays_and_only_the_named_groups_change(name, trees, same):
    base, _ = trees
    start = apply(ft.WARM_STARTS[name], trees)
    assert jax.tree.structure(start) == jax.tree.structure(base)
    assert [leaf.shape for leaf in jax.tree.leaves(start)] == [leaf.shape for leaf in jax.tree.leaves(base)]
    changed = tuple(group for group in base if not same(start[group], base[group]))
    assert changed == GROUPS.get(name, changed)


@pytest.mark.parametrize("name", list(ft.WARM_STARTS))
def test_only_what_starts_over_takes_fresh_statistics(name):
    warm = ft.WARM_STARTS[name]
    assert warm.statistics("base", "fresh") == ("fresh" if isinstance(warm, ft.Scratch) else "base")


def test_keep_is_the_identity(trees):
    assert apply(ft.WARM_STARTS["keep"], trees) is trees[0]


def test_scratch_is_the_fresh_network(trees):
    assert apply(ft.Scratch(), trees) is trees[1]


def test_critic_reset_takes_the_fresh_critic(trees, same):
    start = apply(ft.CriticReset(), trees)
    assert same(start, {"policy": trees[0]["policy"], "value": trees[1]["value"]})


def test_shrink_perturb_is_a_weighted_sum(trees):
    start = apply(ft.ShrinkPerturb(shrink=0.25, perturb=2.0), trees)
    jax.tree.map(lambda s, b, f: np.testing.assert_allclose(s, 0.25 * b + 2 * f, rtol=1e-6), start, *trees)


def test_shrink_perturb_keeps_what_only_the_base_has(trees):
    base, fresh = trees
    extra = np.ones((4, 4), np.float32)
    grown = {**base, "policy": {**base["policy"], "input": {"kernel": extra}}}
    start = apply(ft.ShrinkPerturb(), (grown, fresh))
    np.testing.assert_array_equal(start["policy"]["input"]["kernel"], extra)


@pytest.mark.parametrize("name", ["soften", "probe_soften"])
def test_soften_keeps_the_greedy_action_and_raises_the_entropy(name, trees):
    before, after = policy(trees[0]), policy(apply(ft.WARM_STARTS[name], trees))
    np.testing.assert_array_equal(after.mode(), before.mode())
    assert np.all(after.entropy() > before.entropy())


def head_factor(warm, trees, share):
    start = apply(warm, trees, share)
    ratios = [start["policy"]["head"][leaf] / trees[0]["policy"]["head"][leaf] for leaf in ("kernel", "bias")]
    ratio = np.concatenate([np.ravel(r) for r in ratios])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    return ratio[0]


@pytest.mark.parametrize(
    "share, power, factor", [(0.5, 1.0, 0.5), (0.5, 2.0, 0.25), (0.04, 1.0, 0.1), (0.0, 1.0, 0.1), (1.0, 3.0, 1.0),
                             (0.0, 0.0, 1.0)],
)  # fmt: skip
def test_a_probed_soften_scales_by_the_share_but_by_no_less_than_its_scale(share, power, factor, trees):
    warm = ft.Soften(scale=0.1, power=power, probe_episodes=1)
    np.testing.assert_allclose(head_factor(warm, trees, share), factor, rtol=1e-5)


def test_without_a_probe_soften_scales_by_its_scale_whatever_the_share(trees):
    assert np.isclose(head_factor(ft.Soften(scale=0.3), trees, share=0.9), 0.3)


def test_softening_a_gaussian_policy_keeps_its_mean_and_widens_it(random_params, same):
    pendulum = ft.make_task("Pendulum-v1")
    trees = random_params(pendulum, NETWORK, 0), random_params(pendulum, NETWORK, 1)
    start = apply(ft.Soften(scale=0.1), trees)
    before, after = (policy(params, OBS[:, :3]) for params in (trees[0], start))
    np.testing.assert_array_equal(after.mode(), before.mode())
    np.testing.assert_allclose(np.exp(after.log_std - before.log_std), 10.0, rtol=1e-5)
    assert same(start["value"], trees[0]["value"])
    silent = apply(ft.Soften(scale=0.0), trees)
    assert np.all(np.isfinite(silent["policy"]["log_std"]))
