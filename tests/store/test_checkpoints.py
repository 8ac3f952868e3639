"""Agents on disk: bit for bit, as good as new, and refused when damaged; over every environment."""

import dataclasses
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers.bundles import forge

import jaxrl_ft as ft
from jaxrl_ft.core.bundle import METADATA, write_bundle
from jaxrl_ft.core.config import from_json, to_json

FIELDS = [field.name for field in dataclasses.fields(ft.Agents)]
CONFIGS = ("algo", "network", "method", "source", "task")


def assert_same_agents(one, other, same):
    for name in FIELDS:
        before, after = getattr(one, name), getattr(other, name)
        if name in CONFIGS:
            assert type(before) is type(after)
            assert jax.tree.structure(before) == jax.tree.structure(after)
            pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after))
            assert all(np.array_equal(np.float32(a), np.float32(b)) for a, b in pairs), name
        else:
            assert same(before, after), name


def round_trip(agents, path):
    ft.save(agents, path)
    return ft.load(path)


@pytest.mark.parametrize("name", ["zero_shot", "full", "keep_adam", "lora", "wise", "probe_soften", "critic_warmup"])
def test_every_field_comes_back_bit_for_bit(name, finetuned, tmp_path, same):
    tuned = finetuned(name)
    loaded = round_trip(tuned, tmp_path / "agents")
    assert_same_agents(tuned, loaded, same)
    assert loaded == tuned and hash(loaded) == hash(tuned)


TREES = ["lora", "dora", "sparse", "ia3", "input_affine", "output_affine", "bottleneck", "residual", "plasticity",
         "progressive", "random_subspace"]  # fmt: skip


def merged(agents, adapter):
    """The agents with an adapter's parts in their trees, as they are before it trains."""

    def one(key, params):
        freezing, starting = jax.random.split(key)
        frozen = adapter.freeze(freezing, params)
        return adapter.merge(frozen, adapter.init(starting, frozen))

    keys = jax.random.split(jax.random.key(5), agents.num_seeds)
    params = jax.device_get(jax.jit(jax.vmap(one))(keys, agents.params))
    return replace(agents, params=params, opt_state=None, method=ft.Method(adapter=adapter))


@pytest.mark.parametrize("name", TREES)
def test_trees_of_every_adapter_come_back_bit_for_bit(name, agents, tmp_path, same):
    grown = merged(agents, ft.ADAPTERS[name])
    assert_same_agents(grown, round_trip(grown, tmp_path / "agents"), same)


def test_grown_trees_come_back_bit_for_bit(agents, tmp_path, same):
    for i, warm in enumerate((ft.Net2Wider(width=12), ft.Net2Deeper(width=4))):
        keys = jax.random.split(jax.random.key(5), agents.num_seeds)
        grow = jax.jit(jax.vmap(lambda key, params, warm=warm: warm.apply(key, params, params, None)))
        params = jax.device_get(grow(keys, agents.params))
        grown = replace(agents, params=params, network=warm.network(agents.network), opt_state=None)
        loaded = round_trip(grown, tmp_path / str(i))
        assert_same_agents(grown, loaded, same)
        assert loaded.num_parameters > agents.num_parameters


def test_source_steps_come_back_and_are_none_in_agents_saved_without(agents, tmp_path):
    counted = replace(agents, source_steps=2048)
    assert round_trip(counted, tmp_path / "agents").source_steps == 2048
    older = rewritten(counted, tmp_path, lambda arrays, metadata: metadata.pop("source_steps"))
    assert ft.load(older).source_steps == 0


def test_the_step_of_the_policy_comes_back_and_is_the_last_in_agents_saved_without(agents, tmp_path, same):
    best = replace(agents, kept_steps=agents.curve_steps[np.arange(4), [0, 1, 2, 1]])
    assert_same_agents(best, round_trip(best, tmp_path / "agents"), same)
    older = rewritten(best, tmp_path, lambda arrays, metadata: arrays.pop("kept_steps"))
    assert same(ft.load(older).kept_steps, agents.curve_steps[:, -1])
    assert same(agents.kept_steps, agents.curve_steps[:, -1])


LOADING = """
import sys
import jaxrl_ft as ft
agents = ft.load(sys.argv[1])
print(type(agents.algo).__name__, type(agents.network).__name__, type(agents.method.penalty).__name__, agents.num_seeds)
"""


def test_a_process_may_begin_with_load(agents, tmp_path):
    ft.save(replace(agents, method=ft.METHODS["strength"], opt_state=None), tmp_path / "agents")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(tmp_path / "agents")], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.split() == ["PPO", "MLP", "KL", "4"]


def test_pretrained_agents_come_back_and_what_is_saved_twice_is_the_same_bytes(agents, tmp_path, same):
    loaded = round_trip(agents, tmp_path / "a")
    assert_same_agents(agents, loaded, same)
    ft.save(loaded, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_loaded_agents_are_tasks_and_configs_with_numpy_leaves(agents, tmp_path):
    loaded = round_trip(agents, tmp_path / "agents")
    leaves = jax.tree.leaves((loaded.params, loaded.opt_state, loaded.task, loaded.statistics))
    assert all(isinstance(leaf, (np.ndarray, np.generic)) for leaf in leaves)
    assert loaded.task.describe() == agents.task.describe()


@pytest.mark.parametrize("name", ["full", "lora"])
def test_loaded_agents_fine_tune_to_the_same_bits_without_compiling(name, finetuned, target, tmp_path, same,
                                                                    compilations):  # fmt: skip
    tuned = finetuned(name)
    budget = {"steps": 128, "num_evals": 2, "eval_episodes": 4, "seed": 3}
    expected = ft.finetune(tuned, target, "full", **budget)
    compilations.reset()
    again = ft.finetune(round_trip(tuned, tmp_path / "agents"), target, "full", **budget)
    assert not {"stretch", "evaluate_episodes", "first_state"} & set(compilations.names)
    assert same(again.params, expected.params)
    assert same(again.opt_state, expected.opt_state)
    np.testing.assert_array_equal(again.curve, expected.curve)


def test_wrapped_agents_keep_their_statistics_and_that_they_have_no_optimizer_state(
    agents, source, tiny, tmp_path, same
):
    layers = [(agents.params["policy"][n]["kernel"], agents.params["policy"][n]["bias"])
              for n in ("dense_0", "dense_1", "head")]  # fmt: skip
    wrapped = ft.wrap({"policy": layers}, source, algo=tiny.algo, obs_mean=np.ones(4), obs_variance=np.full(4, 2.0))
    loaded = round_trip(wrapped, tmp_path / "agents")
    assert_same_agents(wrapped, loaded, same)
    assert loaded.opt_state is None
    np.testing.assert_array_equal(loaded.statistics["obs"].mean, np.ones((4, 4)))


def test_agents_whose_network_says_other_widths_are_refused(agents, tmp_path):
    for network, group in ((ft.MLP(width=8, policy=(9,)), "policy"), (ft.MLP(width=8, value=(8,)), "value")):
        ft.save(replace(agents, network=network), tmp_path / group)
        with pytest.raises(ValueError, match=rf"hidden layers of {group} have \(8, 8\) units, but its network says"):
            ft.load(tmp_path / group)


def test_saving_again_replaces_and_a_foreign_directory_is_refused(agents, finetuned, tmp_path, same):
    ft.save(agents, tmp_path / "agents")
    ft.save(finetuned("full"), tmp_path / "agents")
    assert same(ft.load(tmp_path / "agents").params, finetuned("full").params)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="mine"):
        ft.save(agents, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_damaged_or_missing_directory_is_refused(agents, tmp_path):
    ft.save(agents, tmp_path / "agents")
    largest = max((tmp_path / "agents").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[-3] ^= 1
    largest.write_bytes(data)
    with pytest.raises(ValueError, match=r"is damaged \(its SHA-256 is another\)"):
        ft.load(tmp_path / "agents")
    with pytest.raises(ValueError, match="nowhere"):
        ft.load(tmp_path / "nowhere")


def test_a_bundle_of_another_kind_is_refused(tmp_path):
    write_bundle(tmp_path / "other", {"a": np.ones(2)}, {"kind": "poems"})
    with pytest.raises(ValueError, match="holds 'poems', not agents"):
        ft.load(tmp_path / "other")


def shortened(arrays, name, num=3):
    """Keep so many seeds of the first array whose name begins like this, or of every one without a name."""
    names = sorted(key for key in arrays if key.startswith(name))
    for key in names[:1] if name else names:
        arrays[key] = arrays[key][:num]


def rewritten(agents, path, change):
    """A bundle whose checks pass, but whose contents were changed by `change(arrays, metadata)`."""
    from jaxrl_ft.core.bundle import read_bundle

    ft.save(agents, path / "good")
    arrays, metadata = read_bundle(path / "good")
    arrays, metadata = dict(arrays), json.loads(json.dumps(metadata))
    change(arrays, metadata)
    write_bundle(path / "bad", arrays, metadata)
    return path / "bad"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda arrays, metadata: metadata.pop("algo"), "lacks or misstates 'algo'"),
        (lambda arrays, metadata: metadata["algo"].update(type="Nonsense"), "'Nonsense' is not known"),
        (lambda arrays, metadata: metadata["algo"].update(gamma=7.0), r"algo\.gamma: 7"),
        (lambda arrays, metadata: metadata["algo"].update(gama=0.9), "no field 'gama'"),
        (lambda arrays, metadata: metadata["task"]["env_params"].update(gravity=-1.0), "gravity: -1"),
        (lambda arrays, metadata: metadata.update(task=metadata["algo"]), "no task where one belongs"),
        (lambda arrays, metadata: arrays.pop("opt_state/000"), "arrays of opt_state do not fit"),
        (lambda arrays, metadata: arrays.pop("curve"), "lacks or misstates 'curve'"),
        (lambda arrays, metadata: metadata["task"].update(env_params=None), "a task without its physics"),
        (lambda arrays, metadata: metadata.update(network=metadata["algo"]), "gives PPO where the network belongs"),
        (lambda arrays, metadata: metadata.update(method=metadata["algo"]), "gives PPO where the method belongs"),
        (lambda arrays, metadata: metadata["status"].pop(), "status is of 3 seeds, and env_steps of 4"),
        (lambda arrays, metadata: shortened(arrays, "env_steps"), "status is of 4 seeds, and env_steps of 3"),
        (lambda arrays, metadata: shortened(arrays, "curve_steps"), "and equal shapes"),
        (lambda arrays, metadata: shortened(arrays, "kept_steps"), r"kept_steps int64\[3\] must be whole numbers"),
        (lambda arrays, metadata: shortened(arrays, "params/"), "of params is .3, .*, but there are 4 seeds"),
        (lambda arrays, metadata: shortened(arrays, "init_params/"), "of init_params is .3, .*, but there are 4 seeds"),
        (lambda arrays, metadata: shortened(arrays, "opt_state/"), "of opt_state is .3.*, but there are 4 seeds"),
        (lambda arrays, metadata: shortened(arrays, "", 0), "one for each seed"),
    ],
)
def test_contents_that_do_not_fit_are_refused_and_named(change, message, agents, tmp_path):
    with pytest.raises(ValueError, match=message):
        ft.load(rewritten(agents, tmp_path, change))


def test_only_agents_are_saved(tmp_path):
    with pytest.raises(ValueError, match=r"agents: \{\} is not allowed"):
        ft.save({}, tmp_path / "agents")


@pytest.mark.slow
@pytest.mark.parametrize("id, physics", [("Acrobot-v1", {"link_mass_1": 1.5}), ("Pendulum-v1", {"g": 12.0})])
def test_the_sister_environments_train_evaluate_and_are_saved(id, physics, tiny, tmp_path, same):
    source, target = ft.make_task(id), ft.make_task(id, **physics)
    algo = replace(tiny.algo, normalize_obs=True, normalize_reward=True)
    budget = {"steps": 128, "num_evals": 2, "eval_episodes": 2, "seed": 0}
    agents = ft.pretrain(source, algo=algo, network=ft.MLP(width=4, depth=1), seeds=2, **budget)
    tuned = ft.finetune(agents, target, "soften", **budget)
    loaded = round_trip(tuned, tmp_path / "agents")
    assert_same_agents(tuned, loaded, same)
    returns = ft.evaluate(loaded, target, episodes=3)
    low, high = target.return_range
    assert returns.shape == (2, 3) and np.all((returns >= low) & (returns <= high))
    assert set(tuned.statistics) == {"obs", "reward"}
    np.testing.assert_array_equal(tuned.statistics["obs"].num, 256)
    action = loaded.policy(1)(np.zeros((5, source.obs_size)))
    assert action.shape == ((5, 1) if id == "Pendulum-v1" else (5,))
    if id == "Pendulum-v1":
        assert same(agents.params["policy"]["log_std"], np.zeros((2, 1), np.float32)) is False


def in_version_1(method):
    """A method as bundles of version 1 have it: looks, probes and realignment among other fields."""
    fields = to_json(method)
    look, alignment = fields.pop("look"), fields.pop("alignment")
    probe = {name: look[name] for name in ("probe_episodes", "probe_steps")}
    fields["warm_start"] |= {"align": alignment["type"] == "Realign", **probe}
    return {"look_steps": look["steps"], **fields}


@pytest.mark.parametrize("name", ["full", "realign_soften", "probe_soften", "imagine"])
def test_agents_of_version_1_come_back_with_the_parts_of_today(name, agents, tmp_path):
    method = ft.METHODS[name]
    ft.save(replace(agents, method=method, opt_state=None), tmp_path / "old")
    metadata = json.loads((tmp_path / "old" / METADATA).read_bytes()) | {"method": in_version_1(method)}
    forge(tmp_path / "old", files={METADATA: json.dumps(metadata).encode()}, version=1)
    assert ft.load(tmp_path / "old").method == method


def test_a_method_of_version_1_word_for_word():
    warm_start = {"type": "Soften", "probe_episodes": 8, "probe_steps": 64, "align": True, "scale": 0.1, "power": 1.0}
    method = {"type": "Method", "look_steps": 32, "warm_start": warm_start, "ent_coef": None, "trains": True}
    assert from_json(method) == ft.METHODS["realign_soften"]
