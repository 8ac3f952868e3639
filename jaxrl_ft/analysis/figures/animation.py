"""Episodes beside each other as HTML: drawings or pictures that the page's script moves, and drawings that print."""

import base64
import html
import io
import json
from collections.abc import Sequence

import numpy as np

from jaxrl_ft.analysis.figures.scene import Drawn, Pictures, Pixels, Scene
from jaxrl_ft.analysis.figures.world import Part, World
from jaxrl_ft.analysis.report.measurements import Animation, Episode
from jaxrl_ft.core.curves import Estimate, Floats
from jaxrl_ft.core.files import Json

GHOSTS = 7
"""Poses that are drawn where the page cannot move, as in print."""
CHART_WIDTH, CHART_HEIGHT = 560.0, 120.0
LEFT, MARGIN = 62.0, 8.0
"""Where the chart's axis begins, and the room above and below its lines."""
SPEEDS = ((0.25, "¼ ×"), (1.0, "1 ×"), (4.0, "4 ×"))


WIDTHS = {1: "scenes one", 3: "scenes three"}
"""Classes of so many scenes beside each other; two are usual."""


def animation_html(animation: Animation) -> str:
    """An episode before and after fine-tuning: the two scenes, their controls, and the data that the script reads."""
    episodes = (("Before: pretrained", animation.before), (f"After: {animation.method}", animation.after))
    scenes = [Scene(title, (), Drawn(animation.world, episode)) for title, episode in episodes]
    return scenes_html(scenes, animation.world.tau, animation.world.timed)


def scenes_html(scenes: Sequence[Scene], tau: float, timed: bool) -> str:
    """Scenes beside each other, their controls, and the data that the script reads.

    Args:
        scenes: one at least.
        tau: seconds for which a step is shown.
        timed: whether these are the environment's own.
    """
    steps = max(scene.steps for scene in scenes)
    shown = "".join(_scene(scene, steps) for scene in scenes)
    data = {"tau": tau, "timed": timed, "episodes": [_data(scene, steps) for scene in scenes]}
    options = "".join(
        f'<option value="{speed}"{" selected" if speed == 1.0 else ""}>{text}</option>' for speed, text in SPEEDS
    )
    controls = (
        '<div class="controls" hidden><button type="button">Play</button>'
        '<input type="range" min="0" value="0" step="any" aria-label="time">'
        f'<select aria-label="speed">{options}</select><span class="clock"></span></div>'
    )
    return f'<div class="{WIDTHS.get(len(scenes), "scenes")}">{shown}</div>{controls}{script_data(data)}'


def script_data(value: object) -> str:
    """A value as JSON that cannot end the element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for mark, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(mark, escaped)
    return f'<script type="application/json">{text}</script>'


def verdict(world: World, episode: Episode) -> tuple[bool, str]:
    """Whether the episode ended in a failure, and how it went in words."""
    failed, words = world.verdict(_motion(episode))
    steps = len(episode.push)
    time = f" ({steps * world.tau:.1f} s)" if world.timed else ""
    return failed, f"{words} {steps} step{'s' * (steps != 1)}{time}"


def _motion(episode: Episode) -> Floats:
    return np.asarray(episode.motion, np.float64)


def _data(scene: Scene, steps: int) -> Json:
    told: Json = {"steps": scene.steps, **({"readouts": list(scene.readouts)} if scene.readouts else {})}
    if isinstance(scene.picture, Pictures):
        return {**told, "failed": False, "frames": [_png(frame) for frame in scene.picture.frames]}
    world, episode = scene.picture
    return {
        **told,
        "parts": {part.name: [_series(values) for values in part[1:]] for part in world.parts(_motion(episode))},
        "push": np.round(np.asarray(episode.push, np.float64), 2).tolist(),
        "failed": verdict(world, episode)[0],
        "span": round((CHART_WIDTH - LEFT) * len(episode.push) / steps, 2),
    }


def _png(frame: Pixels) -> str:
    """A picture as an address that holds it."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _series(values: Floats) -> list[float]:
    rounded: list[float] = np.round(values, 2).tolist()
    return rounded


def _scene(scene: Scene, steps: int) -> str:
    """One drawing with its heading, its verdict and its chart; or one picture."""
    name = html.escape(scene.name)
    told = f'<p class="readout">{html.escape(scene.readouts[-1])}</p>' if scene.readouts else ""
    if isinstance(scene.picture, Pictures):
        return f'<div class="scene"><h4>{name}</h4>{told}<img alt="{name}" src="{_png(scene.picture.frames[0])}"></div>'
    world, episode = scene.picture
    if not scene.readouts:
        told = f'<p class="verdict">{html.escape(verdict(world, episode)[1])}</p>'
    return f'<div class="scene"><h4>{name}</h4>{told}{_drawing(world, episode)}{_chart(world, episode, steps)}</div>'


def _drawing(world: World, episode: Episode) -> str:
    """The world at the episode's start, and pale poses of the whole episode."""
    motion = _motion(episode)
    poses = motion[np.linspace(0, len(motion) - 1, min(GHOSTS, len(motion))).astype(int)]
    ghosts = "".join(_ghost(pose) for pose in world.scale * world.outline(poses) * (1.0, -1.0) + (0.0, world.base))
    body = world.body()
    for part in world.parts(motion[:1]):
        body = body.replace(f'class="{part.name}"', f'class="{part.name}" transform="{_transform(part)}"')
    box = " ".join(f"{value:.1f}" for value in world.box)
    return f'<svg role="img" aria-label="{world.noun}" viewBox="{box}">{world.ground()}{ghosts}{body}</svg>'


def _transform(part: Part) -> str:
    """Where a part is in its first state."""
    return f"translate({part.x[0]:.2f} {part.y[0]:.2f}) rotate({part.angle[0]:.2f})"


def _ghost(points: Floats) -> str:
    """A pale line through points of the drawing; a dot where there is one point alone."""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="ghost" stroke-width="6" d="M{path}{"h0" if len(points) == 1 else ""}"/>'


def _chart(world: World, episode: Episode, steps: int) -> str:
    """One quantity over time, with a cursor that the script moves."""
    chart = world.chart(_motion(episode))

    def height(values: Estimate) -> Estimate:
        share = (np.clip(values, chart.low, chart.high) - chart.low) / (chart.high - chart.low)
        return CHART_HEIGHT - MARGIN - share * (CHART_HEIGHT - 2.0 * MARGIN)

    times = LEFT + (CHART_WIDTH - LEFT) * np.arange(len(chart.values)) / steps
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(times, height(chart.values), strict=True))
    lines = "".join(
        f'<path class="{css_class}" d="M{LEFT} {height(value):.1f}H{CHART_WIDTH}"/>'
        f'<text class="small-text" x="{LEFT - 5}" y="{height(value) + 4:.1f}" text-anchor="end">{text}</text>'
        for css_class, value, text in chart.lines
    )
    return (
        f'<svg role="img" aria-label="{chart.label} over time" viewBox="0 0 {CHART_WIDTH:.0f} {CHART_HEIGHT:.0f}">'
        f'{lines}<polyline class="angle" points="{points}"/>'
        f'<path class="cursor" d="M{LEFT} 4V{CHART_HEIGHT - 4}"/></svg>'
    )
