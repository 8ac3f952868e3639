"""The time that compilation takes of a command."""

import pytest

from jaxrl_ft.commands.compilation import Compilation


def test_nested_compilation_counts_once():
    compilation = Compilation()
    for start, end in ((1.0, 3.0), (0.0, 2.0), (1.5, 1.6), (5.0, 6.0)):
        compilation.note("/jax/core/compile/jaxpr_trace_duration", start, end)
    compilation.note("/jax/other", 10.0, 20.0)
    assert compilation.seconds == pytest.approx(4.0)
