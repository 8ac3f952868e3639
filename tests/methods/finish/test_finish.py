"""Laws of every registered finish, and closed forms of each."""

import jax
import numpy as np
import pytest
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.methods.finish import FINISHES, Finish, Prune, Soup, WiSE

NETWORK = ft.MLP(width=6, layer_norm=True)
IDENTITIES = {"keep": Finish(), "wise": WiSE(weight=1.0), "soup": Soup(population=1), "prune": Prune(share=0.0)}
"""Each row with what makes it the identity."""


@pytest.fixture(scope="module")
def base(random_params):
    return random_params(ft.make_task("Pendulum-v1"), NETWORK, 0)


@pytest.fixture(scope="module")
def members(random_params):
    """Four fine-tunes; entries that only a copy of the bits keeps are among them."""
    each = [random_params(ft.make_task("Pendulum-v1"), NETWORK, seed) for seed in range(1, 5)]
    each[0]["policy"]["head"]["bias"][0] = -0.0
    each[0]["value"]["head"]["bias"][0] = 1e-40
    return each


def applied(finish, base, members):
    return finish.apply(base, members)


alone = quick(applied)


def apply(finish, base, members):
    """What a finish makes of the first of these members, as NumPy arrays; coefficients share a program."""
    return jax.device_get(alone(as_arrays(finish), base, tree.stack(members[: finish.population])))


def test_every_row_can_be_the_identity():
    assert {name: type(row) for name, row in FINISHES.items()} == {n: type(row) for n, row in IDENTITIES.items()}


@pytest.mark.parametrize("name", list(FINISHES))
def test_rows_are_valid_and_told(name):
    check_config(FINISHES[name], "finish")
    assert FINISHES.text(name)


@pytest.mark.parametrize("name", list(IDENTITIES))
def test_the_identity_is_bit_for_bit_whatever_the_base(name, base, members, same):
    for start in (base, jax.tree.map(lambda leaf: np.full_like(leaf, np.inf), base)):
        assert same(apply(IDENTITIES[name], start, members), members[0])


@pytest.mark.parametrize("name", list(FINISHES))
def test_tree_and_shapes_are_the_fine_tunes(name, base, members):
    finished = apply(FINISHES[name], base, members)
    assert jax.tree.map(np.shape, finished) == jax.tree.map(np.shape, members[0])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(finished))


@pytest.mark.parametrize("name", list(FINISHES))
def test_runs_finish_side_by_side_as_alone(name, base, members):
    row = as_arrays(FINISHES[name])
    bases = tree.stack([base, members[3]])
    runs = tree.stack([tree.stack(members[: row.population]), tree.stack(members[::-1][: row.population])])
    together = jax.device_get(quick(jax.vmap(applied, in_axes=(None, 0, 0)))(row, bases, runs))
    for i in range(2):
        one = alone(row, tree.take(bases, i), tree.take(runs, i))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), tree.take(together, i), one)


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5])
def test_wise_lies_on_the_line_from_base_to_fine_tune(weight, base, members):
    finished = apply(WiSE(weight=weight), base, members)
    jax.tree.map(
        lambda f, b, m: np.testing.assert_allclose(f, b + weight * (m - b), rtol=1e-5, atol=1e-6),
        finished, base, members[0],
    )  # fmt: skip


def test_a_soup_is_the_mean_and_does_not_depend_on_the_order(base, members):
    soup = apply(Soup(population=4), base, members)
    mean = jax.tree.map(lambda *leaves: np.mean(np.asarray(leaves, np.float64), axis=0), *members)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), soup, mean)
    other = apply(Soup(population=4), base, members[::-1])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), soup, other)
    halfway = apply(Soup(population=4, weight=0.5), base, members)
    jax.tree.map(lambda h, s, b: np.testing.assert_allclose(2 * h, s + b, rtol=1e-5, atol=1e-6), halfway, soup, base)


def test_a_soup_of_equal_members_is_the_member(base, members):
    soup = apply(Soup(population=3), base, [members[1]] * 3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), soup, members[1])


@pytest.mark.parametrize("finish", [WiSE(weight=0.25), Soup(population=2, weight=0.25)])
def test_what_only_the_fine_tune_has_is_kept(finish, base, members, same):
    extra = {"down": {"kernel": np.full((6, 2), 3.0, np.float32)}}
    added = {"bottleneck_1": extra, "residual": members[2]["policy"]}
    adapted = [{**member, "policy": {**member["policy"], **added}} for member in members]
    plain, finished = apply(finish, base, members), apply(finish, base, adapted)
    for name, part in added.items():
        assert same(finished["policy"][name], part)
    assert same({name: finished["policy"][name] for name in base["policy"]}, plain["policy"])
    # What only the base has was taken away by the warm start.
    older = {**base, "policy": {**base["policy"], **added}}
    assert same(apply(finish, older, members), plain)


@pytest.mark.parametrize("network", [ft.MLP(width=12, layer_norm=True), ft.MLP(width=6, depth=3, layer_norm=True)])
@pytest.mark.parametrize("finish", [WiSE(), Soup(population=2)])
def test_grown_networks_are_refused_by_shapes_alone(finish, network, base, random_params):
    grown = [random_params(ft.make_task("Pendulum-v1"), network, seed) for seed in range(2)]
    with pytest.raises(
        ValueError, match=r"weight: policy/dense_\d/bias of shape \(\d+,\) does not fit the pretrained network's"
    ):
        jax.eval_shape(applied, finish, base, tree.stack(grown[: finish.population]))
    assert finish.anchored


def test_added_parts_of_other_shapes_are_refused(base, members):
    def blocked(params, width):
        block = {"down": {"kernel": np.ones((6, width), np.float32)}}
        return {**params, "policy": {**params["policy"], "bottleneck_1": block}}

    with pytest.raises(ValueError, match=r"weight: policy/bottleneck_1/down/kernel of shape \(6, 3\) does not fit"):
        apply(WiSE(), blocked(base, 1), [blocked(members[0], 3)])


@pytest.mark.parametrize("finish", [Finish(), Prune()])
def test_what_does_not_look_at_the_base_takes_grown_networks(finish, base, random_params):
    grown = random_params(ft.make_task("Pendulum-v1"), ft.MLP(width=12), 1)
    assert not finish.anchored
    assert jax.tree.map(np.shape, apply(finish, base, [grown])) == jax.tree.map(np.shape, grown)


@pytest.mark.parametrize("share, zeros", [(0.25, 4), (0.5, 8), (0.53, 8), (1.0, 16)])
def test_pruning_sets_the_smallest_entries_of_each_kernel_to_zero(share, zeros):
    sizes = np.random.default_rng(0).permutation(16).reshape(4, 4) + 1.0
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (4, 4))
    kernels = {"large": 100.0 * sizes * signs, "small": (sizes * signs).T, "equal": np.ones((4, 4))}
    params = {"policy": {name: {"kernel": np.asarray(k, np.float32)} for name, k in kernels.items()}}
    pruned = apply(Prune(share=share), params, [params])["policy"]
    for name, kernel in kernels.items():
        after = np.asarray(pruned[name]["kernel"])
        assert (after == 0).sum() == zeros
        np.testing.assert_array_equal(after[after != 0], kernel[after != 0].astype(np.float32))
    np.testing.assert_array_equal(pruned["large"]["kernel"] == 0, sizes <= zeros)


def test_pruning_leaves_all_but_kernels_alone(base, members, same):
    finished = tree.flatten(apply(Prune(share=1.0), base, members))
    for path, leaf in tree.flatten(members[0]).items():
        expected = np.zeros_like(leaf) if path.endswith("/kernel") else leaf
        assert same(finished[path], expected), path


def test_shares_and_weights_are_traced(base, members):
    """Or a sweep over them would compile once for each."""
    stacked = tree.stack(members[:1])
    for row, name in ((WiSE(), "weight"), (Prune(), "share")):
        swept = quick(jax.vmap(lambda x, row=row, name=name: type(row)(**{name: x}).apply(base, stacked)))
        result = jax.device_get(swept(np.array([0.1, 0.9], np.float32)))
        assert not np.array_equal(*result["policy"]["head"]["kernel"])


@pytest.mark.parametrize(
    "finish, message",
    [
        (WiSE(weight=1.5), "finish.weight: 1.5 is not allowed"),
        (Prune(share=-0.1), "finish.share: -0.1 is not allowed"),
        (Finish(population=2), "finish.population: 2 is not allowed"),
        (Soup(population=0), "finish.population: 0 is not allowed"),
    ],
)
def test_bounds_are_refused(finish, message):
    with pytest.raises(ValueError, match=message):
        check_config(finish, "finish")


def test_a_mean_leaves_out_members_that_are_not_finite(base, members):
    """One number is enough to be left out, and the others weigh alike; nothing is left of members none of which is."""
    broken = [jax.tree.map(np.copy, member) for member in members]
    broken[1]["value"]["head"]["bias"][0] = np.nan
    broken[3]["policy"]["head"]["kernel"][0, 0] = -np.inf
    mixed = apply(Soup(), base, broken)
    jax.tree.map(
        lambda mean, one, other: np.testing.assert_allclose(mean, (one + other) / 2, rtol=1e-6, atol=1e-7),
        mixed, broken[0], broken[2],
    )  # fmt: skip
    nothing = apply(Soup(), base, [broken[1]] * 4)
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(nothing))
