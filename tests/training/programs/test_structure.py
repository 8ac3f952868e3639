"""A structure comes back from JSON as it was, and what a later process might not find is refused."""

import json
from typing import NamedTuple

import jax
import numpy as np
import pytest
from flax import struct

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.rl.rollout import Episodes
from jaxrl_ft.training.programs.structure import UnstorableError, described, leaf_types, rebuilt, value


class Pair(NamedTuple):
    """A class that no later process needs to have."""

    one: int
    other: int


@struct.dataclass
class Mine:
    """Likewise."""

    x: int


def described_again(tree):
    return json.loads(json.dumps(described(jax.tree.structure(tree))))


@pytest.mark.parametrize(
    "tree",
    [
        1.0,
        None,
        {},
        [],
        (),
        (1, [2, None], {"b": 3, "a": (4,)}),
        Episodes(1.0, {"x": 2.0}),
        ft.make_task("CartPole-v1"),
        ft.make_task("Pendulum-v1").reset(jax.random.key(0)),
        *(as_arrays(method) for method in ft.METHODS.values()),
    ],
)
def test_a_structure_comes_back(tree):
    structure = jax.tree.structure(tree)
    again = rebuilt(described_again(tree))
    assert again == structure and hash(again) == hash(structure)
    leaves = jax.tree.leaves(tree)
    assert jax.tree.structure(again.unflatten(leaves)) == structure


def test_static_fields_and_classes_tell_structures_apart():
    trees = [ft.PPO(), ft.PPO(num_steps=64), ft.MLP(), ft.MLP(width=32), (1, 2), [1, 2], {"a": 1}, {"b": 1}, None, 1.0]
    assert len({json.dumps(described_again(as_arrays(tree))) for tree in trees}) == len(trees)
    values = [True, 1, 1.0, "1", None, (1,), [1], ((1,),), ft.PPO, ft.MLP]
    assert len({json.dumps(value(static)) for static in values}) == len(values)


@pytest.mark.parametrize("tree", [Pair(1, 2), {"a": (Pair(1, 2),)}, Mine(x=1)])
def test_a_class_from_elsewhere_is_refused(tree):
    with pytest.raises(UnstorableError, match="elsewhere"):
        described(jax.tree.structure(tree))


@pytest.mark.parametrize("static", [np.float32(1), {1}, print, Pair])
def test_static_data_of_other_kinds_is_refused(static):
    with pytest.raises(UnstorableError):
        value((static,))


def test_a_class_that_is_another_one_now_is_refused(monkeypatch):
    told, structure = described(jax.tree.structure(Episodes(1, 2))), jax.tree.structure(Episodes(1, 2))
    monkeypatch.setattr("jaxrl_ft.rl.rollout.Episodes", Pair)
    with pytest.raises(UnstorableError):
        described(structure)
    monkeypatch.delattr("jaxrl_ft.rl.rollout.Episodes")
    with pytest.raises(UnstorableError):
        rebuilt(told)


@pytest.mark.parametrize("name", ["os:system", "builtins:eval", "nowhere:Thing", "jaxrl_ft.rl.rollout:order", "x"])
def test_a_file_cannot_name_what_is_no_class_from_here(name):
    with pytest.raises(UnstorableError):
        rebuilt([name, None, []])


def test_types_tell_arrays_apart():
    leaves = [np.zeros(2, np.float32), np.zeros(3, np.float32), np.zeros(2, np.int32), np.float32(0), 0.0, 0, False]
    types = leaf_types(leaves)
    assert len(set(types)) == len(leaves)
    assert leaf_types([jax.numpy.zeros(2)]) == leaf_types([np.zeros(2, np.float32)])
