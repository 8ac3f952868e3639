"""Laws of look, alignment and imagination, for every registered member; and the axes are the same eleven everywhere."""

from dataclasses import fields, replace

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.config import config
from jaxrl_ft.methods.catalogue import AXES

ELEVEN = ["look", "warm_start", "alignment", "imagination", "adapter", "penalty", "optimizer", "intervention", "data",
          "control", "finish"]  # fmt: skip
SETTINGS = {"keep", "ent_coef", "trains"}
"""What a method has beside its axes."""
LOOK = ft.Look(steps=64)


@pytest.fixture(scope="module")
def tune(agents, target, tiny, enough):
    """A function from a method to the agents after 8 updates of it."""
    known = {}

    def tuned(method):
        if method not in known:
            known[method] = ft.finetune(agents, target, method, seed=1, **{**tiny.budget, "steps": enough(method)})
        return known[method]

    return tuned


def test_method_and_table_name_the_same_eleven_axes():
    assert list(AXES) == ELEVEN
    assert [field.name for field in fields(ft.Method) if field.name not in SETTINGS] == ELEVEN


@pytest.mark.parametrize("axis", ELEVEN)
def test_the_first_member_of_an_axis_is_that_of_plain_fine_tuning(axis):
    assert getattr(ft.Method(), axis) == next(iter(AXES[axis].values()))


@pytest.mark.parametrize("name", list(ft.LOOKS))
def test_the_steps_of_a_look_are_in_the_budget(name, tune, agents, tiny):
    look = ft.LOOKS[name]
    tuned, plain = tune(ft.Method(look=look)), tune(ft.Method())
    spent = 8 * look.steps + look.probe_episodes * look.probe_steps
    np.testing.assert_array_equal(tuned.env_steps, agents.env_steps + tiny.steps + spent)
    paid = [0, spent] if spent else [0]
    np.testing.assert_array_equal(tuned.curve_steps[:, : len(paid)], np.tile(paid, (tiny.seeds, 1)))
    np.testing.assert_array_equal(tuned.curve_steps[:, -1], plain.curve_steps[:, -1] + spent)


@pytest.mark.parametrize("name", [name for name in ft.LOOKS if ft.LOOKS[name].spent()])
def test_a_budget_that_the_look_uses_up_is_refused(name, agents, target, nothing_runs):
    look = ft.LOOKS[name]
    with pytest.raises(ValueError, match=f"steps: {look.spent()} is not allowed; it must exceed"):
        ft.finetune(agents, target, ft.Method(look=look), steps=look.spent())


@pytest.mark.parametrize("name", list(ft.ALIGNMENTS))
def test_an_alignment_that_finds_no_change_leaves_every_bit(name, tune, same):
    aligned, plain = tune(ft.Method(look=LOOK, alignment=ft.ALIGNMENTS[name])), tune(ft.Method(look=LOOK))
    for part in ("params", "opt_state", "init_params", "curve", "curve_steps", "env_steps"):
        assert same(getattr(aligned, part), getattr(plain, part)), part


@config
class Swapped(ft.Alignment):
    """An alignment of a user's own: actions in reverse order, whatever the look has shown."""

    def estimate(self, source, target, num_actions, continuous):
        none = super().estimate(source, target, num_actions, continuous)
        return none._replace(actions=none.actions[::-1])


def test_an_alignment_of_a_users_own_changes_what_training_starts_from(tune, agents):
    tuned = tune(ft.Method(look=LOOK, alignment=Swapped(), optimizer=ft.Adam(learning_rate=0.0)))
    for leaf in ("kernel", "bias"):
        before, after = (each.params["policy"]["head"][leaf] for each in (agents, tuned))
        np.testing.assert_array_equal(after, before[..., ::-1])


@pytest.mark.parametrize("name", list(ft.IMAGINATIONS))
def test_a_run_goes_on_without_a_model_that_is_refused_and_pays_nothing_for_it(name, tune, same):
    strict = replace(ft.IMAGINATIONS[name], accuracy=1.0)
    refused, plain = tune(ft.Method(look=LOOK, imagination=strict)), tune(ft.Method(look=LOOK))
    assert not strict.acts or any("in 0 of 4 runs" in line for line in refused.report)
    for part in ("params", "opt_state", "curve", "curve_steps", "env_steps"):
        assert same(getattr(refused, part), getattr(plain, part)), part
