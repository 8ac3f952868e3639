"""The tuned defaults: each row fits its environment, a name takes its row, and a config is taken as it is."""

import pytest
from helpers import image_worlds

import jaxrl_ft as ft
from jaxrl_ft.commands import settings, sweep_settings
from jaxrl_ft.defaults.pretraining import pretraining
from jaxrl_ft.training import finetune
from jaxrl_ft.training.spec import Budget, pretraining_spec

ROWS = [(id, name) for id in ft.DEFAULTS for name in ft.DEFAULTS[id]]
GAMES = [id for id in ft.DEFAULTS if id.endswith("-MinAtar")]
TINY = ft.PQN(num_envs=2, num_steps=8, num_minibatches=1)
WITHOUT = "Catch-bsuite"
"""An environment that has no row."""


@pytest.fixture
def taken(monkeypatch):
    """Algorithm, network, optimizer and steps that a call of `pretrain` would train with."""

    class StoppedError(Exception):
        pass

    def stop(source, algo, network, optimizer, seeds, budget, until):
        raise StoppedError(algo, network, optimizer, budget.steps)

    monkeypatch.setattr(finetune, "pretraining_spec", stop)

    def call(*args, **options):
        with pytest.raises(StoppedError) as stopped:
            ft.pretrain(*args, **options)
        return stopped.value.args

    return call


def parts(row, id="CartPole-v1"):
    return row.algo, row.usual_network(ft.make_task(id)), row.optimizer, row.steps


@pytest.mark.parametrize(("id", "name"), ROWS)
def test_a_row_is_of_its_algorithm_and_is_accepted(id, name):
    row = ft.DEFAULTS[id][name]
    assert type(row.algo) is type(ft.ALGOS[name])
    spec = pretraining_spec(
        ft.make_task(id), row.algo, row.usual_network(ft.make_task(id)), row.optimizer, 2, Budget(row.steps)
    )
    assert spec.num_updates > 1


def test_cartpole_s_default_is_the_ppo_of_all_evidence():
    assert parts(pretraining("CartPole-v1")) == (ft.PPO(), ft.MLP(), ft.Adam(), 40_960)


def test_what_is_not_given_comes_from_the_default_of_the_environment(taken):
    for id, rows in ft.DEFAULTS.items():
        assert taken(ft.make_task(id)) == parts(next(iter(rows.values())), id)
    changed = ft.make_task("Pendulum-v1", m=2.0, obs_noise=0.1)
    assert taken(changed) == parts(next(iter(ft.DEFAULTS["Pendulum-v1"].values())))
    assert taken(ft.make_task(WITHOUT)) == (ft.PPO(), ft.MLP(), ft.Adam(), 40_960)


def test_a_name_takes_its_row_and_a_config_none(taken):
    task = ft.make_task("CartPole-v1")
    assert taken(task, algo="reinforce") == parts(ft.DEFAULTS["CartPole-v1"]["reinforce"])
    assert taken(task, algo=ft.REINFORCE()) == (ft.REINFORCE(), ft.MLP(), ft.Adam(), 40_960)
    assert taken(ft.make_task(WITHOUT), algo="dqn") == (
        ft.DQN(),
        ft.DQN().usual_network(ft.make_task(WITHOUT)),
        ft.Adam(),
        40_960,
    )


def test_an_image_of_a_user_s_own_environment_is_read_by_convolutions(taken):
    assert taken(image_worlds.task()) == (ft.PPO(), ft.CNN(), ft.Adam(), 40_960)
    for name in ("dqn", "pqn", "sac"):
        assert taken(image_worlds.task(), algo=name)[1] == ft.CNN(layer_norm=True)


def test_a_user_s_image_is_trained_on_by_convolutions():
    agents = ft.pretrain(image_worlds.task(), algo=TINY, seeds=1, steps=16, num_evals=2, eval_episodes=1)
    assert agents.network == ft.CNN(layer_norm=True, image=image_worlds.IMAGE)
    assert agents.params["policy"]["conv_0"]["kernel"].shape == (1, 3, 3, 2, 16)


def test_games_are_learned_by_the_convolutions_of_pqn_s_authors():
    row = next(iter(ft.DEFAULTS["Breakout-MinAtar"].values()))
    assert row.usual_network(ft.make_task("Breakout-MinAtar")) == ft.CNN(layer_norm=True)
    assert isinstance(row.algo, ft.PQN) and all(rows.keys() == {"pqn", "ppo"} for rows in map(ft.DEFAULTS.get, GAMES))


@pytest.mark.slow
@pytest.mark.parametrize("id", GAMES)
def test_a_game_alone_is_enough_to_pretrain(id):
    agents = ft.pretrain(ft.make_task(id), seeds=1, steps=2_048, num_evals=2, eval_episodes=2)
    assert agents.status == ("ok",) and "conv_0" in agents.params["policy"]


def test_what_is_given_stands_beside_a_row(taken):
    given = {"network": ft.MLP(width=8), "optimizer": ft.Adam(learning_rate=1e-4), "steps": 512}
    row = ft.DEFAULTS["CartPole-v1"]["dqn"]
    assert taken(ft.make_task("CartPole-v1"), algo="dqn", **given) == (row.algo, *given.values())


def test_an_algorithm_of_an_unknown_name_is_answered_with_the_nearest(nothing_runs):
    with pytest.raises(ValueError, match="algo: 'dqm' is not known; did you mean 'dqn'"):
        ft.pretrain(ft.make_task("CartPole-v1"), algo="dqm")


def test_both_commands_take_the_row_of_the_source_and_flags_go_on_top():
    row = next(iter(ft.DEFAULTS["Pendulum-v1"].values()))
    found = settings.resolve(["--source", "Pendulum-v1", "--shift", "heavy-bob", "--algo.gamma", "0.9"])
    assert found.algo.gamma == 0.9 and type(found.algo) is type(row.algo)
    assert (found.network, found.optimizer, found.pretrain_steps) == parts(row)[1:]
    swept = sweep_settings.resolve(["--source", "Pendulum-v1", "--shifts", "all", "--seeds", "2"])
    spec = swept.pretraining_spec()
    assert (spec.algo, spec.network, spec.method.optimizer) == parts(row)[:3]
    assert swept.plan()["pretrain_steps"] == row.steps and list(swept.targets) == list(ft.shifts_of("Pendulum-v1"))
    named = settings.resolve(["--algo", "reinforce", "--pretrain-steps", "1000"])
    assert named.optimizer == ft.DEFAULTS["CartPole-v1"]["reinforce"].optimizer and named.pretrain_steps == 1000
    with pytest.raises(ValueError, match="shifts: none is given; those of Pendulum-v1 are: sticky-actions"):
        sweep_settings.resolve(["--source", "Pendulum-v1"])
