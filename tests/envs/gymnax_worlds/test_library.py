"""gymnax is imported without what it draws with, which is there when something draws."""

import subprocess
import sys

import pytest

from jaxrl_ft.envs.gymnax_worlds import library

PONG = """
import sys
from jaxrl_ft.envs.gymnax_worlds import library
gymnax = library.imported()
assert "seaborn" not in sys.modules and "pandas" not in sys.modules
from gymnax.environments.misc import pong
assert callable(pong.sns.color_palette) and pong.sns.__version__
import seaborn
assert seaborn.color_palette is pong.sns.color_palette
"""


@pytest.fixture
def plots(tmp_path, monkeypatch):
    """The name of a module that can be imported and is not yet."""
    (tmp_path / "late_plots.py").write_text("colour = 'red'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "late_plots"
    sys.modules.pop("late_plots", None)


def test_a_module_is_imported_when_something_of_it_is_asked_for(plots):
    with library.later(plots):
        import late_plots  # type: ignore[import-not-found]
    assert plots not in sys.modules
    assert late_plots.colour == "red"
    assert sys.modules[plots].colour == "red"
    with pytest.raises(AttributeError, match="shape"):
        _ = late_plots.shape


def test_one_that_is_imported_already_stays(plots):
    __import__(plots)
    before = sys.modules[plots]
    with library.later(plots):
        assert sys.modules[plots] is before
    assert sys.modules[plots] is before


def test_nothing_stays_behind_an_import_that_fails(plots):
    with pytest.raises(ImportError), library.later(plots):
        raise ImportError
    assert plots not in sys.modules


def test_gymnax_draws_with_what_was_left_out():
    told = subprocess.run([sys.executable, "-c", PONG], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
