"""Every field of every row of the tables with hostile values: one refusal that names it, before anything compiles."""

import pytest
from helpers import hostile
from hypothesis import strategies as st

import jaxrl_ft as ft
from jaxrl_ft.methods.catalogue import AXES
from jaxrl_ft.training.finetune import untrained
from jaxrl_ft.training.spec import Budget, pretraining_spec

TABLES = {"algo": ft.ALGOS, "network": ft.NETWORKS, "optimizer": ft.OPTIMIZERS, "method": ft.METHODS, **AXES}
SOURCE = ft.make_task("CartPole-v1")
TARGET = ft.make_task("CartPole-v1", shift="long-pole")
PLACES = [
    (table, name, path)
    for table, rows in TABLES.items()
    for name in rows
    for path in [*hostile.paths(rows[name]), *[()] * (table in AXES)]
]


@pytest.fixture(scope="module")
def shapes():
    """Agents of which there are shapes alone."""
    budget = Budget(steps=2048, seed=0, num_evals=2, eval_episodes=1)
    return untrained(pretraining_spec(SOURCE, ft.PPO(), ft.MLP(), ft.Adam(), 2, budget))


def call(table, config, agents):
    if table in ("algo", "network"):
        return lambda: ft.pretrain(SOURCE, **{table: config}, seeds=2)
    if table == "method":
        return lambda: ft.finetune(agents, TARGET, config)
    return lambda: ft.finetune(agents, TARGET, ft.Method(**{table: config}))


def judged(agents, place, value):
    """Whether the field took the value; it, or the budget that it exceeds, is refused by name, or else the row is."""
    table, name, path = place
    row = TABLES[table][name]
    told = hostile.refused(call(table, hostile.changed(row, path, value), agents), None)
    if told is None:
        assert hostile.fits(row, path, value) if path else isinstance(value, type(row).__mro__[-2])
    elif not any(name in told for name in [*(path or [table]), "steps: "]):
        assert told == hostile.refused(call(table, row, agents), None)
    return told is None


@pytest.mark.parametrize("examples", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_field_is_refused_by_name_or_trains(examples, shapes, monkeypatch, compilations):
    taken = []
    compilations.reset()
    with hostile.stopped_at_the_door(monkeypatch):
        cases = st.tuples(st.sampled_from(PLACES), hostile.values())
        hostile.fuzz(cases, lambda place, value: taken.append(judged(shapes, place, value)), examples)
    assert not compilations.names
    assert 0.02 < sum(taken) / len(taken) < 0.6
