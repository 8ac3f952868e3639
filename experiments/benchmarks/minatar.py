"""Greedy returns on MinAtar over environment steps, 8 seeds side by side, and beside them the code of PQN's authors.

    python experiments/benchmarks/minatar.py [GAME/ALGORITHM ...] [--steps STEPS]

Trains the default row of `ft.DEFAULTS` for Breakout and SpaceInvaders, or the rows named, with 32 greedy episodes an
evaluation. Seconds are from the first evaluation to the last one, compiling left out; CPU seconds are those of the
process in that time, which other work on the machine does not lengthen by much. A game that stands in
results/minatar.json is not trained again. Its agents are kept in runs/minatar/, where `experiments/game_shifts.py`
finds them.

Writes results/minatar.json, and with results/minatar_peer.json of `peers/purejaxql_pqn.py` the table
results/minatar.md and the figure results/minatar.png.
"""

import argparse
import json
import pathlib
import time

import matplotlib.pyplot as plt
import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.core.config import to_json

ROOT = pathlib.Path(__file__).parent.parent.parent
RESULTS, KEPT = ROOT / "experiments" / "results", ROOT / "runs" / "minatar"
OURS, PEER = RESULTS / "minatar.json", RESULTS / "minatar_peer.json"
SEEDS, SEED, EVALS, EPISODES = 8, 7, 11, 32
GAMES = ("Breakout-MinAtar", "SpaceInvaders-MinAtar")
WHOLE = 10_000_000
"""Env steps over which the authors' schedules fall."""


def measured(id: str, name: str, steps: int | None) -> dict:
    """One training of all seeds."""
    row, task = ft.DEFAULTS[id][name], ft.make_task(id)
    clocks: list[tuple[float, float]] = []
    agents = ft.pretrain(
        task,
        algo=row.algo,
        network=row.usual_network(task),
        optimizer=row.optimizer,
        seeds=SEEDS,
        seed=SEED,
        steps=steps or row.steps,
        num_evals=EVALS,
        eval_episodes=EPISODES,
        progress=False,
        callback=lambda moment: clocks.append((time.perf_counter(), time.process_time())),
    )
    ft.save(agents, KEPT / f"{id}-{name}")
    wall, cpu = np.subtract(clocks[-1], clocks[0])
    configs = {"algo": row.algo, "network": agents.network, "optimizer": row.optimizer}
    return {
        "steps": agents.curve_steps[0].tolist(),
        "returns": np.round(agents.curve.astype(float), 2).tolist(),
        "seconds": round(float(wall), 1),
        "cpu_seconds": round(float(cpu), 1),
        "parameters": agents.num_parameters,
        **{what: to_json(config) for what, config in configs.items()},
    }


def peers(id: str) -> dict[bool, list[dict]]:
    """The runs of the authors' code, by whether their schedules fall over the budget."""
    found = [run for run in json.loads(PEER.read_text()) if run["game"] == id] if PEER.exists() else []
    return {fitted: [run for run in found if (run["decay"] != WHOLE) == fitted] for fitted in (False, True)}


def interval(values: list[float]) -> str:
    """The mean, with the least and the most in brackets."""
    return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def table(found: dict[str, dict]) -> str:
    """A line for each training."""
    lines = [
        "| game | code | seeds | env steps | return: mean (least to most) | seconds | CPU seconds | env steps/s |",
        "| :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    shown = {False: "schedules over 10 million steps", True: "schedules over these steps"}
    for name, run in found.items():
        id, algo = name.split("/")
        seeds, steps = len(run["returns"]), run["steps"][-1]
        returns = interval([curve[-1] for curve in run["returns"]])
        rate = f"{seeds * steps / run['seconds']:,.0f}"
        times = f"{run['seconds']:.0f} | {run['cpu_seconds']:.0f} | {rate}"
        lines.append(f"| {id} | `ft.pretrain`, {algo} | {seeds} | {steps:,} | {returns} | {times} |")
        for fitted, runs in peers(id).items():
            if runs:
                returns = interval([run["last_return"] for run in runs])
                wall, cpu = (sum(run[what] for run in runs) for what in ("seconds", "cpu_seconds"))
                steps = runs[0]["steps"][-1]
                what = f"| {id} | PQN's authors, {shown[fitted]} | {len(runs)} | {steps:,} | {returns} |"
                lines.append(f"{what} {wall:.0f} | {cpu:.0f} | {len(runs) * steps / wall:,.0f} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, dict]) -> None:
    """The curves of every game."""
    ids = list(dict.fromkeys(name.split("/")[0] for name in found))
    figure, axes = plt.subplots(1, len(ids), figsize=(4.5 * len(ids), 3.2), squeeze=False)
    styles = {False: ("C1", "authors' code, schedules over 10M"), True: ("C2", "authors' code, schedules fitted")}
    for axis, id in zip(axes[0], ids):
        for number, name in enumerate(one for one in found if one.startswith(f"{id}/")):
            run, colour = found[name], "C0" if not number else "C3"
            axis.plot(run["steps"], np.transpose(run["returns"]), color=colour, alpha=0.25, linewidth=0.8)
            axis.plot(run["steps"], np.mean(run["returns"], axis=0), color=colour, label=name.split("/")[1])
        for fitted, runs in peers(id).items():
            for number, run in enumerate(runs):
                colour, label = styles[fitted]
                axis.plot(run["steps"], run["returns"], color=colour, linewidth=1, label=None if number else label)
        axis.set(title=id, xlabel="env steps", ylabel="greedy return")
        axis.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(RESULTS / "minatar.png", dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [f"{id}/{name}" for id in ft.DEFAULTS if id.endswith("-MinAtar") for name in ft.DEFAULTS[id]]
    parser.add_argument("names", nargs="*", metavar="GAME/ALGORITHM", help=f"of {', '.join(known)}")
    parser.add_argument("--steps", type=int)
    chosen = parser.parse_args()
    found = json.loads(OURS.read_text()) if OURS.exists() else {}
    for name in chosen.names or [f"{id}/{next(iter(ft.DEFAULTS[id]))}" for id in GAMES]:
        if name not in found:
            found[name] = measured(*name.split("/"), chosen.steps)
            OURS.write_text(json.dumps(found, indent=1) + "\n")
            print(name, np.mean(found[name]["returns"], axis=0).round(1), found[name]["seconds"], flush=True)
    (RESULTS / "minatar.md").write_text(table(found))
    draw(found)


if __name__ == "__main__":
    main()
