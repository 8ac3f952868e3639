"""Comparisons: methods x targets x seeds, with zero-shot and scratch always among them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import floats
from jaxrl_ft.core.curves import area_under_curve
from jaxrl_ft.engine import learning, specs
from jaxrl_ft.engine.agents import Agents
from jaxrl_ft.engine.evaluation import evaluate
from jaxrl_ft.engine.loop import Progress
from jaxrl_ft.envs.catalogue import held_out_grid
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.catalogue import ALWAYS, METHODS
from jaxrl_ft.methods.method import Method

_CURVES = ("curve", "curve_steps")
Grid = Sequence[tuple[str, Task]]
CellWatcher = Callable[[str, str, Progress | None], None]
"""Called with method, target and a moment of training, or None once the cell is evaluated."""


@dataclass(frozen=True)
class Comparison:
    """Every run of a comparison, on the host."""

    runs: list[dict[str, Any]]
    """one row per run: method, target, agent, seed, hyperparameters, returns, auc, env_steps, status"""
    curves: np.ndarray
    """mean greedy return on the target at each evaluation, [R, K]; runs with fewer repeat their last"""
    curve_steps: np.ndarray
    """environment steps spent on the target by each evaluation, [R, K]"""
    cells: dict[tuple[str, str], Agents]
    """the agents of each method and target"""

    def agents(self, method: str, target: str) -> Agents:
        """The agents of one cell.

        Raises:
            ValueError: no such method or target was compared.
        """
        methods, targets = ([key[i] for key in self.cells] for i in range(2))
        checks.choice("target", target, dict.fromkeys(targets))
        if (method, target) not in self.cells:
            method = METHODS.name(checks.choice("method", METHODS.name(method), dict.fromkeys(methods)))
        return self.cells[method, target]


def compare(
    agents: Agents,
    targets: Mapping[str, Task],
    methods: Sequence[str] | Mapping[str, Method],
    *,
    seeds: int | None = None,
    steps: int = 20_480,
    seed: int = 3,
    num_evals: int = 21,
    eval_episodes: int = 16,
    episodes: int = 100,
    held_out_episodes: int = 16,
    held_out: Mapping[str, Grid] | None = None,
    watch: CellWatcher | None = None,
) -> Comparison:
    """Every method on every target over many seeds, evaluated on source, target and held-out tasks.

    Run i starts from agent i mod S, and uses the same keys with every method, so that differences are paired.
    `zero_shot` and `scratch` are added when they are not among the methods.

    Args:
        agents: S pretrained agents.
        targets: tasks by name.
        methods: names in `ft.METHODS`, or methods of your own by name.
        seeds: runs of each cell R; S without it.
        steps: environment steps of each run on its target.
        seed: 0 <= seed < 2^32.
        num_evals: evaluations of each curve.
        eval_episodes: greedy episodes of each of them.
        episodes: greedy episodes of the final evaluation on source and target.
        held_out_episodes: greedy episodes on each held-out task.
        held_out: tasks by target, each with `interpolation` or `extrapolation`, that are only ever evaluated on;
            without it, tasks between source and target and beyond the target.
        watch: called with every moment of training and after every cell.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    chosen = _methods(methods)
    if not targets:
        raise ValueError("targets: empty; give at least one task by name")
    num = checks.count("seeds", agents.num_seeds if seeds is None else seeds)
    for name, count in (("episodes", episodes), ("held_out_episodes", held_out_episodes)):
        checks.count(name, count)
    for target in targets.values():
        # Every run is evaluated on its source too.
        specs.check_sizes(agents, target)
        for method in chosen.values():
            specs.finetune_spec(agents, target, method, steps, seed, num_evals, eval_episodes)
    start = agents.select(np.arange(num) % agents.num_seeds)
    before = evaluate(start, agents.source, episodes=episodes, seed=seed).mean(axis=1)
    training = {"steps": steps, "seed": seed, "num_evals": num_evals, "eval_episodes": eval_episodes}
    rows, cells = [], {}
    for target_name, target in targets.items():
        grid = held_out[target_name] if held_out and target_name in held_out else held_out_grid(agents.source, target)
        for name, method in chosen.items():
            tell = None if watch is None else partial(watch, name, target_name)
            tuned = learning.finetune(start, target, method, **training, watch=tell)
            columns = {
                **_returns(tuned, agents.source, target, episodes, seed),
                "source_return_before": before,
                **_held_out(tuned, grid, held_out_episodes, seed),
            }
            rows += _rows(name, target_name, tuned, start, agents.num_seeds, seed, columns)
            cells[name, target_name] = tuned
            if tell is not None:
                tell(None)
    curves, curve_steps = (_together([getattr(cell, key) for cell in cells.values()]) for key in _CURVES)
    return Comparison(rows, curves, curve_steps, cells)


def _together(parts: Sequence[np.ndarray]) -> np.ndarray:
    # A short budget has as many evaluations as updates; the last repeated adds no area.
    longest = max(part.shape[1] for part in parts)
    return np.concatenate([part[:, np.minimum(np.arange(longest), part.shape[1] - 1)] for part in parts])


def _methods(methods: Sequence[str] | Mapping[str, Method]) -> dict[str, Method]:
    if isinstance(methods, str):
        raise ValueError(f"methods: {methods!r} is not allowed; it must be a sequence of names")
    named = dict(methods) if isinstance(methods, Mapping) else {METHODS.name(name): METHODS[name] for name in methods}
    always = {name: METHODS[name] for name in ALWAYS if name not in named}
    return {name: specs.resolve_method(method) for name, method in {**always, **named}.items()}


def _returns(tuned: Agents, source: Task, target: Task, episodes: int, seed: int) -> dict[str, np.ndarray]:
    tasks = {"source_return": source, "target_return": target}
    return {name: evaluate(tuned, task, episodes=episodes, seed=seed).mean(axis=1) for name, task in tasks.items()}


def _held_out(tuned: Agents, grid: Grid, episodes: int, seed: int) -> dict[str, np.ndarray]:
    means: dict[str, list[np.ndarray]] = {"interpolation": [], "extrapolation": []}
    for kind, task in grid:
        means[kind].append(evaluate(tuned, task, episodes=episodes, seed=seed).mean(axis=1))
    empty = np.full(tuned.num_seeds, np.nan)
    columns = {f"held_out_{kind}": np.mean(found, axis=0) if found else empty for kind, found in means.items()}
    every = means["interpolation"] + means["extrapolation"]
    return {"held_out_return": np.mean(every, axis=0) if every else empty, **columns}


def _rows(
    name: str, target: str, tuned: Agents, start: Agents, num_agents: int, seed: int, columns: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    trains = tuned.method.trains
    shared = {
        "method": name,
        "target": target,
        "seed": seed,
        "probe_steps": tuned.method.spent_before() if trains else 0,
        "source_steps": tuned.source_steps,
        "trainable_parameters": tuned.trainable,
        "total_parameters": tuned.num_parameters,
        "hyperparameters": floats(tuned.method) if trains else {},
    }
    spent = tuned.env_steps - start.env_steps
    auc = area_under_curve(tuned.curve, tuned.curve_steps)
    return [
        {
            **shared,
            "run": i,
            "agent": i % num_agents,
            **{key: float(column[i]) for key, column in columns.items()},
            "auc": float(auc[i]),
            "jumpstart_return": float(tuned.curve[i, 0]),
            "env_steps": int(spent[i]),
            "status": tuned.status[i],
        }
        for i in range(tuned.num_seeds)
    ]
