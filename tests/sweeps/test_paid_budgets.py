"""What was spent on choosing a method counts against its budget."""

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.sweeps.plan import make_plan
from jaxrl_ft.training.spec import Budget, finetune_spec


def compared(agents, target, tiny, **options):
    numbers = {**tiny.budget, "seed": 3, "episodes": 2, "held_out_episodes": 1}
    return ft.compare(agents, {"there": target}, ["full"], **numbers, **options)


@pytest.fixture(scope="module")
def plain(agents, target, tiny):
    return compared(agents, target, tiny)


@pytest.fixture(scope="module")
def paying(agents, target, tiny):
    return compared(agents, target, tiny, paid={"full": 100})


def test_a_method_that_has_paid_trains_for_the_rest_of_its_budget(paying):
    tuned = paying.agents("full", "there")
    # 100 steps are charged as 2 updates of 64, and 6 of 8 updates are left
    assert tuned.curve_steps[0].tolist() == [0, 128, 128 + 3 * 64, 512]
    np.testing.assert_array_equal(tuned.curve[:, 0], tuned.curve[:, 1])
    assert {row["env_steps"] for row in paying.runs if row["method"] == "full"} == {512}


def test_all_methods_have_as_many_steps_whether_they_have_paid_or_not(plain, paying):
    for result in (plain, paying):
        steps = {row["method"]: row["env_steps"] for row in result.runs}
        assert steps == {"zero_shot": 0, "scratch": 512, "full": 512}


def test_a_plan_counts_what_was_paid(agents, target, tiny):
    budget = Budget(512, 3, 3, 4)
    for paid in (0, 1, 64, 100, 448):
        plan = make_plan([finetune_spec(agents, target, ft.METHODS["full"], budget, paid)])
        assert plan.env_steps == 512 * agents.num_seeds
        assert plan.updates_of(0) == 8 - -(-paid // 64)


def test_what_was_paid_must_leave_something(agents, target, tiny, nothing_runs):
    with pytest.raises(ValueError, match="steps: 0 is not allowed"):
        compared(agents, target, tiny, paid={"full": 512})
