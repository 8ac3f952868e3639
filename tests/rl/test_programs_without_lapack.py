"""No LAPACK and no host callback in any training program: the jaxprs of all that the public calls run are walked.

The programs are traced, never compiled: in their place stand functions that record the jaxpr and return ones.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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
    "collect", "diverge", "enter", "evaluate_episodes", "evaluate_on_each", "finish", "first_state", "fresh", "gather",
    "learn", "record_episodes", "signs", "starts", "transitions", "validation_tasks", "warm_start",
]  # fmt: skip
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


class Recorder:
    """Stands in for every program; `seen` maps (program, structure) to the names of its primitives."""

    def __init__(self, monkeypatch):
        self.seen, self.shapes = {}, {}
        monkeypatch.setattr(Program, "placed", lambda program, *args: self.call(program, *args))

    def call(self, program, *args):
        static = tuple(i for i, arg in enumerate(args) if isinstance(arg, (type, int)))
        leaves, structure = jax.tree.flatten([arg for i, arg in enumerate(args) if i not in static])
        found = (program.__name__, structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves))
        if found not in self.seen:
            traced = program.trace(*args)
            self.seen[found], self.shapes[found] = primitives(traced.jaxpr), traced.out_info
        return jax.tree.map(lambda shape: np.ones(shape.shape, shape.dtype), self.shapes[found])

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


def test_every_program_is_known():
    assert sorted(PROGRAMS) == NAMES


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
    assert len(recorder.names("learn")) >= 5
    training = [found for name in ("collect", "learn") for found in recorder.names(name)]
    assert all({"shard_map", "scan", "dot_general"} <= found for found in training)
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
