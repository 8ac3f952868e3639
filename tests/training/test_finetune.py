"""Laws of pretraining and fine-tuning: one program, streams that nothing disturbs, budgets that tell the truth."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.training.devices import Layout, pad, trim

PROGRAMS = ("fresh", "enter", "first_state", "stretch", "evaluate_episodes")
RESULTS = ("params", "statistics", "init_params", "opt_state", "env_steps", "curve", "curve_steps")


def assert_equal_results(one, other, same):
    for part in RESULTS:
        assert same(getattr(one, part), getattr(other, part)), part


def first(results, num):
    return jax.tree.map(lambda leaf: leaf[:num], {part: getattr(results, part) for part in RESULTS})


def test_a_new_network_compiles_each_program_once_and_floats_never_compile_again(tiny, source, target, compilations):
    budget = {"steps": 128, "num_evals": 2, "eval_episodes": 4}
    algo = replace(tiny.algo, gamma=0.9)
    agents = ft.pretrain(source, algo=algo, network=ft.MLP(width=5), seeds=4, seed=0, **budget)
    ft.finetune(agents, target, "full", **budget)
    assert [compilations.names.count(name) for name in PROGRAMS] == [1] * len(PROGRAMS)
    compilations.reset()
    others = [
        ("zero_shot", target),
        ("scratch", ft.make_task("CartPole-v0", gravity=20.0, action_delay=2, flip_actions=True)),
        ("soften", ft.make_task("CartPole-v1", shift="biased-sensors")),
        ("critic_reset", target),
        ("discriminative", target),
        (ft.Method(warm_start=ft.Soften(scale=0.5), optimizer=ft.Adam(learning_rate=1e-4, weight_decay=0.1)), source),
        (ft.Method(optimizer=ft.Adam(schedule=ft.SCHEDULES["warmup_cosine"], beta1=0.5)), source),
    ]
    for seed, (method, task) in enumerate(others):
        ft.finetune(agents, task, method, seed=seed, **{**budget, "steps": 64 * (seed + 1)})
    ft.finetune(replace(agents, algo=replace(algo, gamma=0.5, clip_eps=0.1)), target, "full", **budget)
    ft.pretrain(target, algo=replace(algo, ent_coef=0.1), network=ft.MLP(width=5), seeds=4, seed=9, **budget)
    ft.pretrain(target, algo=algo, network=ft.MLP(width=5), optimizer=ft.Adam(learning_rate=0.1), seeds=4, **budget)
    for greedy in (True, False):
        ft.evaluate(agents, target, episodes=33, greedy=greedy, seed=5)
    assert not set(PROGRAMS) & set(compilations.names)


def test_results_depend_on_neither_the_evaluations_nor_the_chunks_between_them(finetuned, agents, target, tiny, same):
    plain = finetuned("full")
    many = ft.finetune(agents, target, "full", seed=1, steps=tiny.steps, num_evals=6, eval_episodes=9)
    few = ft.finetune(agents, target, "full", seed=1, steps=tiny.steps, num_evals=2, eval_episodes=1)
    for other in (many, few):
        assert same(other.params, plain.params)
        assert same(other.opt_state, plain.opt_state)
    assert many.curve.shape == (4, 6) and few.curve.shape == (4, 2)
    np.testing.assert_array_equal(many.curve_steps[0], [0, 128, 192, 320, 384, 512])


def test_the_same_call_twice_gives_the_same_bits(finetuned, agents, target, tiny, same):
    assert_equal_results(ft.finetune(agents, target, "full", seed=1, **tiny.budget), finetuned("full"), same)


def test_another_seed_gives_other_agents_and_so_does_another_run(finetuned, agents, target, tiny, same):
    other = ft.finetune(agents.select([0, 0, 0, 0]), target, "full", seed=1, **tiny.budget)
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], other.params) for i in range(4)]
    assert not any(same(each[i], each[j]) for i in range(4) for j in range(i))
    assert same(each[0], jax.tree.map(lambda leaf: leaf[0], finetuned("full").params))
    reseeded = ft.finetune(agents, target, "full", seed=2, **tiny.budget)
    assert not same(reseeded.params, finetuned("full").params)


@pytest.mark.skipif(jax.device_count() != 2, reason="the width of 3 runs is that of 4 on two devices")
def test_an_odd_number_of_runs_is_padded_and_changes_no_run(finetuned, agents, target, tiny, same):
    three = ft.finetune(agents.select([0, 1, 2]), target, "full", seed=1, **tiny.budget)
    assert three.num_seeds == 3
    assert same(first(three, 3), first(finetuned("full"), 3))


def test_the_given_agents_stay_as_they_are_and_alive(agents, target, tiny, same):
    on_device = replace(agents, params=jax.tree.map(jnp.asarray, agents.params))
    before = jax.tree.map(np.copy, agents.params)
    for method in ("full", "zero_shot"):
        ft.finetune(on_device, target, method, seed=1, **tiny.budget)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(on_device.params))
    assert same(jax.tree.map(np.asarray, on_device.params), before)
    assert same(agents.params, before)


def test_a_run_that_diverges_is_marked_and_disturbs_no_other(finetuned, agents, target, tiny, same):
    broken = jax.tree.map(np.copy, agents.params)
    broken["policy"]["head"]["kernel"][1] = np.nan
    with pytest.warns(UserWarning, match="agents: not ok: 1"):
        tuned = ft.finetune(replace(agents, params=broken), target, "full", seed=1, **tiny.budget)
    assert tuned.status == ("ok", "non-finite parameters", "ok", "ok")
    assert np.isnan(tuned.curve[1]).all()
    for i in (0, 2, 3):
        assert same(*(jax.tree.map(lambda leaf, i=i: leaf[i], a.params) for a in (tuned, finetuned("full"))))
    assert np.all(tuned.env_steps - agents.env_steps == [512, 0, 512, 512])


SCRIPT = """
import sys
import jax
jax.config.update("jax_enable_compilation_cache", sys.argv[1] == "cached")
import jaxrl_ft as ft
import hashlib
algo = ft.PPO(num_envs=4, num_steps=16, num_epochs=2, num_minibatches=2)
agents = ft.pretrain(ft.make_task("CartPole-v1"), algo=algo, network=ft.MLP(width=8), seeds=4, seed=0, steps=512,
                     num_evals=3, eval_episodes=4)
leaves = [*jax.tree.leaves(agents.params), agents.curve]
print(hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("programs", ["cached", "compiled anew"])
def test_another_process_gives_the_same_bits(programs, agents):
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, programs], capture_output=True, text=True, env=environment, cwd=root, check=True
    )
    leaves = [*jax.tree.leaves(agents.params), agents.curve]
    assert done.stdout.split()[-1] == hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()


@pytest.mark.parametrize(
    "steps, num_evals, expected",
    [(1, 3, [0, 64]), (64, 2, [0, 64]), (65, 9, [0, 64, 128]), (320, 3, [0, 128, 320]), (300, 4, [0, 128, 192, 320])],
)
def test_steps_round_up_to_whole_updates_and_evaluations_are_spread_over_them(
    steps, num_evals, expected, agents, target
):
    tuned = ft.finetune(agents, target, "full", steps=steps, num_evals=num_evals, eval_episodes=2)
    np.testing.assert_array_equal(tuned.curve_steps, np.tile(expected, (4, 1)))
    np.testing.assert_array_equal(tuned.env_steps, agents.env_steps + expected[-1])


def test_the_budget_holds_the_probe(agents, target):
    method = ft.Method(look=ft.Look(probe_episodes=3, probe_steps=50), warm_start=ft.Soften())
    tuned = ft.finetune(agents, target, method, steps=400, num_evals=3, eval_episodes=2)
    # 400 - 150 steps are 4 updates of 64; the probe is the untouched base's, which counts from step 0
    np.testing.assert_array_equal(tuned.curve_steps, np.tile([0, 150, 278, 406], (4, 1)))
    np.testing.assert_array_equal(tuned.env_steps, agents.env_steps + 406)
    assert any("target before the first update 150 " in line for line in tuned.report)
    with pytest.raises(ValueError, match="steps: 150 is not allowed; it must exceed the 150 steps"):
        ft.finetune(agents, target, method, steps=150)


def test_no_update_is_a_legal_budget_for_zero_shot_alone(agents, target):
    with pytest.raises(ValueError, match="steps: 0"):
        ft.finetune(agents, target, "zero_shot", steps=0)


def test_a_callback_gets_the_compilation_and_every_chunk(agents, target, tiny):
    moments = []
    ft.finetune(agents, target, "full", seed=1, callback=moments.append, **tiny.budget)
    assert [moment.phase for moment in moments] == ["compiling", *["training"] * 3]
    assert [moment.updates for moment in moments] == [0, 0, 4, 8]
    assert [moment.env_steps for moment in moments] == [0, 0, 4 * 64 * 4, 8 * 64 * 4]


def test_pretraining_learns(tiny, source):
    agents = ft.pretrain(source, algo=tiny.algo, network=tiny.network, seeds=4, steps=12_800, num_evals=3, seed=3)
    assert agents.curve[:, -1].mean() > 2 * agents.curve[:, 0].mean()


@pytest.mark.parametrize("num, devices, expected", [(1, 1, 1), (1, 2, 2), (4, 2, 4), (5, 4, 8), (16, 16, 16)])
def test_the_width_is_the_next_multiple_of_the_devices(num, devices, expected):
    mesh = SimpleNamespace(size=devices)
    assert Layout(mesh).width(num) == expected
    assert Layout(mesh, exact=True).width(num) == max(expected, 2 * devices)


def test_padding_repeats_the_first_runs_and_trimming_takes_it_off(same):
    runs = {"a": np.arange(6.0).reshape(3, 2)}
    padded = pad(runs, 7)
    np.testing.assert_array_equal(padded["a"][:, 0], [0, 2, 4, 0, 2, 4, 0])
    assert same(trim(padded, 3), runs)
