"""Scenes beside each other as a file: an animated GIF, a film, or a page."""

import contextlib
import importlib.util
import io
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Protocol

import numpy as np

from jaxrl_ft.analysis.figures.animation import scenes_html
from jaxrl_ft.analysis.figures.scene import Drawn, Pixels, Scene
from jaxrl_ft.analysis.figures.stage import Stage
from jaxrl_ft.analysis.report.html import page
from jaxrl_ft.core.files import replacing, write_bytes, write_text

COLOURS, SAMPLES = 64, 9
"""Colours of a GIF, and moments that they are chosen from."""
MOST_FPS = 50
"""What GIF allows: its times are whole hundredths of a second, and viewers take those below two for ten."""
PICTURES_FPS = 15
"""Steps shown in a second of what has no time of its own."""


class Film(Protocol):
    """What writes scenes to a file."""

    def __call__(self, path: Path, scenes: Sequence[Scene], title: str, fps: int) -> None:
        """Write the file.

        Raises:
            ValueError: something is missing for it.
        """


def usual_fps(scene: Scene) -> int:
    """Steps in a second as the environment has them, at most 50; a fixed number where it has no time."""
    tau = scene.picture.world.tau if isinstance(scene.picture, Drawn) else 1.0 / PICTURES_FPS
    return int(np.clip(round(1.0 / tau), 1, MOST_FPS))


def check(path: Path) -> Film:
    """What writes a file with this ending.

    Raises:
        ValueError: nothing does, a program is missing, or the path cannot be written.
    """
    ending = path.suffix.lower().lstrip(".")
    if ending not in FILMS:
        raise ValueError(
            f"out: {str(path)!r} is not allowed; it must end in one of: {', '.join(f'.{e}' for e in FILMS)}"
        )
    if ending == "mp4":
        ffmpeg()
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "is a directory" if path.is_dir() else "is in a directory that does not exist"
        raise ValueError(f"out: {str(path)!r} is not allowed; it {what}")
    return FILMS[ending]


def ffmpeg() -> str:
    """The path of ffmpeg: of the PATH, or of the package imageio-ffmpeg.

    Raises:
        ValueError: there is none.
    """
    found = shutil.which("ffmpeg")
    if found is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        found = str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    if found is None:
        raise ValueError(
            "out: .mp4 needs ffmpeg on the PATH, or `pip install imageio-ffmpeg`; .gif and .html need neither"
        )
    return found


def gif(path: Path, scenes: Sequence[Scene], title: str, fps: int) -> None:
    """An animated GIF that repeats, with one set of colours for all of it, so that what stands still costs nothing."""
    from PIL import Image

    stage = Stage(scenes, title)
    moments = np.unique(np.linspace(0, stage.steps, SAMPLES).astype(int))
    samples = np.concatenate([stage.picture(int(step)) for step in moments])
    palette = Image.fromarray(samples).quantize(COLOURS, dither=Image.Dither.NONE)
    shown = (Image.fromarray(picture) for picture in _pictures(stage))
    frames = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in shown)
    # Numbers of milliseconds are whole hundredths of a second; the last moment is seen for a while.
    each = 10 * round(100 / fps)
    times = [*[each] * stage.steps, each + 1500]
    buffer = io.BytesIO()
    next(frames).save(buffer, "GIF", save_all=True, append_images=frames, duration=times, loop=0, optimize=False)
    write_bytes(path, buffer.getvalue())


def mp4(path: Path, scenes: Sequence[Scene], title: str, fps: int) -> None:
    """A film in H.264, which players and browsers know, written by ffmpeg."""
    stage = Stage(scenes, title)
    height, width = stage.picture(0).shape[:2]
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    made = ["-an", "-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"]
    with replacing(path) as temporary:
        command = [ffmpeg(), "-hide_banner", "-loglevel", "error", "-y", *given, *made, str(temporary)]
        said = piped(command, _pictures(stage, fps))
        if said:
            raise ValueError(f"out: ffmpeg cannot write {str(path)!r}: {said}; .gif and .html do without it")


def piped(command: Sequence[str], pictures: Iterator[Pixels]) -> str:
    """Give pictures to a program; returns the last line of what it said if it failed, and nothing otherwise."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            if process.stdin is not None:
                # A program that ends early says why.
                with contextlib.suppress(BrokenPipeError):
                    for picture in pictures:
                        process.stdin.write(picture.tobytes())
            _, said = process.communicate()
        except BaseException:
            process.kill()
            raise
    return (said.decode(errors="replace").strip().split("\n")[-1] or "it failed") if process.returncode else ""


def html(path: Path, scenes: Sequence[Scene], title: str, fps: int) -> None:
    """A page that loads nothing, whose drawings move, stop and go back."""
    picture, tau, timed = scenes[0].picture, 1.0 / fps, False
    if isinstance(picture, Drawn) and fps == usual_fps(scenes[0]):
        tau, timed = picture.world.tau, picture.world.timed
    figure = f'<figure class="animation" role="group" aria-label="episodes">{scenes_html(scenes, tau, timed)}</figure>'
    body = f"<header><h1>{escape(title)}</h1></header><main>{figure}</main>"
    write_text(path, page(title, body))


FILMS: Mapping[str, Film] = {"gif": gif, "mp4": mp4, "html": html}
"""By the ending of the file."""


def _pictures(stage: Stage, hold: int = 0) -> Iterator[Pixels]:
    """Every moment, and the last one some times more."""
    for step in range(stage.steps + 1):
        picture = stage.picture(step)
        yield picture
    for _ in range(hold):
        yield picture
