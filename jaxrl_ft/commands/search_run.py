"""The search of `sweep`, which runs before the sweep, writes every trial to the directory and reports the best."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxrl_ft.analysis.marks import code
from jaxrl_ft.commands.search_settings import SearchSettings
from jaxrl_ft.commands.sweep_settings import SweepSettings
from jaxrl_ft.core.files import write_csv
from jaxrl_ft.methods.method import Method
from jaxrl_ft.sweeps import directory, proposals
from jaxrl_ft.sweeps.cluster import Cluster
from jaxrl_ft.sweeps.proposals import Trial
from jaxrl_ft.sweeps.search import quest
from jaxrl_ft.sweeps.trials import Quest
from jaxrl_ft.training.agents import Agents

CSV = "search.csv"


class Outcome(NamedTuple):
    """What a search found."""

    methods: dict[str, Method]
    """the best of every method, by name"""
    notes: tuple[str, ...]
    """sentences on the trials, their cost and the best of each method"""


def planned(settings: SweepSettings, search: SearchSettings, agents: Agents) -> Quest:
    """The search, ready to run."""
    return quest(
        agents,
        settings.targets,
        search.methods,
        search.space,
        kind=search.kind,
        trials=search.trials,
        seeds=min(search.seeds, agents.num_seeds),
        budget=settings.budget._replace(seed=settings.probe_seed),
        validation=search.validation,
        held_out=settings.held_out,
        storage=directory.study_path(settings.out),
    )


def describe(search: Quest) -> str:
    """How many trials a search has, on what, and how many env steps they take, in a sentence."""
    return (
        f"Search: {search.num_trials:,} trials of {', '.join(search.searches)} on {len(search.validation)} validation "
        f"tasks ({', '.join(search.validation)}) with {search.agents.num_seeds} agents; {search.env_steps:,} env "
        f"steps, beside those of the runs; batches of {search.wide}."
    )


def run(search: Quest, out: Path, workers: Cluster | None = None) -> Outcome:
    """Run the trials that the directory does not have yet and write each to it; returns what the search found."""
    directory.study_path(out).parent.mkdir(exist_ok=True)
    tried, damaged = directory.trials(out)
    known = {trial.proposal[:2]: trial for trial in tried}
    for line in damaged:
        print(f"{line}; its trial runs again", file=sys.stderr, flush=True)
    finished = f" {len(known)} are finished already." if known else ""
    print(describe(search) + finished, file=sys.stderr, flush=True)
    for trial in search.trials(list(known.values()), workers):
        known[trial.proposal[:2]] = trial
        directory.write_trial(out, trial)
        print(progress_line(trial, len(known), search.num_trials), file=sys.stderr, flush=True)
    tried = search.ordered(known.values())
    write_csv(out / CSV, [proposals.row(trial) for trial in tried])
    return Outcome(search.found(tried), (_whole(search, tried), *_each(search, tried)))


def progress_line(trial: Trial, finished: int, num: int) -> str:
    """Return what is printed when a trial ends: its place, what was tried, and its score."""
    ended = f"score {trial.score:.1f} over {trial.num_runs} runs of {trial.proposal.steps:,} env steps"
    if not math.isfinite(trial.score):
        ended = f"loses; {trial.num_failed} of {trial.num_runs} runs failed"
    return f"[search {finished}/{num}] {trial.proposal.method} {_point(trial)}: {ended}"


def _point(trial: Trial) -> str:
    values = trial.proposal.point.items()
    return ", ".join(f"{path}={value:g}" if isinstance(value, float) else f"{path}={value}" for path, value in values)


def _whole(search: Quest, tried: Sequence[Trial]) -> str:
    spent = sum(trial.env_steps for trial in tried)
    return (
        f"A search tried {len(tried):,} points in {spent:,} env steps, which no budget or column of this report holds; "
        f"every one is in `{CSV}`. Scores are mean returns during fine-tuning (AUC), over {search.agents.num_seeds} "
        f"agents on each of the validation tasks {', '.join(code(name) for name in search.validation)}, which "
        "nothing else here uses. The best of many scores is too good by its luck; the rows of what was found have "
        "other seeds, on the targets."
    )


def _each(search: Quest, tried: Sequence[Trial]) -> list[str]:
    """A sentence for each method."""
    notes = []
    for name, one in search.searches.items():
        trials = [trial for trial in tried if trial.proposal.method == name]
        failed = sum(not math.isfinite(trial.score) for trial in trials)
        lost = f"; {failed} trials lost by runs that failed" if failed else ""
        points = len({tuple(trial.proposal.point.values()) for trial in trials})
        best = proposals.best(trials)
        if best is None:
            notes.append(f"{code(name)}: runs of each of {points} points failed; nothing was found.")
            continue
        longest = [trial for trial in trials if trial.proposal.steps == best.proposal.steps]
        own = next((trial for trial in longest if trial.proposal.point == one.dimensions.own()), None)
        beside = "" if own is None else f"; its own setting scored {own.score:.1f}"
        beside = ", which is its own setting" if own is best else beside
        ran = f"{best.num_runs} runs of {best.proposal.steps:,} env steps"
        notes.append(
            f"{code(name)}: {_point(best)} scored {best.score:.1f} over {ran}, the best of {points} "
            f"points{beside}{lost}."
        )
    return notes
