"""What is shown of a long run: stages, speed and time left."""

import io

from rich.console import Console

from jaxrl_ft.training.progress.display import Display
from jaxrl_ft.training.progress.moments import Progress


def moments(num_updates, *done):
    return [Progress("training", updates, num_updates, 100 * updates, {}) for updates in done]


def test_plain_progress_is_sparse_and_names_every_stage():
    stream = io.StringIO()
    with Display({"one": 4000, "two": 0}, Console(file=stream)) as display:
        display.update("one", Progress("compiling", 0, 40, 0, {}))
        for moment in moments(40, *range(41)):
            display.update("one", moment)
        display.update("one", None)
        display.update("two", None)
    lines = stream.getvalue().splitlines()
    starts = [line.split(",")[0] for line in lines]
    assert starts == ["one: compiling", *["one: training"] * 4, "one: evaluating", "one: done", "two: done"]
    assert "3,000 of 4,000 env steps (" in lines[4] and "s left" in lines[4]


def test_live_progress_shows_speed_state_and_time_left():
    stream = io.StringIO()
    stages = {"first": 4000, "second": 0, "third": 4000, "fourth": 4000}
    with Display(stages, Console(file=stream, force_terminal=True, width=120)) as display:
        for moment in moments(40, 0, 10, 30):
            display.update("third", moment)
        display.update("first", None)
    last = stream.getvalue().split("first")[-1]
    for words in ("done", "starting", "training", "waiting", "env steps/s", "left", "all "):
        assert words in last


def test_one_stage_has_no_bar_for_all():
    stream = io.StringIO()
    with Display({"only": 4000}, Console(file=stream, force_terminal=True, width=120)) as display:
        display.update("only", None)
    assert "only" in stream.getvalue() and "all" not in stream.getvalue()
