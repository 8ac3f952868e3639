"""Laws of sweeps: batches change nothing but the time, and every plan holds each run once."""

from dataclasses import replace

import jax
import numpy as np
import psutil
import pytest

import jaxrl_ft as ft
from jaxrl_ft.sweeps import cost
from jaxrl_ft.sweeps.compare import study
from jaxrl_ft.sweeps.plan import make_plan, pretrain, run_plan
from jaxrl_ft.training import devices, finetune
from jaxrl_ft.training.spec import Budget, finetune_spec, pretraining_spec

BUDGET = Budget(steps=512, seed=1, num_evals=3, eval_episodes=4)
EQUAL = dict(zip(("steps", "seed", "num_evals", "eval_episodes"), BUDGET))
"""What a comparison takes of it."""
SHIFTS = ("long-pole", "weak-motor")


@pytest.fixture(scope="module")
def cells(agents):
    two = agents.select([0, 1])
    tasks = [ft.make_task("CartPole-v1", shift) for shift in SHIFTS]
    names = ("zero_shot", "full", "adamw", "scratch", "lora", "soup")
    return [finetune_spec(two, task, ft.METHODS[name], BUDGET) for name in names for task in tasks]


def covered(plan):
    """How often each run of each cell is in a batch."""
    counts = [np.zeros(spec.num_runs, int) for spec in plan.specs]
    for batch in plan.batches:
        for number, (first, num) in zip(batch.cells, batch.parts):
            counts[number][first : first + num] += 1
    return counts


@pytest.mark.parametrize("most", [1, 2, 3, 4, 7, 100])
def test_every_run_is_in_one_batch_and_no_batch_holds_more_than_allowed(cells, agents, most):
    whole = [*cells, finetune_spec(agents, cells[0].task, ft.METHODS["full"], BUDGET)]
    plan = make_plan(whole, most)
    assert all(np.all(count == 1) for count in covered(plan))
    for batch in plan.batches:
        held = sum(num for _, num in batch.parts)
        if batch.width:
            assert held <= batch.width <= max(most, 1)
    assert plan.num_runs == sum(spec.num_runs for spec in whole)


def test_methods_of_one_structure_share_a_program_and_others_do_not(cells):
    plan = make_plan(cells, 4)
    programs = {}
    for batch in plan.batches:
        for number in batch.cells:
            programs.setdefault(number // 2, set()).add(batch.program)
    assert programs[0] == {-1}
    assert programs[1] == programs[2] == programs[3]
    assert programs[4] != programs[1]
    assert plan.num_programs == len(set.union(*programs.values()) - {-1})


def test_env_steps_are_those_that_the_agents_tell(cells):
    plan = make_plan(cells, 4)
    spent = {
        number: int((tuned.env_steps - cells[number].agents.env_steps).sum())
        for number, tuned in run_plan(make_plan(cells[:4], 4))
    }
    assert spent == {number: plan.steps_of(number) for number in range(4)}


@pytest.fixture(scope="module")
def together(cells):
    return dict(run_plan(make_plan(cells, 4)))


def test_a_sweep_is_its_fine_tunes(cells, together):
    assert sorted(together) == list(range(len(cells)))
    for number in (0, 2, 5, 9, 11):
        spec = cells[number]
        alone = ft.finetune(spec.agents, spec.task, spec.method, **BUDGET._asdict())
        np.testing.assert_array_equal(together[number].curve_steps, alone.curve_steps)
        np.testing.assert_array_equal(together[number].env_steps, alone.env_steps)
        assert together[number].report == alone.report and together[number].status == alone.status
        jax.tree.map(
            lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-4),
            together[number].params,
            alone.params,
        )


def test_neighbours_change_no_bit(cells, together, same):
    reversed_cells = dict(run_plan(make_plan(cells[::-1], 4)))
    for number, agents in together.items():
        other = reversed_cells[len(cells) - 1 - number]
        assert same(agents.params, other.params) and same(agents.curve, other.curve)


def test_a_run_that_is_not_finite_disturbs_no_other(cells, together, same):
    broken = jax.tree.map(np.copy, cells[2].agents.params)
    broken["policy"]["head"]["kernel"][1] = np.nan
    changed = [*cells]
    changed[2] = replace(cells[2], agents=replace(cells[2].agents, params=broken))
    found = dict(run_plan(make_plan(changed, 4)))
    assert found[2].status == ("ok", "non-finite parameters")
    for number, agents in found.items():
        one, other = (jax.tree.map(lambda leaf: leaf[0], a.params) for a in (agents, together[number]))
        assert same(one, other)
        assert number == 2 or same(agents.params, together[number].params)


@pytest.mark.parametrize(
    "name",
    ["full", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ewc", "lora", "redo", "imagine", "pbt"))],
)
def test_in_the_exact_layout_a_run_is_what_it_is_alone(name, agents, target, same):
    method = ft.METHODS[name]
    updates = max(4, method.control.stretches) * method.population
    budget = BUDGET._replace(steps=method.spent() + updates * agents.algo.steps_per_update())
    other = ft.make_task("CartPole-v1", "weak-motor")
    neighbours = [finetune_spec(agents, other, method, budget)] if method.population == 1 else []
    spec = finetune_spec(agents, target, method, budget)
    with devices.laid_out("exact"):
        many = finetune.finetune_together([*neighbours, spec])[-1]
        (alone,) = finetune.finetune_together([spec.part(2, 1)])
    of_many = many.select([2])
    assert same(of_many.params, alone.params) and same(of_many.opt_state, alone.opt_state)
    np.testing.assert_array_equal(of_many.curve, alone.curve)


def test_the_parts_of_a_cell_are_the_whole(agents, target, same):
    whole = finetune_spec(agents, target, ft.METHODS["scratch"], BUDGET)
    ((_, parts),) = run_plan(make_plan([whole], 2))
    assert parts.num_seeds == 4 and parts.status == ("ok",) * 4
    alone = ft.finetune(agents, target, "scratch", **BUDGET._asdict())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), parts.params, alone.params)
    starts = [jax.tree.map(lambda leaf, i=i: leaf[i], parts.init_params) for i in range(4)]
    assert not any(same(starts[i], starts[j]) for i in range(4) for j in range(i))


def test_what_is_finished_is_left_out(cells, together):
    plan = make_plan(cells, 4)
    finished = [number for number in together if number not in (6, 7)]
    assert [number for number, _ in run_plan(plan, finished)] == [6, 7]


def test_memory_grows_with_the_width_and_limits_it(agents, target, monkeypatch):
    # Widths that the devices divide, as padding takes memory too.
    num = jax.device_count()
    half, planned = (
        study(agents.select(np.arange(n) % agents.num_seeds), {"long": target}, ["full"], budget=BUDGET)
        for n in (num, 2 * num)
    )
    small, large = (cost.estimate(each.plan)[0] for each in (half, planned))
    # Scratch, which always runs, is of one structure with full.
    assert small.width == 2 * num and large.width == 4 * num
    assert 1.5 * small.memory < large.memory < 3 * small.memory
    assert small.seconds > 0
    each = cost.memory_of_a_run(planned.plan)
    assert each == -(-large.memory // large.width)
    assert cost.most_runs(planned.plan, each * 3) == 3
    assert cost.most_runs(planned.plan, each - 1) == 0
    assert cost.most_runs(planned.plan, each * 10**6) == devices.comfortable()

    def left(free):
        monkeypatch.setattr(cost, "free_memory", lambda _: free)
        return cost.most_runs(planned.plan)

    assert left(2 * each * 3) == 3 and left(2 * each * 10**6) == devices.comfortable()
    # One run at a time is all that can be tried.
    assert left(0) == 1


def test_a_comparison_keeps_to_the_memory_that_is_free(agents, target, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "jaxrl_ft.sweeps.compare.run_plan", lambda plan, *rest: seen.append(plan) or run_plan(plan, *rest)
    )
    monkeypatch.setattr(cost, "free_memory", lambda _: 0)
    tight = ft.compare(agents, {"long": target}, ["full"], **EQUAL, episodes=2, held_out_episodes=1)
    assert {num for batch in seen[0].batches if batch.width for _, num in batch.parts} == {1}
    monkeypatch.undo()
    free = ft.compare(agents, {"long": target}, ["full"], **EQUAL, episodes=2, held_out_episodes=1)
    assert [row["status"] for row in tight.runs] == ["ok"] * len(free.runs)
    np.testing.assert_array_equal(tight.curves[:, 0], free.curves[:, 0])


def test_free_memory_is_what_the_machine_has():
    assert 10**7 < cost.free_memory() <= psutil.virtual_memory().total
    assert 10**7 < cost.free_memory(4) <= psutil.virtual_memory().total / 4


def test_pretraining_in_parts_trains_the_same_agents(agents, source, tiny, same):
    """As many side by side as there are tiny agents, twice."""
    budget = Budget(tiny.steps, 0, 3, 4)
    spec = pretraining_spec(source, tiny.algo, tiny.network, ft.Adam(), 7, budget)
    found = pretrain(spec, source, 4)
    assert found.num_seeds == 7 and found.select(range(4)).digest == agents.digest
    other = finetune.pretrained_agents(spec.part(4, 3), source, width=4)
    assert found.select([4, 5, 6]).digest == other.digest != agents.select([0, 1, 2]).digest


def test_a_limit_of_memory_is_for_pretraining_too(source, tiny, compilations):
    spec = pretraining_spec(source, tiny.algo, tiny.network, ft.Adam(), 4, Budget(tiny.steps, 0, 3, 4))
    assert cost.most_pretrained(spec, 10**9) == 4
    with pytest.raises(ValueError, match=r"memory_limit: 0\.0 MB is not allowed; pretraining one agent takes \d"):
        cost.most_pretrained(spec, 1000)
    assert set(compilations.names) <= {"stretch"}
