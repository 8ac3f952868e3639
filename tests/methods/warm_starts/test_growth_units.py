"""Laws of units that growth copies: which are copied, how what reads them is shared out, and what tells them apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.growing import DENSE, GROWTHS, NETWORKS, RELU, TANH, UNEVEN, applied, apply, grow, observations, task

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.warm_starts.growth import Net2Wider
from jaxrl_ft.rl import actor_critic


def copies(base, grown):
    """For each new unit of the first layer the old one with its incoming weights."""
    old, new = (np.asarray(params["dense_0"]["kernel"]) for params in (base, grown))
    return np.array([np.flatnonzero((old == column[:, None]).all(axis=0)).item() for column in new.T])


def test_every_unit_stays_first_and_numbers_of_copies_differ_by_one_at_most(random_params):
    base = random_params(task("CartPole-v1"), TANH)
    chosen = set()
    for seed in range(5):
        grown = grow(UNEVEN, base, seed)
        units = copies(base["value"], grown["value"])
        assert not np.array_equal(units, copies(base["policy"], grown["policy"]))
        np.testing.assert_array_equal(units[:6], np.arange(6))
        assert set(np.bincount(units)) == {2, 3}
        chosen.add(tuple(units))
    assert len(chosen) == 5


def test_equal_shares_are_the_papers(random_params):
    base = random_params(task("CartPole-v1"), ft.MLP(width=6, depth=1))["policy"]
    grown = grow(Net2Wider(width=15, spread=0.0), {"policy": base})["policy"]
    units = copies(base, grown)
    counts = np.bincount(units)
    np.testing.assert_allclose(
        grown["head"]["kernel"], base["head"]["kernel"][units] / counts[units][:, None], rtol=1e-6
    )
    np.testing.assert_array_equal(grown["head"]["bias"], base["head"]["bias"])
    np.testing.assert_array_equal(grown["dense_0"]["bias"], base["dense_0"]["bias"][units])


def test_random_shares_of_two_copies_are_uniform(random_params):
    """u and 1 - u with u uniform on [0, 1]: mean 1/2, variance 1/12; half the spread halves the deviation."""
    kernel = {"kernel": np.ones((300, 7), np.float32), "bias": np.zeros(7, np.float32)}
    first = {"kernel": np.ones((2, 300), np.float32), "bias": np.zeros(300, np.float32)}
    for spread in (1.0, 0.5):
        grown = grow(Net2Wider(width=600, spread=spread), {"value": {"dense_0": first, "head": kernel}})
        shares = np.asarray(grown["value"]["head"]["kernel"])
        assert shares.min() >= (1 - spread) / 2 and shares.max() <= (1 + spread) / 2
        assert shares.mean() == pytest.approx(0.5, abs=1e-6)
        assert shares.var() == pytest.approx(spread**2 / 12, rel=0.1)


@quick
@jax.grad
def gradients(policy, obs):
    logits = actor_critic.distribution(policy, obs).logits
    return jnp.sum(logits**2) + jnp.sum(actor_critic.values(policy, obs) ** 2)


@pytest.mark.parametrize("kind", ["tanh", "normed"])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_gradients_of_copies_differ_by_more_than_a_factor_when_shares_are_random(kind, spread, random_params):
    """Adam divides a common factor out, and would move both alike."""
    base = random_params(task("CartPole-v1"), NETWORKS[kind])
    grown = grow(Net2Wider(width=12, spread=spread), base)
    grads = gradients(Policy(grown, {}, NETWORKS[kind]), observations(base)).params
    for group in ("policy", "value"):
        units, each = copies(base[group], grown[group]), np.asarray(grads[group]["dense_0"]["kernel"]).T
        for unit in range(6):
            one, two = each[units == unit]
            cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
            if spread:
                assert cosine < 1 - 1e-4
            else:
                np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("warm", [*GROWTHS, DENSE], ids=lambda warm: type(warm).__name__)
def test_agents_grow_side_by_side_each_with_its_own_key(warm, random_params):
    bases = [random_params(task("CartPole-v1"), RELU, seed) for seed in range(3)]
    keys = jax.random.split(jax.random.key(8), 3)
    warm = as_arrays(warm)
    together = quick(jax.vmap(apply, in_axes=(None, 0, 0)))(warm, keys, tree.stack(bases))
    alone = tree.stack([applied(warm, key, base) for key, base in zip(keys, bases)])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), together, alone)
    if isinstance(warm, Net2Wider):
        assert len({tuple(copies(b["policy"], tree.take(alone, i)["policy"])) for i, b in enumerate(bases)}) == 3
