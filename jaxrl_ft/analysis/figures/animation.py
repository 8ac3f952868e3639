"""A cart-pole before and after fine-tuning as HTML: drawings that the page's script moves, and that print."""

import html
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.analysis.report.measurements import Episode, Film

SCALE = 100.0
"""Units of the drawing in a metre."""
CART_WIDTH, CART_HEIGHT, MARGIN = 50.0, 26.0, 45.0
GHOSTS = 7
"""Poses that are drawn where nothing moves."""
CHART_WIDTH, CHART_HEIGHT = 560.0, 120.0
LEFT = 46.0
"""Where the chart's axis begins."""
SPEEDS = ((0.25, "¼ ×"), (1.0, "1 ×"), (4.0, "4 ×"))


def film_html(film: Film) -> str:
    """The two scenes, their controls, and the data that the script reads."""
    episodes = (("before", "Before: pretrained", film.before), ("after", f"After: {film.method}", film.after))
    steps = max(len(episode.push) for _, _, episode in episodes)
    scenes = "".join(_scene(film, title, episode, steps) for _, title, episode in episodes)
    data = {
        "tau": film.tau,
        "scale": SCALE,
        "episodes": [_data(film, episode, steps) for _, _, episode in episodes],
    }
    options = "".join(
        f'<option value="{speed}"{" selected" if speed == 1.0 else ""}>{text}</option>' for speed, text in SPEEDS
    )
    controls = (
        '<div class="controls" hidden><button type="button">Play</button>'
        '<input type="range" min="0" value="0" step="any" aria-label="time">'
        f'<select aria-label="speed">{options}</select><span class="clock"></span></div>'
    )
    return f'<div class="scenes">{scenes}</div>{controls}{script_data(data)}'


def script_data(value: Any) -> str:
    """A value as JSON that cannot end the element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for mark, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(mark, escaped)
    return f'<script type="application/json">{text}</script>'


def verdict(film: Film, episode: Episode) -> tuple[bool, str]:
    """Whether the episode came to a natural end, and how it went in words."""
    x, theta = (abs(float(np.asarray(episode.motion)[-1, column])) for column in (0, 2))
    steps = len(episode.push)
    time = f"{steps} step{'s' * (steps != 1)} ({steps * film.tau:.1f} s)"
    if theta > film.theta_threshold:
        return True, f"fell after {time}"
    if x > film.x_threshold:
        return True, f"left the track after {time}"
    return False, f"still up after {time}"


def _data(film: Film, episode: Episode, steps: int) -> dict[str, Any]:
    motion = np.asarray(episode.motion, np.float64)
    return {
        "x": np.round(motion[:, 0], 3).tolist(),
        "theta": np.round(motion[:, 2], 4).tolist(),
        "push": np.sign(np.asarray(episode.push)).astype(int).tolist(),
        "ended": verdict(film, episode)[0],
        "span": round((CHART_WIDTH - LEFT) * len(episode.push) / steps, 2),
    }


def _scene(film: Film, title: str, episode: Episode, steps: int) -> str:
    """One cart-pole with its heading, its verdict and its chart."""
    return (
        f'<div class="scene"><h4>{html.escape(title)}</h4>'
        f'<p class="verdict">{html.escape(verdict(film, episode)[1])}</p>'
        f"{_drawing(film, episode)}{_chart(film, episode, steps)}</div>"
    )


def _drawing(film: Film, episode: Episode) -> str:
    """The cart-pole at its start, and pale poses of the whole episode."""
    motion = np.asarray(episode.motion, np.float64)
    half, length = film.x_threshold * SCALE + MARGIN, 2.0 * film.half_length * SCALE
    height = length + CART_HEIGHT + 2.0 * MARGIN
    limits = "".join(
        f'<path class="limit" d="M{side * film.x_threshold * SCALE:.1f} 0V{-height + MARGIN:.1f}"/>' for side in (-1, 1)
    )
    poses = motion[np.linspace(0, len(motion) - 1, min(GHOSTS, len(motion))).astype(int)]
    ghosts = "".join(_pole("ghost", SCALE * x, theta, length) for x, _, theta, _ in poses)
    wide, top = CART_WIDTH / 2.0, -CART_HEIGHT
    body = (
        f'<rect class="cart" x="{-wide}" y="{top}" width="{CART_WIDTH}" height="{CART_HEIGHT}" rx="4"/>'
        f'<path class="push" visibility="hidden" d="M{wide + 6} {top / 2 - 8}l16 8l-16 8z"/>'
        f'<g transform="translate(0 {top})"><g class="swing" transform="rotate({math.degrees(motion[0, 2]):.2f})">'
        f'<path class="pole" stroke-width="9" d="M0 0V{-length:.1f}"/></g><circle class="hinge" r="4"/></g>'
    )
    box = f"{-half:.1f} {-height + MARGIN / 2:.1f} {2 * half:.1f} {height:.1f}"
    return (
        f'<svg role="img" aria-label="a cart with a pole" viewBox="{box}">'
        f'<path class="track" d="M{-half:.1f} 0H{half:.1f}"/>{limits}{ghosts}'
        f'<g class="body" transform="translate({SCALE * motion[0, 0]:.2f} 0)">{body}</g></svg>'
    )


def _pole(css_class: str, x: float, theta: float, length: float) -> str:
    """A pole that leans to the right by theta."""
    end = (x + length * math.sin(theta), -CART_HEIGHT - length * math.cos(theta))
    return f'<path class="{css_class}" stroke-width="6" d="M{x:.1f} {-CART_HEIGHT}L{end[0]:.1f} {end[1]:.1f}"/>'


def _chart(film: Film, episode: Episode, steps: int) -> str:
    """The angle over time, with a cursor that the script moves."""
    degrees = np.degrees(np.asarray(episode.motion, np.float64)[:, 2])
    limit = math.degrees(film.theta_threshold)
    middle, room = CHART_HEIGHT / 2.0, (CHART_HEIGHT - 26.0) / 2.0
    times = LEFT + (CHART_WIDTH - LEFT) * np.arange(len(degrees)) / steps
    heights = middle - room * np.clip(degrees / limit, -1.1, 1.1)
    lines = "".join(
        f'<path class="{css_class}" d="M{LEFT} {middle - room * side:.1f}H{CHART_WIDTH}"/>'
        f'<text class="small-text" x="{LEFT - 5}" y="{middle - room * side + 4:.1f}" text-anchor="end">{text}</text>'
        for css_class, side, text in (
            ("limit", 1, f"{limit:.0f}°"),
            ("middle", 0, "0°"),
            ("limit", -1, f"-{limit:.0f}°"),
        )
    )
    return (
        f'<svg role="img" aria-label="angle of the pole over time" viewBox="0 0 {CHART_WIDTH:.0f} {CHART_HEIGHT:.0f}">'
        f'{lines}<polyline class="angle" points="{_pairs(times, heights)}"/>'
        f'<path class="cursor" d="M{LEFT} 4V{CHART_HEIGHT - 4}"/></svg>'
    )


def _pairs(x: NDArray[Any], y: NDArray[Any]) -> str:
    """Points of a line."""
    pairs: Sequence[tuple[float, float]] = list(zip(x.tolist(), y.tolist(), strict=True))
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)
