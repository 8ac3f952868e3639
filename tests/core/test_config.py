"""The config rule: structure is static, floats are traced, and both survive stacking and JSON."""

import dataclasses
import json
import sys
import types
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_ft.core.config import as_arrays, config, floats, from_json, map_fields, to_json


@config
class RuleLeaf:
    """A config inside another."""

    rate: float = 0.1
    width: int = 64


@config
class RuleOther:
    """A leafless alternative to `RuleLeaf`."""

    flag: bool = True


@config
class RuleTree:
    """One field of every kind."""

    count: int = 3
    flag: bool = False
    text: str = "tanh"
    kind: Literal["a", "b"] = "a"
    maybe_kind: Literal["a", "b"] | None = None
    sizes: tuple[int, ...] = (64, 64)
    names: tuple[str, ...] = ()
    maybe_count: int | None = None
    rate: float = 0.5
    maybe_rate: float | None = None
    mixed: int | float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    leaf: RuleLeaf | RuleOther = RuleLeaf()
    leaves: tuple[RuleLeaf, ...] = (RuleLeaf(rate=1.0), RuleLeaf(rate=2.0))


FLOATS = {
    "rate": 0.5,
    "mixed": 0.0,
    "betas.0": 0.9,
    "betas.1": 0.999,
    "leaf.rate": 0.1,
    "leaves.0.rate": 1.0,
    "leaves.1.rate": 2.0,
}
STRUCTURAL = [
    {"count": 4},
    {"flag": True},
    {"text": "relu"},
    {"kind": "b"},
    {"maybe_kind": "a"},
    {"sizes": (64, 32)},
    {"names": ("a",)},
    {"maybe_count": 1},
    {"maybe_rate": 0.1},
    {"leaf": RuleOther()},
    {"leaf": RuleLeaf(width=2)},
    {"leaves": ()},
]


def test_the_floats_and_only_they_are_leaves():
    assert floats(RuleTree()) == pytest.approx(FLOATS)
    assert floats(RuleTree(maybe_count=3, maybe_kind="a")) == pytest.approx(FLOATS)
    assert floats(RuleTree(maybe_rate=0.25)) == pytest.approx(FLOATS | {"maybe_rate": 0.25})


@pytest.mark.parametrize("change", STRUCTURAL, ids=str)
def test_every_other_change_is_one_of_structure(change):
    assert jax.tree.structure(dataclasses.replace(RuleTree(), **change)) != jax.tree.structure(RuleTree())


def test_floats_do_not_retrace_and_structure_does():
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def total(tree):
        return tree.count * tree.rate + tree.leaf.rate + sum(tree.betas) + sum(leaf.rate for leaf in tree.leaves)

    for rate in (0.5, 2.0, np.float64(3.0), jnp.float32(4.0)):
        tree = as_arrays(RuleTree(rate=rate, leaf=RuleLeaf(rate=2 * rate), betas=(rate, 0.0)))
        assert float(total(tree)) == pytest.approx(3 * float(rate) + 2 * float(rate) + float(rate) + 3.0)
    with pytest.raises(AssertionError, match="traced"):
        total(as_arrays(RuleTree(count=4)))


def test_as_arrays_makes_every_float_float32_and_keeps_structure():
    tree = as_arrays(RuleTree(rate=1))
    assert {(leaf.dtype, leaf.shape) for leaf in jax.tree.leaves(tree)} == {(np.dtype(np.float32), ())}
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(tree))
    assert jax.tree.structure(tree) == jax.tree.structure(RuleTree())


def test_configs_stack_and_sweep_by_vmap():
    trees = [as_arrays(RuleTree(rate=float(rate))) for rate in range(4)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    assert stacked.sizes == (64, 64)
    result = jax.vmap(lambda tree: tree.rate * tree.count + tree.betas[0])(stacked)
    np.testing.assert_allclose(result, np.arange(4) * 3 + 0.9, rtol=1e-6)
    with pytest.raises(ValueError):
        jax.tree.map(lambda *leaves: leaves, RuleTree(), RuleTree(count=4))


def test_json_gives_the_same_config_back():
    tree = RuleTree(
        count=7, flag=True, kind="b", maybe_kind="b", sizes=(1, 2, 3), names=("x", "y"), maybe_count=0, rate=1 / 3,
        maybe_rate=1e-30, betas=(0.5, 0.25), leaf=RuleOther(flag=False), leaves=(RuleLeaf(width=1),),
    )  # fmt: skip
    for value in (tree, RuleTree()):
        text = json.dumps(to_json(value), allow_nan=False)
        assert from_json(json.loads(text)) == value


def test_json_keeps_arrays_as_numbers():
    tree = as_arrays(RuleTree(rate=0.1))
    back = as_arrays(from_json(json.loads(json.dumps(to_json(tree)))))
    for left, right in zip(jax.tree.leaves(back), jax.tree.leaves(tree), strict=True):
        assert left.tobytes() == right.tobytes()
    stacked = RuleLeaf(rate=jnp.arange(3.0))
    assert to_json(stacked) == {"type": f"{__name__}.RuleLeaf", "rate": [0.0, 1.0, 2.0], "width": 64}


def test_json_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match=r"'RuleLeef' is not known"):
        from_json({"type": "RuleLeef"})
    with pytest.raises(ValueError, match="None is not known"):
        from_json({"rate": 1.0})
    with pytest.raises(ValueError, match=r"RuleLeaf has no field 'rat'; its fields: rate, width"):
        from_json({"type": "RuleLeaf", "rat": 1.0})
    with pytest.raises(ValueError, match=r"needs module os \(class system\)"):
        from_json({"type": "RuleTree", "leaf": {"type": "os.system"}})
    with pytest.raises(TypeError, match="object"):
        to_json(RuleLeaf(rate=object()))


def test_two_modules_cannot_share_a_config_name(monkeypatch):
    module = types.ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    impostor = type("RuleLeaf", (), {"__module__": "elsewhere", "__annotations__": {"rate": float}, "rate": 1.0})
    with pytest.raises(TypeError, match=r"'RuleLeaf' is taken by .*test_config"):
        config(impostor)
    assert from_json({"type": "RuleLeaf"}) == RuleLeaf()


def test_configs_are_frozen_keyword_only_and_hash_nothing_traced():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RuleLeaf().rate = 2.0
    with pytest.raises(TypeError):
        RuleLeaf(2.0)


def test_map_fields_visits_every_plain_field_by_its_path():
    seen = {}

    def double(path, value):
        seen[path] = value
        return 2 * value if path == "leaf.rate" else value

    assert map_fields(RuleTree(), double) == RuleTree(leaf=RuleLeaf(rate=0.2))
    assert {"count", "rate", "betas", "leaf.rate", "leaf.width"} <= set(seen) and "leaf" not in seen


def test_configs_are_equal_and_hash_by_class_structure_and_numbers():
    arrays = [
        RuleLeaf(rate=np.arange(3.0)),
        RuleLeaf(rate=jnp.arange(3.0)),
        RuleLeaf(rate=np.arange(3, dtype=np.float32)),
    ]
    assert len(set(arrays)) == 1
    assert RuleLeaf(rate=0.5) == as_arrays(RuleLeaf(rate=0.5)) and RuleTree(rate=1) == RuleTree(rate=1.0)
    different = [RuleTree(), RuleTree(rate=0.25), *(dataclasses.replace(RuleTree(), **change) for change in STRUCTURAL)]
    assert len({*different, RuleTree()}) == len(different)
    for other in (RuleLeaf(rate=np.arange(4.0)), RuleLeaf(rate=np.array([0.0, 1.0, 2.5])), RuleLeaf(rate=0.0), "leaf"):
        assert arrays[0] != other


def test_a_dict_inside_a_config_survives_json():
    @config
    class Named:
        """Numbers by name."""

        values: dict[str, np.ndarray]

    named = Named(values={"b": np.float32(2.0), "type": np.float32(1.0)})
    again = from_json(json.loads(json.dumps(to_json(named))))
    assert again == named and set(again.values) == {"type", "b"}
