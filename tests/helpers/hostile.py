"""Values that nobody should give, and a judge of what is made of them: a refusal by name, or a training at its door."""

import collections
import dataclasses
import inspect
import os
import signal
import types
import typing
from contextlib import contextmanager

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import jaxrl_ft as ft
from jaxrl_ft.training import devices

VALUES = (
    None, True, False, 0, 1, -1, 2, 3, 7, 2**31 - 1, 2**31, 2**63, -(2**40), 10**400, 10**5000,
    0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 1e-320, 1e30, 1e39, -1e308, float("nan"), float("inf"), -float("inf"), 1j,
    "", " ", "x", "1", "nan", "full", "None", "é\u202e", "a\nb", "\ud800", "x" * 5000, "../../x", "{}", b"x",
    (), [], {}, set(), (None,), [[]], ((),), (1, 2), (1.0,), [64, 64], ("x",), (0,), (2**40,), ((1, 2), 3), {"a": {}},
    range(3), object, print, Ellipsis, NotImplemented, ValueError("x"),
    np.float32(0.5), np.float64("nan"), np.int64(3), np.bool_(True), np.str_("x"), np.array(0.5), np.array([0.5]),
    np.array([1.0, 2.0]),
    np.zeros((0,)), np.array([None]), np.array("x"), np.zeros((2, 2), np.int32),
    ft.PPO(), ft.MLP(), ft.Adam(), ft.LoRA(), ft.KL(), ft.Method(), ft.Schedule(), ft.Soften(), ft.Method,
)  # fmt: skip
"""Wrong types, numbers beyond every range, empty and nested things, text that breaks lines, and configs elsewhere."""
SECONDS = 30
"""Of computing that one example may take."""
EXAMPLES = float(os.environ.get("JAXRL_FT_EXAMPLES", "1"))
"""What the numbers of examples are multiplied by."""


class ReachedError(Exception):
    """A training was about to begin."""


class Hung(BaseException):
    """An example computes for too long."""


def numbers():
    """Values that are near what fields take: whole numbers and floats of every size."""
    return st.one_of(st.integers(), st.floats(), st.integers(-3, 300), st.floats(-1.0, 2.0))


def values():
    """Hostile values and those of Hypothesis."""
    few = st.one_of(numbers(), st.text(max_size=8), st.none())
    return st.one_of(
        st.sampled_from(VALUES), numbers(), st.text(max_size=20), st.tuples(few), st.lists(few, max_size=3).map(tuple)
    )


def fuzz(strategy, check, examples):
    """Call a check with so many examples, the same ones each time."""
    given(strategy)(
        settings(
            max_examples=round(examples * EXAMPLES),
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )(lambda case: check(*case))
    )()


@contextmanager
def limited():
    """Ends what computes for longer than an example may."""

    def hung(*_):
        raise Hung

    before = signal.signal(signal.SIGPROF, hung)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def stopped_at_the_door(patch):
    """Whatever would run a program raises ReachedError."""

    def stop(*_, **__):
        raise ReachedError

    with patch.context() as there:
        for name in ("mesh", "put"):
            there.setattr(devices, name, stop)
        there.setattr(ft.Agents, "policies", property(stop))
        yield


def refused(call, names):
    """Call; returns the refusal in words, or None where a training was reached or the call returned.

    Raises:
        AssertionError: it ended in another way, or the refusal is not one line that holds one of the names, if any.
    """
    try:
        with limited():
            call()
    except ReachedError:
        return None
    except (ValueError, TypeError) as error:
        text = str(error)
        assert names is None or any(name in text for name in names), f"names none of {names}: {text[:300]}"
        # A file may be called so.
        assert "\n" not in text.replace("a\nb", "") and len(text) < 12_000, text[:4000]
        return text
    return None


def paths(config, prefix=()):
    """The path of every field of a config and of the configs inside it."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield (*prefix, field.name)
        if dataclasses.is_dataclass(value) and not inspect.isclass(value):
            yield from paths(value, (*prefix, field.name))


def changed(config, path, value):
    """The config with one field replaced."""
    if not path:
        return value
    return dataclasses.replace(config, **{path[0]: changed(getattr(config, path[0]), path[1:], value)})


def fits(config, path, value):
    """Whether a value is of the type that the field is annotated with; a number must be finite."""
    for name in path[:-1]:
        config = getattr(config, name)
    return of_type(typing.get_type_hints(type(config))[path[-1]], value)


def of_type(annotation, value):
    """Whether a value is of a type, as far as that can be told; a number must be finite."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(of_type(one, value) for one in arguments)
    if origin is typing.Literal:
        return np.ndim(value) == 0 and value in arguments
    if origin is tuple:
        kinds = arguments[:1] * len(value) if Ellipsis in arguments and isinstance(value, tuple) else arguments
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(of_type, kinds, value))
    if annotation is bool:
        return isinstance(value, (bool, np.bool_))
    if origin is collections.abc.Sequence:
        return isinstance(value, collections.abc.Iterable) and not isinstance(value, str)
    if annotation is type(None):
        return value is None
    if annotation is float:
        number = isinstance(value, (int, float, np.number, np.ndarray)) and not isinstance(value, bool)
        return number and np.ndim(value) == 0 and bool(np.isfinite(float(value)))
    if annotation is int:
        return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    try:
        return isinstance(value, origin or annotation)
    except TypeError:
        return True
