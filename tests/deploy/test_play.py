"""`ft.play`: what films show, what they are, and how it refuses before anything is computed."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from helpers import recorded
from helpers.exported import kind, random_agents
from helpers.own_worlds import Count, Point
from PIL import Image

import jaxrl_ft as ft
from jaxrl_ft.analysis.figures.scene import Drawn, Pictures
from jaxrl_ft.deploy import films, pictures, scenes
from jaxrl_ft.envs.changes.simulator import ChangedState
from jaxrl_ft.training.evaluation import diagnostics


@pytest.fixture
def played(monkeypatch):
    """Episodes that take no time: agents live 9 steps, their second policy 30; what was asked for."""
    asked = []

    def record(agents, task, **numbers):
        asked.append((agents, task.describe(), numbers))
        one = recorded.cartpole(30 if len(asked) > 1 else 9)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], one)

    monkeypatch.setattr(diagnostics, "record", record)
    return asked


def test_a_gif_has_a_picture_of_every_moment_in_its_time(played, tmp_path):
    agents = kind("ppo")[0]
    other = replace(agents, status=("failed", "ok"))
    path = ft.play({"before": agents, "after": other}, tmp_path / "a.gif", seed=7, fps=25, max_steps=20)
    with Image.open(path) as film:
        times = []
        for frame in range(film.n_frames):
            film.seek(frame)
            times.append(film.info["duration"])
        assert film.n_frames == 21 and set(times[:-1]) == {40} and times[-1] > 1000 and film.info["loop"] == 0
    assert [asked[2] for asked in played] == [{"max_steps": 20, "seed": 7}] * 2
    assert played[0][0] == agents.select(np.array([0])) and played[1][0] == other.select(np.array([1]))
    assert played[0][1] == "CartPole-v1"


def test_a_page_holds_the_episodes_and_loads_nothing(played, tmp_path):
    agents = kind("ppo")[0]
    path = ft.play({"<base>": agents, "b": agents, "c": agents}, tmp_path / "a.html", agents.task.changed(tau=0.04))
    text = path.read_text()
    data = json.loads(re.search(r'json">(.*?)</script>', text, re.DOTALL)[1])
    assert [episode["steps"] for episode in data["episodes"]] == [9, 30, 30] and data["tau"] == pytest.approx(0.04)
    told = data["episodes"][0]["readouts"]
    assert told[0] == "step 0, return 0.0" and told[4] == "step 4, return 4.0"
    assert told[-1] == "step 9, return 9.0\nepisode over: fell after 9 steps"
    assert data["episodes"][0]["failed"] and "CartPole-v1 tau=0.04" in text
    assert "<base>" not in text and "&lt;base&gt;" in text and 'class="scenes three"' in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_what_is_cut_off_is_no_end_and_a_time_limit_is_one():
    task = ft.make_task("CartPole-v1")
    shown = scenes.scene("a", recorded.cartpole(30), task, 20)
    assert shown.steps == 20 and shown.readouts[-1] == "step 20, return 20.0\ncut off at 20 steps"
    whole = recorded.cartpole(50, terminated=False)
    assert scenes.scene("a", whole, task, 500).readouts[-1].endswith("cut off at 50 steps")
    limited = scenes.scene("a", whole, ft.make_task("CartPole-v1", episode_limit=50), 500)
    assert limited.readouts[-1].endswith("episode over: still up after 50 steps")
    assert isinstance(limited.picture, Drawn)


def test_changes_around_an_environment_show_what_acted():
    task = ft.make_task("Pendulum-v1", action_delay=1, frame_skip=2)
    world = scenes.world_of(task)
    assert world.tau == pytest.approx(0.1)
    inner = [SimpleNamespace(theta=angles, theta_dot=angles) for angles in (np.zeros(()), np.ones(3))]
    start, after = (
        ChangedState(world=state, queue=None, last=acted)
        for state, acted in zip(inner, (np.zeros(1), np.array([[0.0], [2.0], [-1.0]])))
    )
    found = scenes.drawn(recorded.recording(start, after, 3, np.full((3, 1), 9.0), np.ones(3), False), world)
    assert found.push.tolist() == [0.0, 1.0, -0.5] and np.shape(found.motion) == (4, 2)


def test_games_have_a_colour_for_each_channel_and_the_first_is_seen():
    images = np.zeros((4, 10, 10, 4), np.float32)
    images[:, 2, 3, 1] = images[1:, 2, 3, 0] = images[:, 0, 0, 3] = 1.0
    shown = scenes.scene("a", recorded.game(images, 3), ft.make_task("Breakout-MinAtar"), 500)
    assert isinstance(shown.picture, Pictures) and len(shown.picture.frames) == 4
    first, then = shown.picture.frames[:2]
    assert first.shape == (10, 10, 3) and first.dtype == np.uint8
    assert tuple(first[2, 3]) == scenes.CHANNELS[1] and tuple(then[2, 3]) == scenes.CHANNELS[0]
    assert tuple(first[0, 0]) == scenes.CHANNELS[3] and tuple(first[5, 5]) == scenes.GROUND
    assert shown.readouts[2] == "step 2, return 1.0"
    assert len(set(scenes.CHANNELS) | {scenes.GROUND}) == 1 + len(scenes.CHANNELS) >= 11


class Rendered(Count):
    """An environment that draws itself, with its time in red."""

    name = "Rendered"

    def render(self, state, params):
        picture = np.zeros((4, 6, 3), np.float32)
        picture[..., 0] = state.time / params.last
        return picture


def states(world, times):
    return [recorded.WorldState(inner=type(world.reset_env(None, None)[1])(time=t), obs=None, time=t, cut=False)
            for t in times]  # fmt: skip


def test_an_environment_renders_itself():
    env = Rendered()
    paint = scenes.painter(ft.make_task(env))
    red = [paint(state)[0, 0].tolist() for state in states(env, (0, 3))]
    assert red == [[0, 0, 0], [255, 0, 0]]
    changed = scenes.painter(ft.make_task(env, last=6, obs_noise=0.1))
    assert changed(states(env, (3,))[0])[0, 0].tolist() == [128, 0, 0]

    class Broken(Rendered):
        name = "Broken"

        def render(self, state, params):
            raise KeyError("colour")

    with pytest.raises(ValueError, match=r"^task: render of Broken fails with KeyError: 'colour'$"):
        scenes.painter(ft.make_task(Broken()))(states(env, (0,))[0])


def test_figures_axes_and_arrays_are_pictures():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 0.5), dpi=100, facecolor="red")
    axes = figure.add_axes((0, 0, 0.5, 1), facecolor="blue")
    for found in (figure, axes, (figure, axes), [axes, 1]):
        picture = pictures.whole("a", found)
        assert picture.shape == (50, 100, 3) and picture[25, 90].tolist() == [255, 0, 0]
    four = np.full((2, 3, 4), 7, np.int64)
    assert pictures.whole("a", four).tolist() == np.full((2, 3, 3), 7).tolist()
    assert pictures.shrunk(np.zeros((1000, 500, 3), np.uint8)).shape == (400, 200, 3)
    for wrong in (None, 3, np.zeros((2, 3)), np.zeros((2, 3, 2)), "text", np.zeros((2, 3, 3), bool)):
        with pytest.raises(ValueError, match=r"^a returns .*; it must be \[height, width, 3\]"):
            pictures.whole("a", wrong)


def test_pyplot_forgets_figures_that_were_seen(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    pictures.whole("a", (figure, axes))
    assert figure.number not in pyplot.get_fignums()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out": "a.avi"}, r"^out: 'a.avi' is not allowed; it must end in one of: .gif, .mp4, .html"),
        ({"out": "nowhere/a.gif"}, "^out: 'nowhere/a.gif' is not allowed; it is in a directory that does not exist"),
        ({"out": "there.gif"}, "^out: 'there.gif' is not allowed; it is a directory"),
        ({"fps": 51}, "^fps: 51 is not allowed; .* at most 50"),
        ({"max_steps": 0}, "^max_steps: 0 is not allowed"),
        ({"seed": -1}, "^seed: -1 is not allowed"),
        ({"agent": 2}, "^agent: 2 is not allowed; .* at most 1"),
        ({"task": "long-pole"}, "^task: 'long-pole' is not allowed; it must be a Task"),
        ({"task": ft.make_task("Acrobot-v1")}, "do not fit agents"),
        ({"agents": {}}, "^agents: 0 are not allowed beside each other; 1 to 6 are"),
        ({"agents": {"a": 1}}, "^agents: 1 is not allowed"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_runs(nothing_runs, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.gif").mkdir()
    with pytest.raises(ValueError, match=message):
        ft.play(**{"agents": kind("ppo")[0], "out": "a.gif", **arguments})
    assert [path.name for path in tmp_path.iterdir()] == ["there.gif"]


def test_an_environment_that_cannot_be_seen_says_what_is_missing(tmp_path):
    task = ft.make_task(Point())
    agents = random_agents(task, ft.PPO(), ft.MLP(width=4))
    with pytest.raises(
        ValueError, match=r"^task: Point has no picture; give its class a method render\(state, params\)"
    ):
        ft.play(agents, tmp_path / "a.gif")


def test_a_film_needs_ffmpeg_and_gets_every_picture(played, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^out: .mp4 needs ffmpeg on the PATH, .*; .gif and .html need neither$"):
        ft.play(kind("ppo")[0], tmp_path / "a.mp4")
    given = []
    monkeypatch.setattr(films, "ffmpeg", lambda: "ffmpeg")
    piped = films.piped
    monkeypatch.setattr(
        films, "piped", lambda command, shown: given.append((command, len(list(shown)))) or "no encoder"
    )
    with pytest.raises(ValueError, match=r"^out: ffmpeg cannot write .*: no encoder; .gif and .html do without it$"):
        ft.play(kind("ppo")[0], tmp_path / "a.mp4", fps=10)
    assert given[0][1] == 10 + 10 and not list(tmp_path.iterdir())
    said = piped([sys.executable, "-c", "import sys; sys.exit('a reason')"], iter([np.zeros((4, 4, 3), np.uint8)] * 9))
    assert said == "a reason"


@pytest.mark.slow
@pytest.mark.parametrize("id", ["Acrobot-v1", "MountainCarContinuous-v0", "Breakout-MinAtar"])
def test_episodes_are_those_that_are_evaluated(id, tmp_path):
    agents = random_agents(ft.make_task(id), ft.PPO(), ft.MLP(width=4))
    path = ft.play(agents, tmp_path / "a.html", agent=0, max_steps=1000)
    told = json.loads(re.search(r'json">(.*?)</script>', path.read_text(), re.DOTALL)[1])["episodes"][0]["readouts"]
    returned = ft.evaluate(agents, agents.task, episodes=1)[0, 0]
    assert float(re.search("return (.*)\n", told[-1])[1].replace(",", "")) == pytest.approx(returned, abs=0.06)


@pytest.mark.slow
def test_ffmpeg_writes_a_film(played, tmp_path):
    try:
        program = films.ffmpeg()
    except ValueError:
        pytest.skip("no ffmpeg")
    path = ft.play({"a": kind("ppo")[0], "b": kind("ppo")[0]}, tmp_path / "a.mp4", fps=10)
    told = subprocess.run([program, "-hide_banner", "-i", path], capture_output=True, text=True).stderr
    assert "h264" in told and "10 fps" in told and "Duration: 00:00:04.1" in told
