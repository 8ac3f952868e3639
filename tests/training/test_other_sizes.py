"""Laws of targets with observations or actions of other sizes: what fits is carried, the report names the rest."""

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.sweeps import cells
from jaxrl_ft.training.compatibility import check_sizes, same_sizes
from jaxrl_ft.training.spec import Budget, finetune_spec

FITS = {"policy/dense_0/bias", "policy/dense_1/bias", "policy/dense_1/kernel", "value/dense_0/bias",
        "value/dense_1/bias", "value/dense_1/kernel", "value/head/bias", "value/head/kernel"}  # fmt: skip
SHORT = {"steps": 64, "num_evals": 2, "eval_episodes": 1}


@pytest.fixture(scope="module")
def acrobot():
    return ft.make_task("Acrobot-v1")


@pytest.fixture(scope="module")
def moved(agents, acrobot):
    """The agents on Acrobot after an update at rate 0: where training starts."""
    still = ft.Method(optimizer=ft.Adam(learning_rate=0.0))
    return ft.finetune(agents, acrobot, still, seed=1, **SHORT)


def test_what_fits_is_carried_bit_for_bit_and_the_rest_is_fresh(moved, agents, acrobot, same):
    before, after = tree.flatten(agents.params), tree.flatten(moved.params)
    assert {path for path in after if same(before[path], after[path])} == FITS
    assert after["policy/dense_0/kernel"].shape == (4, 6, 8) and after["policy/head/kernel"].shape == (4, 8, 3)
    seeds = [leaf.std(axis=tuple(range(1, leaf.ndim))) for path, leaf in after.items() if path.endswith("kernel")]
    assert np.all(np.array(seeds) > 0)
    assert moved.task is acrobot and moved.source is agents.source and moved.status == ("ok",) * 4
    assert moved.policy(0)(np.zeros((5, 6))).shape == (5,)


def test_parameters_before_any_training_fit_too(moved, agents, same):
    first, now = tree.flatten(moved.init_params), tree.flatten(moved.params)
    assert {path: leaf.shape for path, leaf in first.items()} == {path: leaf.shape for path, leaf in now.items()}
    for path in FITS:
        assert same(first[path], tree.flatten(agents.init_params)[path])


def test_the_report_names_what_is_fresh(moved):
    told = {line.split(":")[0]: line for line in moved.report}
    assert "6 observations" in told["sizes"] and "4 observations" in told["sizes"]
    reset = [line for line in moved.report if line.startswith(("actor: reset", "critic: reset"))]
    named = {path for line in reset for path in line.split(": ", 2)[2].split(", ")}
    assert named == set(tree.flatten(moved.params)) - FITS
    kept = [line for line in moved.report if line.startswith(("actor: kept", "critic: kept"))]
    assert {path for line in kept for path in line.split(": ", 2)[2].split(", ")} == FITS


NEED_SOURCE = {
    "ewc": "method: asks for source experience, but the target has other observations or actions",
    "cloning": "method: asks for source experience",
    "replay": "method: asks for source experience",
    "mixture": r"method\.data: Mixture mixes source and target",
    "between": r"method\.data: Between mixes source and target",
    "realign": r"method\.alignment: Realign compares sensors and actions",
    "realign_soften": r"method\.alignment: Realign compares sensors and actions",
    "jump_start": r"method\.data: JumpStart mixes source and target",
}


@pytest.mark.parametrize("name", list(NEED_SOURCE))
def test_what_needs_the_source_is_refused(name, moved, agents, acrobot, nothing_runs):
    for given in (agents, moved):
        with pytest.raises(ValueError, match=NEED_SOURCE[name]):
            ft.finetune(given, acrobot, name)


def test_comparisons_are_refused_for_they_evaluate_on_the_source(agents, acrobot, nothing_runs):
    with pytest.raises(ValueError, match=r"6 observations, .* do not fit agents trained on 4 observations"):
        ft.compare(agents, {"acrobot": acrobot}, ["full"])


def test_the_agents_of_another_size_are_saved_and_train_on(moved, acrobot, tmp_path, same):
    ft.save(moved, tmp_path / "agents")
    loaded = ft.load(tmp_path / "agents")
    for part in ("params", "init_params", "opt_state", "curve"):
        assert same(getattr(loaded, part), getattr(moved, part))
    again = ft.finetune(loaded, acrobot, "full", seed=2, **SHORT)
    assert again.status == ("ok",) * 4 and not same(again.params, moved.params)
    np.testing.assert_array_equal(
        again.curve[:, 0], ft.finetune(moved, acrobot, "zero_shot", seed=2, **SHORT).curve[:, 0]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["l2sp", "l2init", "infer", "kl", "features", "imagine", "lora", "scratch"])
def test_what_needs_no_source_trains(name, agents, acrobot, rows, enough, tiny):
    method = rows(name)
    tuned = ft.finetune(agents, acrobot, method, **{**tiny.budget, "steps": enough(method)})
    assert tuned.status == ("ok",) * 4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tuned.params))


@pytest.mark.slow
def test_there_and_back_again(agents, source, moved, tiny):
    back = ft.finetune(moved, source, "full", seed=3, **SHORT)
    assert {path: leaf.shape for path, leaf in tree.flatten(back.params).items()} == {
        path: leaf.shape for path, leaf in tree.flatten(agents.params).items()
    }
    with pytest.raises(ValueError, match="asks for source experience"):
        ft.finetune(moved, source, "ewc")


@pytest.fixture(scope="module")
def swinging(tiny, random_params):
    """Agents of a Pendulum, wrapped."""
    task = ft.make_task("Pendulum-v1")
    return ft.wrap(random_params(task, tiny.network), task, algo=tiny.algo)


def test_bounds_of_actions_are_no_sizes(swinging, nothing_runs):
    weaker = ft.make_task("Pendulum-v1", max_torque=1.5)
    check_sizes(swinging, weaker)
    assert same_sizes(swinging.task, weaker) and swinging.task.action_space != weaker.action_space
    # The tiny network has no norms to train.
    names = [name for name in ft.METHODS if name != "norm" and not ft.METHODS[name].keeps]
    for name in names:
        spec = finetune_spec(swinging, weaker, ft.METHODS[name], Budget(20_480, 1, 3, 4))
        assert (spec.task, spec.before) == (weaker, swinging.task), name
    compared = cells.checked(swinging, {"weaker": weaker}, names, budget=Budget())
    assert len(compared.names) == len(names)


@pytest.mark.parametrize("task", [ft.make_task(id) for id in ("CartPole-v1", "MountainCar-v0", "Acrobot-v1")])
def test_kinds_and_numbers_of_actions_are_sizes(task, swinging, nothing_runs):
    with pytest.raises(ValueError, match="3 observations, 1 continuous actions"):
        check_sizes(swinging, task)
