"""Contracts of configs as jit sees them: another class is another structure, even with the same fields."""

from itertools import combinations

import jax
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import config as rule
from jaxrl_ft.training.report import AXES

TABLES = {**AXES, "algo": ft.ALGOS, "schedule": ft.SCHEDULES}


@pytest.mark.parametrize("axis", list(TABLES))
def test_members_of_an_axis_share_a_structure_only_within_a_class(axis):
    members = list(TABLES[axis].values())
    for one, other in combinations(members, 2):
        if type(one) is not type(other):
            assert jax.tree.structure(one) != jax.tree.structure(other), (one, other)


@pytest.fixture(scope="module")
def twins():
    """Classes that differ in their names alone."""
    body = {"__annotations__": {"x": float, "kind": int}, "x": 1.0, "kind": 3, "__module__": __name__}
    made = [rule.config(type(f"Twin{i}", (), dict(body))) for i in range(12)]
    yield made
    for cls in made:
        del rule.CONFIGS[cls.__name__]


def test_jit_never_takes_one_class_for_another(twins):
    """With jaxlib's own registration of dataclasses about one call in fifteen of these runs another class's program."""
    for _ in range(12):
        # Another class's program gives a result of that class; the programs have one text, which compiles once.
        back = jax.jit(lambda value: value)
        assert [type(back(cls())) for cls in twins] == twins


def test_a_config_goes_through_a_pytree_and_back_with_its_keys():
    method = ft.METHODS["gap_decay"]
    leaves, structure = jax.tree.flatten(method)
    assert jax.tree.unflatten(structure, leaves) == method
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree.leaves_with_path(method)]
    assert "optimizer.rates.layer_decay" in paths and "control.factor" in paths
    assert len(paths) == len(leaves) == len(set(paths))
