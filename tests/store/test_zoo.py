"""The zoo: small files that are whole, cards that say what is in them, and agents that return what their cards say."""

import hashlib
import re
import tomllib
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.deploy.describe import host, unchecked
from jaxrl_ft.store import runs, zoo

MOST_BYTES, MOST_IN_ALL = 100_000, 1_200_000
"""Of a file, and of all of them."""
NAMES = list(ft.ZOO)


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_is_whole_and_its_card_is_of_it(name):
    row = ft.ZOO[name]
    agents, card = ft.load(f"zoo:{name}"), row.card
    assert agents.num_seeds == 1 and agents.status == ("ok",) and agents.opt_state is None
    assert card["agents_sha256"] == agents.digest and card["name"] == name
    assert card["task"]["description"] == row.task == agents.task.describe()
    assert (row.algo, row.method) == (ft.ALGOS.nearest_name(agents.algo), ft.METHODS.name_of(agents.method))
    files = {path.name: path.read_bytes() for path in row.path.iterdir()}
    assert {file: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for file, data in files.items()} == (
        card["files"]
    )
    assert sum(map(len, files.values())) < MOST_BYTES
    assert row.low <= row.mean <= row.high and row.episodes == 100


@pytest.mark.parametrize("name", NAMES)
def test_names_say_what_they_are(name):
    row, agents = ft.ZOO[name], ft.load(f"zoo:{name}")
    environment, algo, *shift = name.split("-", 2)
    assert environment == re.sub(r"-v\d$", "", agents.source.id).lower() and algo == row.algo
    assert agents.source == ft.make_task(agents.source.id)
    assert agents.task == ft.make_task(agents.source.id, *shift)
    assert row.parent == (f"{environment}-{algo}" if shift else None)
    assert set(row.card["returns"]) == ({"task", "source", "zero_shot"} if shift else {"task"})


def test_every_pretrained_agent_has_a_fine_tuned_one_that_gained():
    assert {row.parent for row in ft.ZOO.values() if row.parent} == {n for n, row in ft.ZOO.items() if not row.parent}
    for row in ft.ZOO.values():
        assert row.parent is None or row.mean > row.card["returns"]["zero_shot"]["mean"]


def test_it_is_small_and_comes_with_the_package():
    root = Path(ft.__file__).parent
    with (root.parent / "pyproject.toml").open("rb") as file:
        shipped = tomllib.load(file)["tool"]["setuptools"]["package-data"]["jaxrl_ft"]
    files = {path for path in zoo.PLACE.rglob("*") if path.is_file()}
    assert files == {path for pattern in shipped for path in root.glob(pattern)} & files
    assert sum(path.stat().st_size for path in files) < MOST_IN_ALL


def test_what_it_has_not_is_one_line(nothing_runs):
    with pytest.raises(ValueError, match=r"^zoo: 'cartpole-pp0' is not known; did you mean 'cartpole-p\wo'\?"):
        ft.load("zoo:cartpole-pp0")
    with pytest.raises(ValueError, match=r"^policy: 'zoo:cartpole-ppo' is not allowed; ft.load\('zoo:cartpole-ppo'\)"):
        ft.import_policy("zoo:cartpole-ppo", ft.make_task("CartPole-v1"))
    with pytest.raises(ValueError, match=r"^run: zoo: 'x' is not known"):
        runs.find("zoo:x")


def test_a_fine_tuned_one_stands_beside_its_parent():
    name = next(name for name, row in ft.ZOO.items() if row.parent)
    shown = runs.side_by_side(f"zoo:{name}")
    assert list(shown) == ["base", f"zoo:{name}"] and shown["base"] == ft.load(f"zoo:{ft.ZOO[name].parent}")
    assert runs.find(f"zoo:{name}").parent == shown["base"]


def test_an_agent_returns_what_its_card_says_in_gymnasium():
    row, agents = ft.ZOO["cartpole-ppo"], ft.load("zoo:cartpole-ppo")
    act, returns = unchecked(agents, host(agents, 0)).policy().__call__, []
    with gymnasium.make("CartPole-v1") as environment:
        for seed in range(5):
            obs, over, total = environment.reset(seed=seed)[0], False, 0.0
            while not over:
                obs, reward, *ends, _ = environment.step(int(act(obs)))
                over, total = any(ends), total + float(reward)
            returns.append(total)
    assert row.low <= np.mean(returns) <= row.high


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_agent_returns_what_its_card_says(name):
    row, agents = ft.ZOO[name], ft.load(f"zoo:{name}")
    found = ft.evaluate(agents, agents.task, episodes=row.episodes)[0].mean()
    assert row.low <= found <= row.high
