"""Contracts of what trains side by side: a plan is made of the shapes of all that programs are given."""

from itertools import pairwise

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.methods.control import Control
from jaxrl_ft.methods.finish import Finish
from jaxrl_ft.sweeps.plan import make_plan, run_plan
from jaxrl_ft.sweeps.structure import outline as outline_of
from jaxrl_ft.training import finetune
from jaxrl_ft.training.initial_state import given
from jaxrl_ft.training.preparation.prepare import prepare
from jaxrl_ft.training.spec import Budget, finetune_spec, pretraining_spec

BUDGET = Budget(steps=1024, seed=1, num_evals=2, eval_episodes=1)
REFERENCES = ("scratch", "full")
APART = (
    "between",
    "mixture",
    "jump_start",
    "net2deeper",
    "net2wider",
    "lora",
    "ewc",
    "cloning",
    "replay",
    "keep_adam",
    "lp_ft",
)
"""Rows whose worlds, guides, parameters, adapters, memories, source rows, moments or counts are not the references'."""
TUNED = ("bottleneck", "plasticity", "progressive", "net2deeper", "net2wider")
"""Rows that leave networks other than those of their config."""


def outlined(runs):
    """Structure, shapes and types of one run of many."""
    leaves, structure = jax.tree.flatten(runs)
    return structure, tuple((leaf.shape[1:], np.asarray(leaf).dtype) for leaf in leaves)


def inputs(spec):
    """What the programs of a cell are given, and the policy that is evaluated before its first update."""
    start = prepare(spec).start
    return given(spec, start), start.base


@pytest.fixture(scope="module")
def wrapped(source):
    """Two agents whose policy and critic have hidden layers of four widths."""
    rng = np.random.default_rng(0)

    def layers(*sizes):
        names = [*(f"dense_{i}" for i in range(len(sizes) - 2)), "head"]
        return {
            name: {"kernel": rng.normal(size=(2, below, above), scale=0.3), "bias": np.zeros((2, above))}
            for name, (below, above) in zip(names, pairwise(sizes))
        }

    return ft.wrap({"policy": layers(4, 8, 6, 2), "value": layers(4, 7, 5, 1)}, source)


def cells(agents, target, names, rows):
    return [finetune_spec(agents, target, rows(name), BUDGET) for name in names]


def shared(plan):
    """Cells that train in one batch."""
    return {batch.cells for batch in plan.batches if len(batch.cells) > 1}


def test_what_differs_from_the_references_is_planned_apart(agents, target, rows):
    names = [*REFERENCES, "adamw", *APART]
    plan = make_plan(cells(agents.select([0, 1]), target, names, rows), 64)
    assert shared(plan) == {(0, 1, 2)}
    programs = {names[batch.cells[0]]: batch.program for batch in plan.batches}
    # What is kept of the optimizer concerns the first state alone; where experience comes from is in the program.
    assert programs["scratch"] == programs["keep_adam"]
    others = ("between", "jump_start", "net2deeper", "net2wider", "lora", "ewc", "cloning", "replay")
    assert len({programs["scratch"], *(programs[name] for name in others)}) == 1 + len(others)


@pytest.mark.parametrize("name", ["scratch", *APART])
def test_plans_are_made_with_the_shapes_that_programs_are_given(name, agents, target, rows):
    spec = finetune_spec(agents, target, rows(name), BUDGET)
    runs, untouched = inputs(spec)
    outline = outline_of(spec)
    assert (outline.given, outline.untouched) == (outlined(runs), outlined(untouched))


def test_agents_yet_to_be_pretrained_have_the_shapes_of_those_that_are(agents, tiny, source):
    budget = Budget(tiny.steps, 0, 2, 1)
    spec = pretraining_spec(source, tiny.algo, tiny.network, agents.method.optimizer, tiny.seeds, budget)
    told = finetune.untrained(spec)
    for part in ("params", "statistics", "init_params", "opt_state"):
        assert outlined(getattr(told, part)) == outlined(getattr(agents, part)), part
    assert (told.trainable, told.num_parameters) == (agents.trainable, agents.num_parameters)


def test_agents_whose_network_is_not_of_their_config_train_beside_what_is_given_the_same(wrapped, target, rows):
    chosen = cells(wrapped, target, (*REFERENCES, "adamw"), rows)
    together = shared(make_plan(chosen, 64))
    assert together
    for numbers in together:
        assert len({outlined(inputs(chosen[number])) for number in numbers}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TUNED, "wrapped"])
def test_agents_of_any_network_are_compared_saved_and_tuned_again(name, finetuned, wrapped, target, tmp_path):
    first = wrapped if name == "wrapped" else finetuned(name)
    ft.save(first, tmp_path / "agents")
    loaded = ft.load(tmp_path / "agents")
    # The first parameters of a wider network have other shapes, and so there is no distance from them.
    anchored = [] if name == "net2wider" else ["l2init"]
    methods = ["full", "head_reset", "soften", *anchored, "lora", "jump_start"]
    budget = {
        **dict(zip(("steps", "seed", "num_evals", "eval_episodes"), BUDGET)),
        "episodes": 1,
        "held_out_episodes": 1,
    }
    result = ft.compare(loaded, {"long": target}, methods, seeds=2, **budget)
    assert {row["status"] for row in result.runs} == {"ok"}
    again = ft.finetune(result.agents("full", "long"), target, "full", **BUDGET._asdict())
    assert set(again.status) == {"ok"} and again.num_parameters == first.num_parameters


@pytest.mark.slow
def test_all_rows_at_once_train(agents, target, rows):
    alone = [n for n, m in ft.METHODS.items() if type(m.control) is not Control or type(m.finish) is not Finish]
    names = [name for name in ft.METHODS if name not in (*alone, "norm")]
    plan = make_plan(cells(agents.select([0, 1]), target, names, rows), 64)
    chosen = [number for number, batch in enumerate(plan.batches) if len(batch.cells) > 1]
    trained = dict(run_plan(plan, chosen=chosen))
    assert {*REFERENCES, "adamw", "lp_ft", "rslora", "nadamw", "imagine", "jump_start_curriculum"} <= {
        names[number] for number in trained
    }
    assert {status for tuned in trained.values() for status in tuned.status} == {"ok"}
