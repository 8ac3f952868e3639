"""Without a network, without extras and with warnings as errors."""

import pytest
from helpers import barred


def test_every_public_name_loads_without_extras_a_network_or_a_warning():
    code = "import jaxrl_ft as ft\nprint(len([getattr(ft, name) for name in dir(ft)]))"
    assert int(barred.python(code)) > 100


def test_the_bar_holds():
    for code in ("import optuna", "import wandb.sdk", "socket.socket().connect(('127.0.0.1', 9))",
                 "import warnings; warnings.warn('x')"):  # fmt: skip
        with pytest.raises(AssertionError, match=r"No module named|a socket was about|UserWarning"):
            barred.python(code)
