"""What `train` leaves: files in its run directory, and tables on the console."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np

from jaxrl_ft.advice.choice import Advice
from jaxrl_ft.analysis.report.text_tables import WIDTH
from jaxrl_ft.commands.command_line import CONFIG
from jaxrl_ft.commands.settings import EPISODES, EVAL_EPISODES, NUM_EVALS, Settings
from jaxrl_ft.core import machine
from jaxrl_ft.core.config import to_json
from jaxrl_ft.store import bundle, checkpoints, run_directory
from jaxrl_ft.sweeps.results import Comparison


def width() -> int:
    """The characters of a line: those of the terminal, or a fixed number where the output is no terminal."""
    return shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout.isatty() else WIDTH


def agents_path(out: Path, name: str) -> Path:
    """Where the agents of a method lie; characters that a file system may refuse become underscores."""
    return out / "agents" / re.sub(r"[^\w.+=-]", "_", name)


def write_config(settings: Settings) -> None:
    """Nothing; `config.json` then holds all that the run was asked for and where it ran."""
    description = {
        **settings.command.description(),
        "flags": vars(settings.flags),
        **settings.plan(),
        "target_name": settings.target_name,
        "held_out": [{"kind": kind, "task": to_json(task)} for kind, task in settings.held_out],
        "finetune_seed": settings.finetune_seed,
        "num_evals": NUM_EVALS,
        "episodes": EPISODES,
        "eval_episodes": EVAL_EPISODES,
        "versions": machine.versions(),
        "hardware": machine.hardware(),
    }
    run_directory.write_json(settings.out / CONFIG, description)


def write_advice(settings: Settings, advice: Advice) -> None:
    """Nothing; `advice.json` then holds the advice with all that was measured, and `config.json` what is run."""
    plain = {name: value for name, value in vars(advice).items() if name not in ("recipe", "evidence")}
    arrays = {name: np.asarray(plain[name]).tolist() for name in ("env_steps", "source_steps")}
    probe = {name: np.asarray(sign).tolist() for name, sign in advice.probe.items()}
    rows = [vars(row) for row in advice.evidence]
    run_directory.write_json(settings.out / "advice.json", {**plain, **arrays, "probe": probe, "evidence": rows})
    write_config(settings)


def write_comparison(settings: Settings, comparison: Comparison) -> None:
    """Nothing; the raw numbers of every run, the curves and the agents of every method are then in the directory."""
    out = settings.out
    run_directory.write_json(out / "runs.json", comparison.runs)
    keys = [{name: row[name] for name in ("method", "target", "run", "agent")} for row in comparison.runs]
    arrays = {"curves": comparison.curves, "curve_steps": comparison.curve_steps}
    bundle.write_bundle(out / "curves", arrays, {"rows": keys})
    for (method, _), agents in comparison.cells.items():
        checkpoints.save(agents, agents_path(out, method))
