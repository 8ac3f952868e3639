"""No LAPACK and no host callback in any program that the public calls run, and each can be lowered for CUDA.

Lowering needs no GPU. The programs are never compiled: in their place stand functions that record and return ones.
"""

import ast
import dataclasses
import importlib
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.algorithms import SMALL
from jax.sharding import PartitionSpec

import jaxrl_ft as ft
from jaxrl_ft.advice import signs
from jaxrl_ft.training import devices
from jaxrl_ft.training.evaluation import diagnostics
from jaxrl_ft.training.per_run import PROGRAMS, Program

LAPACK = {
    "qr", "geqrf", "geqp3", "householder_product", "ormqr", "svd", "eig", "eigh", "schur", "hessenberg", "cholesky",
    "cholesky_update", "lu", "lu_pivots_to_permutation", "triangular_solve", "tridiagonal", "tridiagonal_solve",
}  # fmt: skip
HOST = {"pure_callback", "io_callback", "debug_callback", "infeed", "outfeed", "ffi_call", "debug_print"}
NAMES = [
    "diverge", "enter", "evaluate_episodes", "evaluate_on_each", "finish", "first_state", "fresh", "gather",
    "record_episodes", "signs", "starts", "stretch", "transitions", "validation_tasks", "warm_start",
]  # fmt: skip
STEPPED = ["acting", "actions", "answered", "entered", "greedy", "stored", "update_on", "warming_noise"]
"""Those of a training whose environments the host steps."""
COMPRESSING = ["distil", "moments"]
ALGO = ft.PPO(num_envs=2, num_steps=4, num_epochs=2, num_minibatches=2)


def primitives(jaxpr):
    """The names of all primitives of a jaxpr and of the jaxprs in its equations' parameters, to any depth."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    names = set()
    for equation in jaxpr.eqns:
        names.add(equation.primitive.name)
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=is_jaxpr):
            if is_jaxpr(value):
                names |= primitives(value)
    return names


def is_jaxpr(value):
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")


def custom_calls(traced):
    """The names of the custom calls of a traced program lowered for CUDA: what a library outside XLA must do."""
    return set(re.findall(r'custom_call @"?([^"(\s]+)', traced.lower(lowering_platforms=("cuda",)).as_text()))


class Recorder:
    """Stands in for every program.

    `seen` maps (program, structure) to the names of its primitives, `calls` to those of its custom calls on CUDA.
    """

    def __init__(self, monkeypatch):
        self.seen, self.calls, self.shapes = {}, {}, {}
        monkeypatch.setattr(Program, "placed", lambda program, *args: self.call(program, *args))

    def call(self, program, *args):
        static = tuple(i for i, arg in enumerate(args) if isinstance(arg, (type, int)))
        leaves, structure = jax.tree.flatten([arg for i, arg in enumerate(args) if i not in static])
        found = (program.__name__, structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves))
        if found not in self.seen:
            traced = program.trace(*args)
            self.seen[found], self.shapes[found] = primitives(traced.jaxpr), traced.out_info
            self.calls[found] = custom_calls(traced)
        # A fault of 1 would end every run at its first evaluation.
        return jax.tree_util.tree_map_with_path(
            lambda path, shape: np.full(shape.shape, "fault" not in jax.tree_util.keystr(path), shape.dtype),
            self.shapes[found],
        )

    def names(self, program):
        return [found for (name, *_), found in self.seen.items() if name == program]


@pytest.fixture
def recorder(monkeypatch):
    return Recorder(monkeypatch)


def pretrain(task="CartPole-v1", algo=ALGO, **arguments):
    return ft.pretrain(ft.make_task(task), algo=algo, seeds=2, steps=16, num_evals=2, eval_episodes=2, **arguments)


def assert_clean(recorder):
    for (name, *_), found in recorder.seen.items():
        assert not found & (LAPACK | HOST), f"{name} uses {found & (LAPACK | HOST)}"
    for (name, *_), found in recorder.calls.items():
        assert not found, f"{name} on CUDA calls {found}"


PACKAGE = pathlib.Path(ft.__file__).parent


def decorated(module):
    """The names of the functions of a module that `per_run` makes programs of."""
    functions = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.FunctionDef)]
    return [one.name for one in functions if any("per_run" in ast.unparse(mark) for mark in one.decorator_list)]


def test_every_program_is_known():
    found = []
    for file in PACKAGE.rglob("*.py"):
        if names := decorated(file):
            importlib.import_module(".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts))
            found += names
    assert sorted(found) == sorted(PROGRAMS) == sorted([*NAMES, *STEPPED, *COMPRESSING])


def test_what_is_jitted_is_a_program_a_part_of_one_a_check_of_a_task_or_a_policy_to_deploy():
    files = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if "jax.jit" in file.read_text()}
    programs = {"training/per_run.py", "training/programs/store.py", "training/stretch.py"}
    policies = {"training/agents.py", "deploy/formats/stablehlo_file.py", "training/gymnasium/episodes.py"}
    assert files == {*programs, "envs/task.py", *policies}


def test_cuda_takes_a_policy_to_deploy(agents, monkeypatch):
    jit, jitted = jax.jit, []
    monkeypatch.setattr(jax, "jit", lambda function: jitted.append(jit(function)) or jitted[-1])
    agents.policy(0)
    monkeypatch.undo()
    assert [custom_calls(one.trace(np.zeros(4, np.float32))) for one in jitted] == [set()]


def finetune_with(names):
    """Fine-tunes tiny agents, whose layers are normalised, with each method."""
    agents = pretrain(network=ft.MLP(width=4, depth=1, layer_norm=True))
    target = ft.make_task("CartPole-v1", shift="long-pole")
    for name in names:
        method = ft.METHODS[name]
        steps = method.spent() + 8 * method.population * method.control.stretches
        ft.finetune(agents, target, method, steps=steps, num_evals=2, eval_episodes=2)
    ft.evaluate(agents, ft.make_task("CartPole-v1"), episodes=2)
    diagnostics.record(agents, target, max_steps=50)
    diagnostics.divergence(agents, agents, target)
    ft.evaluate(agents, [ft.make_task("CartPole-v1")])
    signs.examine(agents, target)


MATRIX_WORK = [
    "muon",
    "random_subspace",
    "normalize_project",
    "shrink_perturb",
    "ewc",
    "soup",
    "imagine",
    "net2wider",
    "gap_decay",
]
"""The methods nearest to linear algebra, and one at least for every program."""


@pytest.mark.parametrize(
    "names", [MATRIX_WORK, pytest.param(list(ft.METHODS), marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_no_method_needs_lapack_or_the_host(names, recorder):
    finetune_with(names)
    for name in NAMES:
        assert recorder.names(name), f"{name} was never traced"
    starts = {jax.tree.structure(ft.METHODS[name].warm_start) for name in names if ft.METHODS[name].trains}
    assert len(recorder.names("warm_start")) == len(starts)
    assert len(recorder.names("stretch")) >= 5
    assert all({"shard_map", "while", "scan", "dot_general"} <= found for found in recorder.names("stretch"))
    assert_clean(recorder)


@pytest.mark.slow
def test_no_training_in_gymnasium_needs_lapack(recorder):
    algo, network = dataclasses.replace(ft.DQN(), **SMALL["dqn"]), ft.MLP(width=4, depth=1)
    agents = ft.pretrain(ft.make_task("CartPole-v1"), algo=algo, network=network, seeds=2, steps=256, num_evals=2)
    ft.finetune_gymnasium(agents, "CartPole-v1", steps=128, num_evals=2, eval_episodes=2, progress=False)
    for name in STEPPED:
        assert recorder.names(name), f"{name} was never traced"
    assert_clean(recorder)


def test_no_network_nor_normaliser_needs_lapack_or_the_host(recorder):
    algo = dataclasses.replace(ALGO, normalize_obs=True, normalize_reward=True, value_clip_eps=0.2)
    pretrain("Pendulum-v1", algo, network=ft.MLP(width=4, activation="swish", layer_norm=True))
    assert_clean(recorder)


@pytest.mark.parametrize(
    "names",
    [["muon", "adaptive_decay", "schedule_free"], pytest.param(list(ft.OPTIMIZERS), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_no_optimizer_needs_lapack_or_the_host(names, recorder):
    for name in names:
        pretrain(network=ft.MLP(width=4, depth=1), optimizer=dataclasses.replace(ft.OPTIMIZERS[name], target_kl=0.02))
    assert_clean(recorder)


FORBIDDEN = {
    "qr": lambda a: jnp.linalg.qr(a)[0],
    "svd": lambda a: jnp.linalg.svd(a)[1],
    "eigh": lambda a: jnp.linalg.eigh(a)[0],
    "cholesky": jnp.linalg.cholesky,
    "lu": lambda a: jax.scipy.linalg.lu(a)[2],
    "solve": lambda a: jnp.linalg.solve(a, a),
    "triangular": lambda a: jax.scipy.linalg.solve_triangular(a, a),
    "householder_product": lambda a: jax.lax.linalg.householder_product(a, a[0]),
    "orthogonal": lambda a: jax.nn.initializers.orthogonal()(jax.random.key(0), (3, 3)) + a,
    "print": lambda a: jax.debug.print("{}", a) or a,
    "callback": lambda a: jax.pure_callback(np.sin, a, a, vmap_method="expand_dims"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
@pytest.mark.parametrize("depth", ["vmap", "scan", "while", "cond", "shard_map"])
def test_the_walk_finds_what_is_forbidden_however_deep(name, depth):
    inner = jax.jit(FORBIDDEN[name])
    wrappers = {
        "vmap": lambda a: jax.vmap(inner)(jnp.stack([a, a])),
        "scan": lambda a: jax.lax.scan(lambda c, x: (jax.vmap(inner)(x).sum() + c, None), 0.0, a[None, None])[0],
        "while": lambda a: jax.lax.while_loop(lambda c: inner(a).sum() + c < 1, lambda c: c + 1, 0.0),
        "cond": lambda a: jax.lax.cond(a.sum() > 0, lambda: inner(a).sum(), lambda: 0.0),
        "shard_map": lambda a: jax.shard_map(
            jax.vmap(inner), mesh=devices.mesh(), in_specs=PartitionSpec("runs"), out_specs=PartitionSpec("runs"),
            check_vma=False,
        )(jnp.stack([a] * devices.mesh().size)),
    }  # fmt: skip
    assert primitives(jax.make_jaxpr(wrappers[depth])(jnp.eye(3))) & (LAPACK | HOST)


def test_the_walk_finds_nothing_where_there_is_nothing():
    found = primitives(
        jax.make_jaxpr(jax.jit(lambda a: jax.lax.scan(lambda c, x: (c @ x, None), a, a[None])[0]))(jnp.eye(3))
    )
    assert "dot_general" in found
    assert not found & (LAPACK | HOST)


@pytest.fixture
def stray(monkeypatch):
    """A function from the name of what is forbidden to a traced program that has it."""
    monkeypatch.setattr("jaxrl_ft.training.per_run.PROGRAMS", {})

    def traced(name):
        def one(a):
            return FORBIDDEN[name](a)

        return Program(one, (), (), ()).trace(jnp.stack([jnp.eye(3)] * devices.mesh().size))

    return traced


@pytest.mark.parametrize("name", sorted(set(FORBIDDEN) - {"triangular", "print", "callback"}))
def test_lowering_for_cuda_shows_libraries(name, stray):
    # XLA itself solves triangular systems on CUDA.
    found = custom_calls(stray(name))
    assert found and all(call.startswith("cu") for call in found)


@pytest.mark.parametrize("name", ["print", "callback"])
def test_a_program_that_calls_the_host_is_not_lowered_for_a_platform_that_is_not_there(name, stray):
    with pytest.raises(ValueError, match="lowering platform cuda"):
        custom_calls(stray(name))
