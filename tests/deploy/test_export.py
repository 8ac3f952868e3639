"""`ft.export` writes whole folders with their cards, and refuses what it cannot write before it writes anything."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.exported import kind, random_agents

import jaxrl_ft as ft
from jaxrl_ft.deploy import card
from jaxrl_ft.deploy.formats.catalogue import FORMATS
from jaxrl_ft.rl.actor_critic import ActorCritic


class Own(ActorCritic):
    """An actor that is not known."""


RETURNS = np.array([[10.0, 20.0, 30.0, 40.0]])


@pytest.fixture(autouse=True, scope="module")
def evaluations():
    """Evaluations that take no time; what they were asked for."""
    asked = []

    def evaluate(agents, task, **numbers):
        asked.append((agents.num_seeds, agents.digest, task.describe(), numbers))
        return RETURNS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card, "evaluate", evaluate)
        yield asked


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    agents = replace(kind("ppo")[0], report=("it was so",), curve=np.array([[3.0], [5.0]], np.float32))
    out = tmp_path_factory.mktemp("exports") / "deep" / "out"
    return ft.export(agents, out, ["numpy", "c"], episodes=3, name="cart", parent=kind("pqn")[0]), agents


def test_a_card_stands_beside_the_files(folder, evaluations):
    path, agents = folder
    found = json.loads((path / "card.json").read_text())
    for name, file in found["files"].items():
        data = (path / name).read_bytes()
        assert file == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert set(found["files"]) == {"cart.npz", "policy_numpy.py", "cart.h"}
    assert found["seeds"] == {"number": 2, "exported": 1, "status": "ok"}
    assert found["agents_sha256"] == agents.digest and found["parent_sha256"] == kind("pqn")[0].digest
    assert found["task"]["quantities"] == {k: np.asarray(v).tolist() for k, v in agents.task.quantities.items()}
    assert found["size"]["multiply_adds"] == 4 * 16 + 16 * 16 + 16 * 2 and found["versions"]["jax"]
    one = agents.select(np.array([1]))
    assert evaluations[0] == (1, one.digest, "CartPole-v1", {"episodes": 3, "seed": 2})
    assert found["returns"]["task"]["mean"] == 25 and found["returns"]["task"]["episodes"] == 3
    assert 10 <= found["returns"]["task"]["low"] < 25 < found["returns"]["task"]["high"] <= 40
    assert found["last_evaluation_of_all_seeds"]["iqm"] == 4.0
    page = (path / "card.md").read_text()
    assert agents.digest in page and "it was so" in page and "logits of the actions" in page
    assert "static inline int cart(const float obs[4], float outputs[2])" in (path / "cart.h").read_text()
    assert '"cart.npz"' in (path / "policy_numpy.py").read_text()


def test_a_folder_of_an_earlier_export_may_be_written_again_and_no_other(folder, tmp_path):
    path, agents = folder
    before = (path / "cart.h").read_bytes()
    assert ft.export(agents, path, "c", episodes=0, name="cart") == path
    assert (path / "cart.h").read_bytes() == before
    assert list(json.loads((path / "card.json").read_text())["files"]) == ["cart.h"]
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(ValueError, match=r"^out: .* cannot be used: it exists and no earlier run made it"):
        ft.export(agents, tmp_path, "c", episodes=0)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": "nump"}, r"^to: 'nump' is not known; did you mean 'numpy'\?"),
        ({"to": []}, "^to: needs at least one of: numpy"),
        ({"seed": 2}, r"^seed: 2 is not allowed; it must be a whole number of at least 0 and at most 1"),
        ({"name": "a b"}, "^name: 'a b' is not allowed"),
        ({"episodes": -1}, "^episodes: -1 is not allowed"),
        ({"parent": 1}, "^parent: 1 is not allowed; it must be Agents"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_is_written(nothing_runs, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        ft.export(kind("ppo")[0], tmp_path / "out", **{"to": "c", **arguments})
    assert not list(tmp_path.iterdir())


def test_policies_without_a_description_are_refused_with_the_reason(tmp_path):
    agents = kind("ppo")[0]
    other = replace(agents, algo=replace(agents.algo, actor=Own()))
    with pytest.raises(ValueError, match=r"^algo: actions by Own have no description .*stablehlo takes any policy"):
        ft.export(other, tmp_path / "out", "numpy")
    with pytest.raises(ValueError, match=r"^agents: 1 is not allowed"):
        ft.export(1, tmp_path / "out", "numpy")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    missing = {name: row for name, row in FORMATS.items() if row.needs}
    for name, row in missing.items():
        with pytest.raises(ValueError, match=rf'^to: {name} needs .* python -m pip install "jaxrl_ft\[{row.extra}\]"$'):
            ft.export(kind("ppo")[0], tmp_path / "out", name)
    assert not list(tmp_path.iterdir())


def test_the_card_has_both_tasks_where_they_differ(tmp_path):
    agents = random_agents(ft.make_task("Pendulum-v1"), ft.PPO(), ft.MLP(width=4))
    moved = replace(agents, task=agents.task.changed(max_torque=1.0))
    found = json.loads((ft.export(moved, tmp_path / "out", "c", episodes=2) / "card.json").read_text())
    assert found["returns"].keys() == {"task", "source"} and found["source"]["quantities"]["max_torque"] == 2.0
    assert found["action"] == {
        "kind": "continuous", "size": 1, "low": [-1.0], "high": [1.0], "outputs": "means", "temperature": 1.0,
    }  # fmt: skip
    assert "pretrained on Pendulum-v1; seed 0 of 2" in found["title"]


@pytest.mark.slow
def test_the_card_has_the_returns_of_fresh_episodes(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card, "evaluate", ft.evaluate)
        agents = kind("ppo")[0]
        path = ft.export(agents, tmp_path / "out", "numpy", episodes=20)
    found = json.loads((path / "card.json").read_text())["returns"]["task"]
    assert found["mean"] == pytest.approx(ft.evaluate(agents, agents.task, episodes=20)[0].mean())
