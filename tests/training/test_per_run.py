"""A program of one run is that function for every run, whatever their number, the layout and what they share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.training import devices, per_run
from jaxrl_ft.training.per_run import PROGRAMS, QUICK, QUICKEST, Program, forget_when_many, is_compile_option

LEVEL = {"xla_backend_optimization_level": 0}

TRACED = []


def example_moments(power, x, y, offset):
    """A number and an array of one run, told apart by a static power and a shared offset."""
    TRACED.append(power)
    return {"sum": (x["a"] ** power).sum() + offset, "row": x["a"] * y + offset}


@pytest.fixture(scope="module")
def program():
    """Its name is none that a module of the package, which may be imported at any time, would give."""
    made = Program(example_moments, static=("power",), shared=("offset",), donate=())
    yield made
    del PROGRAMS["example_moments"]


def runs(num, seed=0):
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(size=(num, 3)).astype(np.float32)}, rng.normal(size=num).astype(np.float32)


@pytest.mark.parametrize("layout", ["fast", "exact"])
@pytest.mark.parametrize("num", [1, 2, 3, 7, 19])
def test_any_number_of_runs_comes_out_as_it_went_in(num, layout, program):
    x, y = runs(num)
    with devices.laid_out(layout):
        found = program(2, x, y, np.float32(0.5))
    assert all(isinstance(leaf, np.ndarray) and len(leaf) == num for leaf in jax.tree.leaves(found))
    np.testing.assert_allclose(found["sum"], np.square(x["a"]).sum(axis=1) + 0.5, rtol=1e-5)
    np.testing.assert_allclose(found["row"], x["a"] * y[:, None] + 0.5, rtol=1e-5)


@pytest.mark.parametrize("unknown", [{}, {"xla_no_such_option": 1}], ids=["known", "unknown"])
def test_a_brief_program_is_compiled_to_slower_code_and_computes_the_same(unknown, program, monkeypatch):
    """Options that the installed XLA does not know are left out: its versions differ in them."""
    taken, jit = [], jax.jit
    monkeypatch.setattr(jax, "jit", lambda *args, **options: taken.append(options) or jit(*args, **options))
    monkeypatch.setattr(per_run, "QUICKEST", LEVEL | unknown)
    monkeypatch.delitem(PROGRAMS, "example_moments")
    brief = Program(example_moments, static=("power",), shared=("offset",), donate=(), brief=True)
    inputs = (2, *runs(3), np.float32(0.5))
    found = brief(*inputs)
    assert taken[-1]["compiler_options"] == (LEVEL if devices.on_cpu() else None)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), found, program(*inputs))


@pytest.mark.skipif(not devices.on_cpu(), reason="the options are those of CPUs")
@pytest.mark.parametrize("options", [QUICK, QUICKEST])
def test_the_installed_xla_knows_the_level_of_optimisation(options):
    """Without it everything would compile three times as long and nobody would be told."""
    known = {name: is_compile_option(name, value) for name, value in options.items()}
    assert known["xla_backend_optimization_level"]


@pytest.mark.parametrize("few_at_once", [False, True])
@pytest.mark.parametrize("num", [*range(1, 41), 99, 1000])
def test_cores_take_their_runs_in_turns_of_four_to_eight(num, few_at_once):
    layout = devices.layout()
    width = layout.width(num)
    each, turns = width // layout.mesh.size, layout.turns(width // layout.mesh.size, few_at_once)
    assert width % layout.mesh.size == 0 and each % turns == 0 and num <= width
    assert each < 8 + (not few_at_once) if turns == 1 else 4 <= each // turns <= 8
    assert layout.turns(each) <= layout.turns(each, few_at_once=True)
    assert width - num < max(layout.mesh.size, 0.12 * num + layout.mesh.size)


def test_runs_that_lie_on_the_devices_stay_there(program):
    x, y = runs(3)
    width = devices.layout().width(3)
    placed = devices.put((x, y), 3)
    found = program.placed(2, *placed, np.float32(0.5))
    assert all(isinstance(leaf, jax.Array) and len(leaf) == width for leaf in jax.tree.leaves(found))
    jax.tree.map(np.testing.assert_array_equal, devices.trim(found, 3), program(2, x, y, np.float32(0.5)))


def test_numbers_never_trace_again_and_static_arguments_do(program):
    program(2, *runs(2), np.float32(0.5))
    TRACED.clear()
    program(2, *runs(2, seed=1), np.float32(7.0))
    assert not TRACED
    program(3, *runs(2), np.float32(0.5))
    assert set(TRACED) == {3}


def test_the_function_of_one_run_can_be_called(program):
    found = program.one(2, {"a": jnp.arange(3.0)}, 2.0, 1.0)
    assert float(found["sum"]) == 6.0 and found["row"].tolist() == [1.0, 3.0, 5.0]


def test_a_name_belongs_to_one_program(program):
    with pytest.raises(ValueError, match="example_moments"):
        Program(example_moments, static=(), shared=(), donate=())


@pytest.mark.parametrize("static, shared", [((), ("x",)), (("x",), ()), (("power",), ("x",)), (("power", "x"), ("y",))])
def test_static_arguments_come_first_and_shared_ones_last(static, shared, program):
    with pytest.raises(ValueError, match="example_moments: static arguments must come first and shared ones last"):
        Program(example_moments, static=static, shared=shared, donate=())


@pytest.mark.parametrize("limit, forgotten", [(10, True), (10**9, False)])
def test_programs_are_forgotten_before_their_memory_maps_are_too_many(limit, forgotten, tmp_path, monkeypatch):
    maps, allowed = tmp_path / "maps", tmp_path / "allowed"
    maps.write_text("one map\n" * 6)
    allowed.write_text(f"{limit}\n")
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    monkeypatch.setattr("jaxrl_ft.training.per_run.MAPS", maps)
    monkeypatch.setattr("jaxrl_ft.training.per_run.ALLOWED", allowed)
    assert forget_when_many() == forgotten == bool(cleared)
    allowed.unlink()
    assert not forget_when_many()


def test_forgotten_programs_are_made_again_with_the_same_results(agents, target, tiny):
    first = ft.finetune(agents, target, "full", **tiny.budget)
    jax.clear_caches()
    again = ft.finetune(agents, target, "full", **tiny.budget)
    np.testing.assert_array_equal(first.curve, again.curve)
