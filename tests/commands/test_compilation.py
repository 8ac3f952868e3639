"""The time that compilation takes of a command."""

import gc
import weakref

import pytest

from jaxrl_ft.commands.compilation import Compilation, rare_collections


def test_nested_compilation_counts_once():
    compilation = Compilation()
    for start, end in ((1.0, 3.0), (0.0, 2.0), (1.5, 1.6), (5.0, 6.0)):
        compilation.note("/jax/core/compile/jaxpr_trace_duration", start, end)
    compilation.note("/jax/other", 10.0, 20.0)
    assert compilation.seconds == pytest.approx(4.0)


class Circle:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


def freed(objects):
    """Whether a circle is collected while so many more objects are made."""
    gone = weakref.ref(Circle())
    kept = [[] for _ in range(objects)]
    return gone() is None and len(kept) == objects


def test_garbage_is_collected_rarely_but_collected_and_then_as_before():
    before = gc.get_threshold()
    with pytest.raises(KeyError), rare_collections():
        gc.collect()
        assert not freed(20_000) and freed(60_000)
        raise KeyError
    assert gc.get_threshold() == before
