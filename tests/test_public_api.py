"""The public API as the design states it, and what it refuses before anything compiles."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.table import Table


def test_the_tour_of_the_public_api(tiny, tmp_path):
    source = ft.make_task("CartPole-v1")
    target = ft.make_task("CartPole-v1", half_length=1.5)
    target = ft.make_task("CartPole-v1", shift="long-pole")

    agents = ft.pretrain(
        source, algo=tiny.algo, network=tiny.network, optimizer=ft.Adam(), seeds=4, steps=640, seed=0, eval_episodes=4
    )
    tuned = ft.finetune(agents, target, method="lora", steps=320, seed=1, eval_episodes=4)
    returns = ft.evaluate(tuned, target, episodes=20, greedy=True, seed=2)
    assert returns.shape == (4, 20)
    assert tuned.curve.shape == tuned.curve_steps.shape == (4, 6)
    np.testing.assert_array_equal(tuned.curve_steps[0], np.arange(6) * 64)
    act = tuned.policy(0)
    assert act(np.zeros((3, 4))).shape == (3,)
    layers = [(agents.params["policy"][name]["kernel"][0], agents.params["policy"][name]["bias"][0])
              for name in ("dense_0", "dense_1", "head")]  # fmt: skip
    assert ft.wrap({"policy": layers}, source).num_seeds == 1

    result = ft.compare(
        agents, targets={"long": target}, methods=["full", "lora"], seeds=4, steps=320, seed=3,
        num_evals=3, eval_episodes=4, episodes=4, held_out_episodes=2,
    )  # fmt: skip
    columns = {"method", "target", "agent", "seed", "hyperparameters", "source_return", "target_return",
               "held_out_return", "env_steps", "status"}  # fmt: skip
    assert len(result.runs) == 16 and all(columns <= set(row) for row in result.runs)
    assert result.curves.shape == (16, 3)
    assert isinstance(result.agents("lora", "long"), ft.Agents)
    assert repr(result).split("\n") == [
        "Comparison: 16 runs, 4 of each method on each target", "  methods: zero_shot, scratch, full, lora",
        "  targets: long"]  # fmt: skip
    assert result == result and result != replace(result)
    path = tmp_path / "tuned"
    ft.save(tuned, path)
    np.testing.assert_array_equal(ft.evaluate(ft.load(path), target, episodes=20, seed=2), returns)


def python(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_imports_no_jax():
    loaded = python(
        "import sys, jaxrl_ft; dir(jaxrl_ft); print([m for m in ('jax', 'numpy', 'gymnax') if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_building_a_task_starts_no_backend():
    code = (
        "import jaxrl_ft as ft; ft.make_task('CartPole-v1'); "
        "from jaxrl_ft.training.devices import backend_started; print(backend_started()); "
        "import jax; jax.devices(); print(backend_started())"
    )
    assert python(code).split() == ["False", "True"]


def test_the_shifts_of_an_environment_are_there_before_anything_else_is_asked_for():
    found = python("import jaxrl_ft as ft; print(*ft.shifts_of('Pendulum-v1'), *ft.shifts_of('Breakout-MinAtar'))")
    assert {"heavy-bob", "mirrored-actions", "mirrored-screen"} <= set(found.split())


@pytest.mark.slow
def test_every_table_is_whole_whichever_name_is_asked_for_first():
    """A child for each table, as one may be filled by what another one loads; and one that loads everything."""
    program = """
import json, os, sys
import jaxrl_ft as ft
from jaxrl_ft.core.table import Table

def child(tell):
    sys.stdout.flush()
    if not (number := os.fork()):
        print(json.dumps(tell()), flush=True)
        os._exit(0)
    assert os.waitpid(number, 0)[1] == 0

def everything():
    ft.make_task("Pendulum-v1")
    found = {name: getattr(ft, name) for name in ft.__all__}
    return {name: sorted(one) for name, one in found.items() if isinstance(one, Table)}

for name in sys.argv[1:]:
    child(lambda: {name: sorted(getattr(ft, name))})
child(everything)
"""
    tables = [name for name in ft.__all__ if isinstance(getattr(ft, name), Table)]
    *alone, everything = map(json.loads, python(program, *tables).splitlines())
    assert {name: rows for one in alone for name, rows in one.items()} == everything


def test_dir_lists_the_public_names_and_each_is_there():
    assert dir(ft) == sorted(ft.__all__)
    for name in dir(ft):
        assert getattr(ft, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'finetun'"):
        ft.finetun  # noqa: B018


def test_the_functions_are_functions_and_no_module_has_taken_their_place():
    for name in ("pretrain", "finetune", "evaluate", "compare", "wrap", "save", "load", "make_task"):
        assert callable(getattr(ft, name))


LOOKUPS = [
    (lambda: ft.make_task("CartPole-v2"), "id: 'CartPole-v2' is not known; did you mean 'CartPole-v"),
    (lambda: ft.make_task("CartPole-v1", shift="long-pol"), "shift: 'long-pol' is not known; did you mean 'long-pole'"),
    (lambda: ft.make_task("CartPole-v1", gravty=1.0), "'gravty' is not known; did you mean 'gravity'"),
    (lambda: ft.make_task("CartPole-v1", gravity=math.nan), r"gravity: nan is not allowed; it must be in \[0.1, 200\]"),
    (lambda: ft.METHODS["lorra"], "method: 'lorra' is not known; did you mean 'lora'"),
    (lambda: ft.OPTIMIZERS["adan"], "optimizer: 'adan' is not known; did you mean 'ada"),
    (lambda: ft.PENALTIES["l2-spp"], "did you mean 'l2sp'"),
    (lambda: ft.ALGOS["pppo"], "algo: 'pppo' is not known; did you mean 'ppo'"),
]


@pytest.mark.parametrize("call, message", LOOKUPS, ids=[message[:20] for _, message in LOOKUPS])
def test_an_unknown_name_is_answered_with_the_nearest(call, message, nothing_runs):
    with pytest.raises(ValueError, match=message):
        call()


def test_names_may_be_spelt_with_either_dash():
    assert ft.METHODS["zero-shot"] is ft.METHODS["zero_shot"]
    assert ft.SHIFTS["long_pole"] is ft.SHIFTS["long-pole"]


BAD_ARGUMENTS = [
    ({"seed": -1}, "seed: -1 is not allowed"),
    ({"seed": 2**32}, "seed: 4294967296 is not allowed"),
    ({"seed": 1.5}, "seed: 1.5 is not allowed"),
    ({"seed": True}, "seed: True is not allowed"),
    ({"seed": "0"}, "seed: '0' is not allowed"),
    ({"steps": 0}, "steps: 0 is not allowed"),
    ({"steps": -64}, "steps: -64 is not allowed"),
    ({"steps": 1e4}, "steps: 10000.0 is not allowed"),
    ({"num_evals": 1}, "num_evals: 1 is not allowed; it must be a whole number of at least 2"),
    ({"eval_episodes": 0}, "eval_episodes: 0 is not allowed"),
]
BAD_PRETRAINING = [
    ({"seeds": 0}, "seeds: 0 is not allowed"),
    ({"seeds": 2.0}, "seeds: 2.0 is not allowed"),
    ({"algo": ft.PPO(gamma=math.nan)}, r"algo.gamma: nan is not allowed; it must be in \[0, 1\]"),
    ({"algo": ft.PPO(gamma=1.01)}, "algo.gamma: 1.01 is not allowed"),
    ({"algo": ft.PPO(clip_eps=-0.1)}, "algo.clip_eps: -0.1 is not allowed"),
    ({"algo": ft.PPO(ent_coef=math.inf)}, "algo.ent_coef: inf is not allowed"),
    ({"algo": ft.PPO(gamma="0.9")}, "algo.gamma: '0.9' is not allowed"),
    ({"algo": ft.PPO(num_envs=0)}, "algo.num_envs: 0 is not allowed"),
    ({"algo": ft.PPO(num_envs=2.0)}, "algo.num_envs: 2.0 is not allowed"),
    ({"algo": ft.PPO(normalize_obs="yes")}, "algo.normalize_obs: 'yes' is not allowed; it must be True or False"),
    ({"algo": ft.PPO(num_envs=3, num_steps=5, num_minibatches=4)},
     "algo.num_minibatches: 4 does not divide the batch of 3 environments x 5 steps = 15"),
    ({"algo": 3}, "algo: 3 is not allowed; it must be a config"),
    ({"network": ft.MLP(width=0)}, "network.width: 0 is not allowed"),
    ({"network": ft.MLP(policy=(64, 0))}, r"network.policy\[1\]: 0 is not allowed; it must be .* at most 8192"),
    ({"network": ft.MLP(value=[64, 64])}, r"network.value: \[64, 64\] is not allowed; it must be a tuple"),
    ({"network": ft.MLP(value=(8,) * 65)}, "network.value: 65 layers are not allowed"),
    ({"network": ft.MLP(activation="tahn")}, "network.activation: 'tahn' is not known; did you mean 'tanh'"),
    ({"optimizer": ft.Adam(learning_rate=math.nan)}, "optimizer.learning_rate: nan is not allowed"),
    ({"optimizer": ft.Adam(beta2=2.0)}, r"optimizer.beta2: 2.0 is not allowed; it must be in \[0, 0.999999\]"),
    ({"optimizer": ft.Adam(rates=ft.Rates(policy=-1.0))}, "optimizer.rates.policy: -1.0 is not allowed"),
    ({"optimizer": ft.Adam(schedule=ft.Schedule(final=3.0))}, "optimizer.schedule.final: 3.0 is not allowed"),
    (
        {"optimizer": ft.Adam(schedule="linear")},
        "optimizer.schedule: 'linear' is not allowed; it must be of type Schedule",
    ),
    ({"optimizer": ft.PPO()}, "optimizer: .* is not allowed; it must be of type Optimizer"),
    ({"optimizer": 3}, "optimizer: 3 is not allowed"),
]  # fmt: skip
BAD_FINETUNING = [
    ({"method": "ful"}, "method: 'ful' is not known; did you mean 'full'"),
    ({"method": 3}, "3"),
    ({"method": ft.Method(adapter=ft.LoRA(rank=0))}, "method.adapter.rank: 0 is not allowed"),
    ({"method": ft.Method(adapter=ft.Partial(pattern="("))}, r"method.adapter.pattern: '\(' is not a regular"),
    (
        {"method": ft.Method(adapter=ft.Partial(pattern="nothing"))},
        "method.adapter.pattern: 'nothing' matches no parameter",
    ),
    ({"method": ft.Method(adapter=ft.LastK(critic="ful"))}, "method.adapter.critic: 'ful' is not known"),
    ({"method": ft.Method(penalty=ft.L2(coef=math.nan))}, "method.penalty.coef: nan is not allowed"),
    ({"method": ft.Method(penalty=ft.KL(direction="backward"))}, "method.penalty.direction: 'backward' is not known"),
    ({"method": ft.Method(warm_start=ft.Soften(scale=1.5))}, "method.warm_start.scale: 1.5 is not allowed"),
    ({"method": ft.Method(look=ft.Look(probe_episodes=17))}, "method.look.probe_episodes: 17"),
    ({"method": ft.Method(adapter="lora")}, "method.adapter: 'lora' is not allowed; it must be of type Adapter"),
    ({"target": "CartPole-v1"}, "target: 'CartPole-v1' is not allowed; it must be a Task"),
    ({"method": ft.Method(adapter=ft.LoRA(rank=9))}, "method.adapter.rank: 9 is above the layer's width 8"),
    ({"method": ft.Method(adapter=ft.Sparse(per_thousand=0))}, "method.adapter.per_thousand: 0 is not allowed"),
    ({"method": ft.Method(adapter=ft.RandomSubspace(dimensions=4096))}, "method.adapter.dimensions: 4096 is above"),
    (
        {"method": ft.Method(warm_start=ft.Net2Wider(width=7))},
        "method.warm_start.width: 7 is below the pretrained network's 8",
    ),
    ({"method": ft.Method(warm_start=ft.Net2Deeper(layer="dense"))}, "method.warm_start.layer: 'dense' is not allowed"),
    ({"method": ft.Method(warm_start=ft.ShrinkPerturb(shrink=-0.1))}, "method.warm_start.shrink: -0.1 is not allowed"),
    ({"method": ft.Method(penalty=ft.EWC(coef=-1.0))}, "method.penalty.coef: -1.0 is not allowed"),
    ({"method": ft.Method(penalty=ft.Churn(coef=math.inf))}, "method.penalty.coef: inf is not allowed"),
    ({"method": ft.Method(intervention=ft.ReDo(period=math.nan))}, "method.intervention.period: nan is not allowed"),
    ({"method": ft.Method(data=ft.Replay(share=1.1))}, "method.data.share: 1.1 is not allowed"),
    ({"method": ft.Method(finish=ft.WiSE(weight=-1.0))}, "method.finish.weight: -1.0 is not allowed"),
    ({"method": ft.Method(finish=ft.Soup(population=0))}, "method.finish.population: 0 is not allowed"),
    ({"method": ft.Method(control=ft.PBT(population=1))}, "method.control.population: 1 is not allowed"),
    ({"method": ft.Method(keep=ft.Keep(first_moment=2.0))}, "method.keep.first_moment: 2.0 is not allowed"),
    ({"method": ft.Method(look=ft.Look(steps=-1))}, "method.look.steps: -1 is not allowed"),
    ({"method": ft.Method(ent_coef=-0.1)}, "method.ent_coef: -0.1 is not allowed"),
    ({"method": "ewc", "target": ft.make_task("Acrobot-v1")}, "method: asks for source experience, but the target has"),
]


@pytest.mark.parametrize(
    "changes, message", BAD_ARGUMENTS + BAD_PRETRAINING, ids=lambda value: value[:40] if isinstance(value, str) else ""
)
def test_pretrain_refuses_before_anything_compiles(changes, message, source, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.pretrain(source, **changes)


@pytest.mark.parametrize(
    "changes, message", BAD_ARGUMENTS + BAD_FINETUNING, ids=lambda value: value[:40] if isinstance(value, str) else ""
)
def test_finetune_refuses_before_anything_compiles(changes, message, agents, target, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.finetune(agents, **{"target": target, "method": "full", **changes})


def test_pretrain_refuses_what_is_no_task(nothing_runs):
    with pytest.raises(ValueError, match="'CartPole-v1' is not allowed; it must be a Task"):
        ft.pretrain("CartPole-v1")


def test_the_ends_of_the_ranges_are_allowed(agents, target):
    tuned = ft.finetune(agents, target, "full", steps=1, seed=2**32 - 1, num_evals=2, eval_episodes=1)
    edges = replace(
        ft.METHODS["full"], optimizer=ft.Adam(learning_rate=0.0, beta1=0.0, schedule=ft.Schedule(final=1.0))
    )
    assert tuned.status == ft.finetune(agents, target, edges, steps=1, num_evals=2, eval_episodes=1).status


def test_tables_are_described_in_a_few_lines():
    for table in (ft.METHODS, ft.SHIFTS, ft.OPTIMIZERS, ft.ALGOS):
        assert all(name in repr(table) for name in table) and repr(table).count("\n") < 15
