"""Contracts of the table METHODS that need no training: every row is allowed, is itself, and is no other."""

import re
from dataclasses import fields
from itertools import combinations

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.config import floats, from_json, to_json
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.training import compatibility
from jaxrl_ft.training.report import AXES

NAMES = list(ft.METHODS)
EPS = 1e-9


def moved(part, path=""):
    """The floats of a config that differ from its class's own, by path; an absent one is told from any number."""
    usual = floats(type(part)())
    theirs = floats(part)
    own = {name for name in theirs if abs(theirs[name] - usual.get(name, np.inf)) > EPS}
    inner = (getattr(part, field.name) for field in fields(part) if hasattr(getattr(part, field.name), "BOUNDS"))
    return own.union(*(moved(config) for config in inner)) if path else own


def identity(method):
    """The structure of a method, and for every part the names of the numbers that it moves."""
    parts = {field.name: getattr(method, field.name) for field in fields(method)}
    configs = {name: part for name, part in parts.items() if hasattr(part, "__dataclass_fields__")}
    return (
        jax.tree.structure(method),
        frozenset(f"{name}.{path}" for name, part in configs.items() for path in moved(part)),
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_allowed_and_survives_a_file(name):
    method = ft.METHODS[name]
    check_config(method, "method")
    assert from_json(to_json(method)) == method
    assert jax.tree.structure(from_json(to_json(method))) == jax.tree.structure(method)


def test_rows_of_one_structure_differ_in_which_numbers_they_move():
    """A coefficient of another size makes no other method; something switched on, or another quantity changed, does."""
    same = [(a, b) for a, b in combinations(NAMES, 2) if identity(ft.METHODS[a]) == identity(ft.METHODS[b])]
    assert same == []


def test_a_row_named_like_a_member_of_an_axis_has_that_member_and_its_text():
    found = 0
    for axis, table in AXES.items():
        for name in set(table) & set(NAMES):
            if type(getattr(ft.METHODS[name], axis)) is type(table[name]):
                found += 1
                assert getattr(ft.METHODS[name], axis) == table[name], (axis, name)
    assert found > 40


def test_every_row_has_a_text_of_its_own_without_a_full_stop():
    texts = [ft.METHODS.text(name) for name in NAMES]
    assert len(set(texts)) == len(texts)
    assert all(text and not text.endswith(".") for text in texts)


def test_the_recommended_method_and_the_references_are_rows():
    assert ft.RECOMMENDED in ft.METHODS
    assert ft.METHODS["full"] == ft.Method() and not ft.METHODS["zero_shot"].trains
    assert all(method.trains for name, method in ft.METHODS.items() if name != "zero_shot")


@pytest.fixture(scope="module")
def fits(tiny, source):
    """A function that refuses a method that does not fit a network."""

    def check(network, method):
        shapes, _ = compatibility.fresh_shapes(tiny.algo, network, source)
        compatibility.check_fits(method, shapes, shapes)

    return check


@pytest.mark.parametrize("name", NAMES)
def test_every_row_fits_a_network_or_says_what_it_lacks(name, tiny, fits, rows, nothing_runs):
    method = rows(name)
    fits(ft.MLP(width=12, layer_norm=True), method)
    if name != "norm":
        fits(tiny.network, method)
        return
    paths = r"policy/dense_0/bias, policy/dense_0/kernel, .*value/head/kernel"
    with pytest.raises(ValueError, match=rf"method\.adapter\.pattern: .* matches no parameter \(paths: {paths}\)"):
        fits(tiny.network, method)


def test_what_norm_trains_is_refused_to_agents_without_norms(agents, target, nothing_runs):
    with pytest.raises(ValueError, match=re.escape("matches no parameter (paths: policy/dense_0/bias")):
        ft.finetune(agents, target, "norm")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_row_pays_is_what_its_parts_pay(name):
    method = ft.METHODS[name]
    before = 8 * method.look.steps + method.look.probe_episodes * method.look.probe_steps
    control = method.control
    between = (control.stretches - 1) * control.validation_episodes * control.validation_steps * control.population
    assert method.spent_before() == before
    assert method.spent() == before + between
