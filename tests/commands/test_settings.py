"""From flags to settings: names choose configs, dotted flags change fields, agents bring their source."""

import dataclasses

import pytest

import jaxrl_ft as ft
from jaxrl_ft.commands.settings import resolve

RECOMMENDED = ft.RECOMMENDED


def test_names_choose_configs_and_dotted_flags_change_their_fields():
    flags = ["--method.adapter.rank", "2", "--algo.gamma", "0.9", "--network.activation", "relu"]
    settings = resolve(["--method", "lora", *flags])
    assert list(settings.methods) == ["zero_shot", "scratch", "full", "lora+rank=2"]
    assert settings.methods["lora+rank=2"].adapter == ft.LoRA(rank=2)
    assert settings.methods["lora+rank=2"].optimizer == ft.METHODS["lora"].optimizer
    assert (settings.algo, settings.network) == (ft.PPO(gamma=0.9), ft.MLP(activation="relu"))
    widths = ["--network.width", "128", "--network.policy", "32", "16"]
    assert resolve(widths).network == ft.MLP(width=128, policy=(32, 16))
    assert settings.optimizer == ft.Adam()
    assert settings.target.describe() == "CartPole-v1 flip_actions=1"


def test_a_network_is_named_and_its_fields_are_flags():
    images = ["--source", "Catch-bsuite", "--algo", "pqn", "--target.episode-limit", "9", "--network", "cnn"]
    settings = resolve([*images, "--method", "lora", "--network.channels", "8", "4", "--network.shared-trunk"])
    assert settings.network == ft.CNN(channels=(8, 4), layer_norm=True, shared_trunk=True)
    assert resolve(["--network", "mlp", "--algo", "pqn"]).network == ft.PQN().usual_network(ft.make_task("CartPole-v1"))
    with pytest.raises(ValueError, match=r"network: CNN reads one image .* and the observation is obs \[4\]"):
        resolve(["--network", "cnn"])


def test_an_axis_flag_replaces_that_axis_of_the_recommended_method():
    settings = resolve(["--optimizer", "nadamw", "--warm-start", "keep", "--method.optimizer.eps", "0.5"])
    name = f"{RECOMMENDED}+keep+nadamw+eps=0.5"
    assert list(settings.methods) == ["zero_shot", "scratch", "full", name]
    assert settings.optimizer == ft.OPTIMIZERS["nadamw"]
    changed = settings.methods[name]
    assert changed.optimizer == ft.Adam(nesterov=True, weight_decay=1e-2, eps=0.5)
    assert (changed.warm_start, changed.adapter) == (ft.WARM_STARTS["keep"], ft.METHODS[RECOMMENDED].adapter)


def test_methods_by_name_run_beside_the_references_once_each():
    settings = resolve(["--method", "critic-reset", "full", "critic_reset"])
    assert list(settings.methods) == ["zero_shot", "scratch", "full", "critic_reset"]
    assert all(settings.methods[name] == ft.METHODS[name] for name in settings.methods)
    assert list(resolve(["--method", "lora", "lora", "--penalty", "l2"]).methods)[3:] == ["lora+l2"]
    several = resolve(["--method", "lora", "--shift", "long-pole", "--method=kl", "soften", "--method", "lora"])
    assert list(several.methods)[3:] == ["lora", "kl", "soften"] and several.target_name == "long-pole"


def test_checks_are_made_against_the_agents_that_are_given(agents, tmp_path, nothing_runs):
    ft.save(dataclasses.replace(agents, opt_state=None), tmp_path / "saved")
    given = ["--agents", str(tmp_path / "saved"), "--seeds", "2"]
    for method, message in (("keep_adam", "no optimizer state to keep"), ("lora", "adapter.rank: 9 is above")):
        flags = ["--method.adapter.rank", "9"] * (method == "lora")
        with pytest.raises(ValueError, match=message):
            resolve([*given, "--method", method, *flags])
    ft.save(dataclasses.replace(agents, status=("ok", "non-finite", "ok", "ok")), tmp_path / "broken")
    with pytest.raises(ValueError, match="agents: 1 \\(non-finite\\) failed in training"):
        resolve(["--agents", str(tmp_path / "broken")])


def test_an_axis_that_is_the_methods_own_already_makes_no_other_method():
    settings = resolve(["--method", "full", "--optimizer", "adam", "--penalty", "none"])
    assert list(settings.methods) == ["zero_shot", "scratch", "full"]
    assert list(resolve(["--method", "lora", "--adapter", "lora", "--penalty", "l2"]).methods)[3:] == ["lora+l2"]


@pytest.mark.parametrize(
    ("line", "target", "name"),
    [
        ("", "CartPole-v1 flip_actions=1", "flipped-actions"),
        ("--shift weak_motor", "CartPole-v1 force=2", "weak-motor"),
        ("--shift weak-motor --target.gravity 20", "CartPole-v1 gravity=20 force=2", "weak-motor+gravity=20"),
        ("--target.gravity 20", "CartPole-v1 gravity=20", "gravity=20"),
        ("--target.obs-offset 1 0 0 0", "CartPole-v1 obs_offset=(1, 0, 0, 0)", "obs_offset=(1, 0, 0, 0)"),
        ("--source Pendulum-v1 --target.g 15", "Pendulum-v1 g=15", "g=15"),
        ("--source Pendulum-v1 --target.obs-noise 0.1", "Pendulum-v1 obs_noise=0.1", "obs_noise=0.1"),
        (
            "--source MountainCarContinuous-v0 --target.power 0.002",
            "MountainCarContinuous-v0 power=0.002",
            "power=0.002",
        ),
    ],
)
def test_the_target_is_the_shift_with_its_physics_flags(line, target, name):
    settings = resolve(line.split())
    assert (settings.target.describe(), settings.target_name) == (target, name)
    assert {kind for kind, _ in settings.held_out} == {"interpolation", "extrapolation"}


def test_pretraining_ends_at_the_highest_return_of_the_source_unless_another_is_given(agents, tmp_path):
    for line, stop_at in (
        ("", 500.0),
        ("--source Pendulum-v1 --target.g 15", 0.0),
        ("--pretrain-stop-at 475", 475.0),
        ("--pretrain-stop-at never", None),
    ):
        settings = resolve(line.split())
        assert settings.stop_at == stop_at and settings.plan()["pretrain_stop_at"] == stop_at
        assert settings.budget.stop_at is None, "a comparison needs equal budgets"
    settings = resolve(["--pretrain-patience", "3"])
    assert settings.plan()["pretrain_patience"] == 3 and resolve([]).plan()["pretrain_patience"] == 2
    ft.save(agents, tmp_path / "saved")
    assert not {"pretrain_stop_at", "pretrain_patience", "pretrain_keep"} & set(
        resolve(["--agents", str(tmp_path / "saved")]).plan()
    )


def test_agents_bring_the_physics_of_their_own_source(agents, tmp_path):
    short = ft.make_task("CartPole-v1", episode_limit=50, gravity=12.0)
    ft.save(dataclasses.replace(agents, source=short, task=short), tmp_path / "saved")
    settings = resolve(["--agents", str(tmp_path / "saved"), "--shift", "strong-gravity"])
    assert settings.source.describe() == short.describe()
    assert settings.target.describe() == "CartPole-v1 gravity=50 episode_limit=50"
    assert {task.episode_limit for _, task in settings.held_out} == {50}
    assert (settings.algo, settings.network) == (agents.algo, agents.network)
    other = resolve(["--agents", str(tmp_path / "saved"), "--source", "CartPole-v1"])
    assert other.target.describe() == "CartPole-v1 flip_actions=1"


@pytest.mark.parametrize("name", list(ft.ALGOS))
def test_an_algorithm_by_name_has_its_own_dotted_flags(name):
    settings = resolve(["--algo", name, "--algo.gamma", "0.9", "--method", "full"])
    assert settings.algo == dataclasses.replace(ft.DEFAULTS["CartPole-v1"][name].algo, gamma=0.9)
