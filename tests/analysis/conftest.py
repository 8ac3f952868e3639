"""The oracle: rliable 1.2.0, by the authors of the statistics used here."""

import sys
import types
import warnings

import pytest


@pytest.fixture(scope="session")
def rliable():
    # arch 7.2, which rliable pins, has time-series models that do not import under pandas 3; rliable uses none of them
    for name in ("arch.univariate", "arch.univariate.mean"):
        module = types.ModuleType(name)
        module.arch_model = None
        sys.modules.setdefault(name, module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pytest.importorskip("rliable")
        from rliable import library

        metrics = pytest.importorskip("rliable.metrics")
    return types.SimpleNamespace(bootstrap=library, metrics=metrics)
