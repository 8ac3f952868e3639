"""One small world for the slow half of the suite: tiny agents on CartPole, and a record of what compiles."""

import gc
import os
import platform
import signal
import socket
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from types import SimpleNamespace

import jax
import jax.monitoring
import numpy as np
import pytest
from helpers import shape_checks

shape_checks.install()

from helpers.trees import drawn  # noqa: E402

from jaxrl_ft.training import devices, per_run  # noqa: E402
from jaxrl_ft.training.per_run import forget_when_many  # noqa: E402

devices.prepare()
# Tests count what is traced.
os.environ["JAXRL_FT_STORED_PROGRAMS"] = "0"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background with SIGINT ignored, and the children of the tests would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A full collection goes through a million objects of JAX's, which stay, and takes half a second.
gc.set_threshold(700, 10, 1000)

LEVEL = "xla_backend_optimization_level"


def pytest_configure(config):
    """Compile to slower code in less time, since programs of tiny shapes take longer to compile than to run.

    Slow tests have the code that users have. Which products and sums become one instruction, with one rounding, depends
    without optimisation on what lies around them; without such instructions equal arithmetic has equal bits.
    """
    brief = "not slow" in config.option.markexpr
    per_run.QUICK[LEVEL] = 0 if brief else 1
    # XLA ends a process that gets a flag it does not know, hence the version.
    if version("jaxlib").startswith("0.10."):
        flags = ["--xla_cpu_use_fusion_emitters=false", f"--{LEVEL}={per_run.QUICK[LEVEL]}"]
        flags += ["--xla_cpu_max_isa=AVX"] if brief and platform.machine() in ("x86_64", "AMD64") else []
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()


_COMPILED: list[str] = []


def _record(event: str, duration: float, **details: object) -> None:
    if event.endswith("backend_compile_duration"):
        _COMPILED.append(str(details.get("fun_name")).removeprefix("jit(").removesuffix(")"))


jax.monitoring.register_event_duration_secs_listener(_record)


@pytest.fixture(scope="module", autouse=True)
def few_memory_maps():
    """The suite compiles thousands of small programs, most of which no later module needs."""
    yield
    forget_when_many(share=0.25)


class Compilations:
    """The names of the programs compiled, or read from the persistent cache, since the last `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._start = len(_COMPILED)

    @property
    def names(self) -> list[str]:
        return _COMPILED[self._start :]


@pytest.fixture
def compilations() -> Compilations:
    return Compilations()


@pytest.fixture
def registries(monkeypatch):
    """What a test registers by name is forgotten after it."""
    from jaxrl_ft.commands import user_modules
    from jaxrl_ft.core import config

    known = [(table, set(table)) for table in user_modules.TABLES]
    monkeypatch.setattr(config, "CONFIGS", dict(config.CONFIGS))
    yield
    for table, names in known:
        for name in set(table) - names:
            table.remove(name)


@pytest.fixture
def nothing_runs(monkeypatch):
    """Fails what compiles or runs a program, even one that is compiled already; refusals come before."""

    def stop(*_):
        raise AssertionError("a program was about to run")

    compilations = Compilations()
    monkeypatch.setattr(devices, "mesh", stop)
    monkeypatch.setattr(devices, "put", stop)
    yield
    assert not compilations.names


@pytest.fixture
def free_port():
    """The number of a port that nothing uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="session")
def tiny():
    """The settings of the tiny agents; whoever keeps to them, and to 4 seeds, compiles nothing new."""
    import jaxrl_ft as ft

    return SimpleNamespace(
        algo=ft.PPO(num_envs=4, num_steps=16, num_epochs=2, num_minibatches=2),
        network=ft.MLP(width=8),
        seeds=4,
        steps=512,
        budget={"steps": 512, "num_evals": 3, "eval_episodes": 4},
    )


@pytest.fixture(scope="session")
def source():
    import jaxrl_ft as ft

    return ft.make_task("CartPole-v1")


@pytest.fixture(scope="session")
def target():
    import jaxrl_ft as ft

    return ft.make_task("CartPole-v1", half_length=1.0)


@pytest.fixture(scope="session")
def agents(tiny, source):
    """Four agents after 8 updates."""
    import jaxrl_ft as ft

    return ft.pretrain(source, algo=tiny.algo, network=tiny.network, seeds=tiny.seeds, seed=0, **tiny.budget)


@pytest.fixture(scope="session")
def saved(agents, tmp_path_factory):
    """The path of these agents, saved."""
    import jaxrl_ft as ft

    path = tmp_path_factory.mktemp("agents") / "tiny"
    ft.save(agents, path)
    return path


@pytest.fixture(scope="session")
def rows():
    """A function from the name of a method to the row, with what is sized for usual networks fitted to tiny ones."""
    import jaxrl_ft as ft

    def row(name):
        method = ft.METHODS[name]
        if isinstance(method.warm_start, ft.Net2Wider):
            method = replace(method, warm_start=replace(method.warm_start, width=12))
        if method.imagination.steps:
            method = replace(method, imagination=replace(method.imagination, steps=640, rounds=2))
        return method

    return row


@pytest.fixture(scope="session")
def enough(tiny):
    """A function from a method to the steps that give 8 updates to each of its members, after all that it pays."""
    return lambda method: tiny.steps * method.population + method.spent()


@pytest.fixture(scope="session")
def finetuned(tiny, rows, enough, agents, target):
    """A function from the name of a method to the agents after 8 updates of it on the target, each trained once."""
    import jaxrl_ft as ft

    known = {}

    def tune(name):
        if name not in known:
            method = rows(name)
            known[name] = ft.finetune(agents, target, method, seed=1, **{**tiny.budget, "steps": enough(method)})
        return known[name]

    return tune


@pytest.fixture(scope="session")
def undrawn():
    """A context within which a command measures and draws nothing for its figures, for tests that look at none."""
    from jaxrl_ft.analysis.report import files, html
    from jaxrl_ft.analysis.report.measurements import Measurements
    from jaxrl_ft.commands import measurements

    @contextmanager
    def nothing_is_drawn():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(html, "figures_html", lambda shown: "")
            patch.setattr(files, "write_figure", lambda *args: None)
            patch.setattr(measurements, "measure", lambda *args, **kwargs: Measurements())
            yield

    return nothing_is_drawn


@pytest.fixture(scope="session")
def same():
    """A function that tells whether two trees have one structure and equal bits."""

    def equal(one, other):
        if jax.tree.structure(one) != jax.tree.structure(other):
            return False
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other))
        arrays = ((np.asarray(a), np.asarray(b)) for a, b in pairs)
        return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in arrays)

    return equal


@pytest.fixture(scope="session")
def random_params():
    """A function from a task and a network to parameters of their shapes with normal entries of scale 0.5."""
    import jaxrl_ft as ft

    known = {}

    def draw(task, network, seed=0):
        if (task.simulator, network) not in known:
            shapes = jax.eval_shape(lambda: ft.PPO().init_params(jax.random.key(0), task, network))
            known[task.simulator, network] = shapes
        return drawn(known[task.simulator, network], np.random.default_rng(seed))

    return draw
