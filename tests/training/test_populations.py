"""Laws of populations: members share the budget, and what becomes of them is a mean or the best."""

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.training import keys, loop
from jaxrl_ft.training.initial_state import Start
from jaxrl_ft.training.spec import Spec

UPDATES, MEMBERS = 4, 2


@pytest.fixture(scope="module")
def two(agents):
    """Two agents, so that two members of each are as wide as the tiny agents' programs."""
    return agents.select([0, 1])


@pytest.fixture(scope="module")
def budget(tiny):
    return {"steps": UPDATES * MEMBERS * tiny.algo.steps_per_update(), "num_evals": 3, "eval_episodes": 4, "seed": 1}


@pytest.fixture(scope="module")
def members(agents, source, target, tiny):
    """A function from the number of a member to what that member's runs, trained by themselves, end with."""
    four = agents.select([0, 1, 0, 1])
    policy = Policy(four.params, four.statistics, four.network)
    start = Start(policy, four.init_params, Source(policy, four.init_params), np.ones(4, np.float32))

    def train(member):
        spec = Spec(tiny.algo, tiny.network, ft.Method(), source, target, 1, 4, UPDATES, 2, 1)
        alone = loop.train(spec, start._replace(numbers=keys.MEMBER * member + np.arange(4)))
        return jax.tree.map(lambda leaf: leaf[:2], alone.policy.params)

    return train


def test_a_soup_is_the_mean_of_fine_tunes_that_share_the_budget(two, target, budget, members):
    tuned = ft.finetune(two, target, ft.Method(finish=ft.Soup(population=MEMBERS)), **budget)
    np.testing.assert_array_equal(tuned.env_steps - two.env_steps, budget["steps"])
    np.testing.assert_array_equal(tuned.curve_steps, np.tile([0, budget["steps"] // 2, budget["steps"]], (2, 1)))
    alone = [members(member) for member in range(MEMBERS)]
    jax.tree.map(
        lambda mean, *each: np.testing.assert_allclose(mean, np.mean(each, axis=0), atol=1e-6), tuned.params, *alone
    )
    gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), *alone)
    assert max(jax.tree.leaves(gaps)) > 1e-3
    assert tuned.opt_state is None and tuned.num_seeds == 2


def test_the_curve_of_a_soup_begins_with_the_base(two, target, budget):
    tuned = ft.finetune(two, target, ft.Method(finish=ft.Soup(population=MEMBERS)), **budget)
    zero_shot = ft.finetune(two, target, "zero_shot", **budget)
    np.testing.assert_array_equal(tuned.curve[:, 0], zero_shot.curve[:, 0])


PBT = ft.Method(control=ft.PBT(population=MEMBERS, stretches=2, share=0.5))


@pytest.fixture(scope="module")
def population(two, target, budget):
    return ft.finetune(two, target, PBT, **budget)


def test_population_based_training_is_the_same_again_and_another_with_another_seed(
    population, two, target, budget, same
):
    again, other = (ft.finetune(two, target, PBT, **{**budget, "seed": seed}) for seed in (1, 2))
    for part in ("params", "curve", "curve_steps", "env_steps"):
        assert same(getattr(population, part), getattr(again, part)), part
    assert not same(population.params, other.params)


def test_members_share_the_budget_and_the_best_is_kept(population, two, target, budget, members, same):
    np.testing.assert_array_equal(population.env_steps - two.env_steps, budget["steps"])
    assert population.num_seeds == 2 and population.opt_state is None and population.status == ("ok", "ok")
    assert not any(same(population.params, members(member)) for member in range(MEMBERS))


def test_a_population_that_never_acts_keeps_one_of_its_members_unchanged(two, target, budget, members, same):
    still = ft.PBT(population=MEMBERS, stretches=1, spread=1.0)
    tuned = ft.finetune(two, target, ft.Method(control=still), **budget)
    each = [members(member) for member in range(MEMBERS)]
    for run in range(2):
        ours, *theirs = ([leaf[run] for leaf in jax.tree.leaves(params)] for params in (tuned.params, *each))
        assert any(same(ours, one) for one in theirs)


@pytest.mark.parametrize("seeds, size", [(1, 3), (2, 3)])
@pytest.mark.slow
def test_a_population_may_be_of_any_size_beside_the_devices(seeds, size, agents, target, tiny):
    method = ft.Method(control=ft.PBT(population=size, stretches=2))
    steps = 2 * size * tiny.algo.steps_per_update()
    tuned = ft.finetune(agents.select(range(seeds)), target, method, steps=steps, num_evals=3, eval_episodes=2)
    assert tuned.curve.shape == (seeds, 3) and tuned.status == ("ok",) * seeds
    np.testing.assert_array_equal(tuned.curve_steps[:, -1], steps)


@pytest.mark.slow
def test_validation_is_charged_where_it_happens(agents, target, tiny):
    control = ft.GapDecay(stretches=4, validation_episodes=2, validation_steps=32)
    method = ft.Method(data=ft.Between(spread=0.5), control=control)
    assert method.spent() == 3 * 2 * 32
    tuned = ft.finetune(agents, target, method, steps=512 + method.spent(), num_evals=9, eval_episodes=2)
    # Eight updates in four stretches; what a validation costs is on the curve at the next evaluation.
    updates = np.arange(9) * 64
    expected = updates + 64 * np.clip((np.arange(9) - 1) // 2, 0, 3)
    np.testing.assert_array_equal(tuned.curve_steps, np.tile(expected, (4, 1)))
    np.testing.assert_array_equal(tuned.env_steps - agents.env_steps, 512 + method.spent())
