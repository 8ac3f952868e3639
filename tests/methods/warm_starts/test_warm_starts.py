"""Laws of every registered warm start, and closed forms of each."""

import jax
import numpy as np
import pytest
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.methods.warm_starts import HeadReset, Probe
from jaxrl_ft.methods.warm_starts.growth import Net2Deeper, Net2Wider
from jaxrl_ft.rl import actor_critic

NETWORK = ft.MLP(width=8)
OBS = np.random.default_rng(2).normal(size=(50, 4)).astype(np.float32)
GROUPS = {
    "keep": (),
    "scratch": ("policy", "value"),
    "soften": ("policy",),
    "critic_reset": ("value",),
    "shrink_perturb": ("policy", "value"),
    "head_reset": ("policy", "value"),
    "policy_head_reset": ("policy",),
    "last_k_reset": ("policy", "value"),
    "net2wider": ("policy", "value"),
    "net2deeper": ("policy", "value"),
}


@pytest.fixture(scope="module")
def trees(random_params, source):
    return random_params(source, NETWORK, 0), random_params(source, NETWORK, 1)


def apply(warm, trees):
    """The parameters by what only chooses among leaves, which needs no program."""
    return as_arrays(warm).apply(jax.random.key(0), *trees, Probe(np.float32(0.25)))


def begun(warm, key, base, fresh, share):
    return warm.apply(key, base, fresh, Probe(share))


alone = quick(begun)


def start_of(warm, trees, share=0.25):
    """The parameters by one program, as NumPy arrays; coefficients and shares are traced."""
    return jax.device_get(alone(as_arrays(warm), jax.random.key(0), *trees, np.float32(share)))


@quick
def acted(params, obs):
    """The distribution with its greedy actions and its entropies."""
    distribution = actor_critic.distribution(Policy(params, {}, NETWORK), obs)
    return distribution, distribution.mode(), distribution.entropy()


@pytest.mark.parametrize("name", list(ft.WARM_STARTS))
def test_the_tree_stays_and_only_the_named_groups_change(name, trees, same):
    base, _ = trees
    warm = ft.WARM_STARTS[name]
    start = start_of(warm, trees)
    stays = jax.tree.map(np.shape, start) == jax.tree.map(np.shape, base)
    assert stays != warm.grows
    assert tuple(group for group in base if not same(start[group], base[group])) == GROUPS[name]
    assert warm.grows or warm.network(NETWORK) is NETWORK


@pytest.mark.parametrize("name", [name for name in ft.WARM_STARTS if not ft.WARM_STARTS[name].grows])
def test_agents_start_side_by_side_as_alone(name, trees):
    warm = as_arrays(ft.WARM_STARTS[name])
    keys, shares = jax.random.split(jax.random.key(3), 2), np.array([0.2, 0.9], np.float32)
    bases, freshes = tree.stack([trees[0], trees[1]]), tree.stack([trees[1], trees[0]])
    together = jax.device_get(quick(jax.vmap(begun, in_axes=(None, 0, 0, 0, 0)))(warm, keys, bases, freshes, shares))
    for i, key in enumerate(keys):
        one = alone(warm, key, tree.take(bases, i), tree.take(freshes, i), shares[i])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), tree.take(together, i), one)


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
    start = start_of(ft.ShrinkPerturb(shrink=0.25, perturb=2.0), trees)
    jax.tree.map(lambda s, b, f: np.testing.assert_allclose(s, 0.25 * b + 2 * f, rtol=1e-6), start, *trees)


def test_shrink_perturb_keeps_what_only_the_base_has(trees, same):
    base, fresh = with_parts(trees[0], trees[1]), trees[1]
    start = start_of(ft.ShrinkPerturb(), (base, fresh))
    for part in ("bottleneck_1", "residual"):
        assert same(start["policy"][part], base["policy"][part])


def with_parts(base, other):
    """The base with parts in its policy, as adapters add them."""
    block = start_of(Net2Deeper(width=3), (base, None))["policy"]["bottleneck_1"]
    return {**base, "policy": {**base["policy"], "bottleneck_1": block, "residual": other["policy"]}}


def pendulum_trees(random_params):
    pendulum = ft.make_task("Pendulum-v1")
    return random_params(pendulum, NETWORK, 0), random_params(pendulum, NETWORK, 1)


@pytest.mark.parametrize("k, layers", [(1, {"head", "log_std"}), (2, {"head", "log_std", "dense_1"})])
def test_a_reset_takes_the_last_layers_of_the_fresh_network(k, layers, random_params, same):
    base, fresh = pendulum_trees(random_params)
    start = apply(HeadReset(k=k), (base, fresh))
    for group in base:
        assert set(start[group]) == set(base[group])
        for name in base[group]:
            assert same(start[group][name], (fresh if name in layers else base)[group][name])


def test_a_reset_of_every_layer_is_a_fresh_group(random_params, same):
    base, fresh = pendulum_trees(random_params)
    for k in (3, 9):
        assert same(apply(HeadReset(k=k), (base, fresh)), fresh)
        assert same(apply(HeadReset(k=k, policy=False), (base, fresh)), apply(ft.CriticReset(), (base, fresh)))
        assert same(apply(HeadReset(k=k, critic=False), (base, fresh))["value"], base["value"])


def test_norms_and_added_parts_are_reset_with_their_layer(random_params, source):
    network = ft.MLP(width=8, layer_norm=True)
    trees = random_params(source, network, 0), random_params(source, network, 1)
    base = with_parts(*trees)
    one, two = (apply(HeadReset(k=k), (base, trees[1]))["policy"] for k in (1, 2))
    assert set(base["policy"]) - set(one) == {"residual"}
    assert set(base["policy"]) - set(two) == {"residual", "bottleneck_1"}
    np.testing.assert_array_equal(one["norm_1"]["scale"], base["policy"]["norm_1"]["scale"])
    np.testing.assert_array_equal(two["norm_1"]["scale"], trees[1]["policy"]["norm_1"]["scale"])
    np.testing.assert_array_equal(two["norm_0"]["scale"], base["policy"]["norm_0"]["scale"])


@pytest.mark.parametrize("warm", [ft.ShrinkPerturb(), HeadReset(), HeadReset(k=2)], ids=["shrink", "head", "last_k"])
@pytest.mark.parametrize("network", [ft.MLP(width=9), ft.MLP(width=8, depth=1), ft.MLP(width=8, depth=3)])
def test_fresh_networks_of_other_shapes_are_refused_by_shapes_alone(warm, network, trees, random_params, source):
    shapes = jax.eval_shape(lambda: (trees[0], random_params(source, network, 1)))
    with pytest.raises(ValueError, match=r"fresh: policy/\w+/\w+ of shape .* does not fit the pretrained network's "):
        jax.eval_shape(lambda *given: apply(warm, given), *shapes)


def test_a_grown_network_meets_fresh_ones_of_its_own_config(trees, random_params, source):
    wider = Net2Wider(width=12)
    grown = start_of(wider, trees)
    fresh = random_params(source, wider.network(NETWORK), 1)
    for warm in (ft.ShrinkPerturb(), HeadReset(k=2)):
        start = start_of(warm, (grown, fresh))
        assert jax.tree.map(np.shape, start) == jax.tree.map(np.shape, grown)
        with pytest.raises(
            ValueError, match=r"fresh: policy/dense_0/bias of shape .8,. does not fit the pretrained network's .12,."
        ):
            apply(warm, (grown, trees[1]))


def test_a_reset_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"warm_start\.policy: False is not allowed where critic is False too"):
        check_config(HeadReset(policy=False, critic=False), "warm_start")


@pytest.mark.parametrize("name", list(ft.WARM_STARTS))
def test_rows_are_valid_and_told(name):
    check_config(ft.WARM_STARTS[name], "warm_start")
    assert ft.WARM_STARTS.text(name)


def test_soften_keeps_the_greedy_action_and_raises_the_entropy(trees):
    start = start_of(ft.WARM_STARTS["soften"], trees)
    (_, before, low), (_, after, high) = (jax.device_get(acted(params, OBS)) for params in (trees[0], start))
    np.testing.assert_array_equal(after, before)
    assert np.all(high > low)


def head_factor(warm, trees, share):
    start = start_of(warm, trees, share)
    ratios = [start["policy"]["head"][leaf] / trees[0]["policy"]["head"][leaf] for leaf in ("kernel", "bias")]
    ratio = np.concatenate([np.ravel(r) for r in ratios])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    return ratio[0]


@pytest.mark.parametrize(
    "share, power, factor", [(0.5, 1.0, 0.5), (0.5, 2.0, 0.25), (0.04, 1.0, 0.1), (0.0, 1.0, 0.1), (1.0, 3.0, 1.0),
                             (0.0, 0.0, 1.0)],
)  # fmt: skip
def test_a_probed_soften_scales_by_the_share_but_by_no_less_than_its_scale(share, power, factor, trees):
    warm = ft.Soften(scale=0.1, power=power)
    np.testing.assert_allclose(head_factor(warm, trees, share), factor, rtol=1e-5)


def test_without_a_probe_the_share_is_zero_and_soften_scales_by_its_scale(trees):
    assert np.isclose(head_factor(ft.Soften(scale=0.3), trees, share=0.0), 0.3)


def test_soften_scales_every_layer_that_writes_the_outputs(trees):
    base = trees[0]
    added = {**base, "policy": {**base["policy"], "residual": base["policy"]}}
    start = start_of(ft.Soften(scale=0.5), (added, trees[1]), share=0.0)
    for layer in (start["policy"]["head"], start["policy"]["residual"]["head"]):
        np.testing.assert_allclose(layer["kernel"], 0.5 * base["policy"]["head"]["kernel"])
    np.testing.assert_array_equal(start["policy"]["residual"]["dense_0"]["kernel"], base["policy"]["dense_0"]["kernel"])


def test_softening_a_gaussian_policy_keeps_its_mean_and_widens_it(random_params, same):
    pendulum = ft.make_task("Pendulum-v1")
    trees = random_params(pendulum, NETWORK, 0), random_params(pendulum, NETWORK, 1)
    start = start_of(ft.Soften(scale=0.1), trees, share=0.0)
    (one, before, _), (two, after, _) = (jax.device_get(acted(params, OBS[:, :3])) for params in (trees[0], start))
    np.testing.assert_array_equal(after, before)
    np.testing.assert_allclose(np.exp(two.log_std - one.log_std), 10.0, rtol=1e-5)
    assert same(start["value"], trees[0]["value"])
    silent = start_of(ft.Soften(scale=0.0), trees, share=0.0)
    assert np.all(np.isfinite(silent["policy"]["log_std"]))


@pytest.mark.parametrize("own, widest, found", [(0.0, np.inf, np.log(10)), (0.0, 1.5, np.log(1.5)), (1.0, 1.5, 1.0)])
def test_a_gaussian_policy_is_widened_no_further_than_uniform_actions(own, widest, found):
    base = {"policy": {"log_std": np.float32([own])}, "value": {}}
    start = as_arrays(ft.Soften()).apply(jax.random.key(0), base, None, Probe(np.float32(0), np.float32(widest)))
    np.testing.assert_allclose(start["policy"]["log_std"], [found], rtol=1e-6)
