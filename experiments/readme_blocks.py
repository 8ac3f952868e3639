"""The generated parts of the READMEs: one function for each block, all from experiments/results/ and the package."""

import json
import pathlib
from collections.abc import Callable

import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.advice.evidence import ANCHOR, leaderboard
from jaxrl_ft.methods.catalogue import AXES

RESULTS = pathlib.Path(__file__).parent / "results"
QUESTIONS = {
    "look": "what is measured on the target first, and paid for",
    "warm_start": "where training starts",
    "alignment": "how sensors and actions are read",
    "imagination": "how it trains in a learned model of the target",
    "adapter": "what trains",
    "penalty": "what holds it near the source",
    "optimizer": "how it steps",
    "intervention": "what is done between gradient steps",
    "data": "where experience comes from",
    "control": "what changes numbers by what is measured",
    "finish": "what is done after training",
}
"""What is chosen on each axis of a method."""


def read(name: str) -> dict:
    return json.loads((RESULTS / name).read_text())


def axes() -> str:
    """Every axis with its members."""
    rows = []
    for axis in AXES:
        members = ", ".join(f"`{name}`" for name in AXES[axis])
        rows.append(f"| {axis.replace('_', ' ')} | {QUESTIONS[axis]} | {members} |")
    return "\n".join(["| axis | what is chosen | members |", "|---|---|---|", *rows])


def printed() -> str:
    """What the main job prints: its first table, and the findings where they follow."""
    lines = (RESULTS / "main_job.txt").read_text().strip("\n").splitlines()
    rule = next(place for place, line in enumerate(lines) if set(line.strip()) == {"─"})
    end = lines.index("", rule)
    if lines[end + 1].startswith("- "):
        end = lines.index("", end + 1)
    return "\n".join(["```", *lines[:end], "```"])


def methods() -> str:
    rows = [f"| `{name}` | {ft.METHODS.text(name)} |" for name in ft.METHODS]
    return "\n".join(["| method | what it does |", "|---|---|", *rows])


def compressions() -> str:
    rows = [f"| `{name.replace('_', '-')}` | {ft.COMPRESSIONS.text(name)} |" for name in ft.COMPRESSIONS]
    return "\n".join(["| `--with` | what it does |", "|---|---|", *rows])


def throughput() -> list[tuple[str, str]]:
    """Rows on speed and compile time beside other programs, and on one core."""
    speed = read("throughput.json")
    conditions = {"idle": "", "busy": ", beside a process that keeps a core busy"}
    peers = {"rejax": "rejax 0.1.3", "purejaxrl": "PureJaxRL"}
    rows = []
    for condition, where in conditions.items():
        rates = {name: f"{np.median(found):,.0f}" for name, found in speed[condition]["env_steps_per_second"].items()}
        ratio = speed[condition]["ratio"]
        ratios = {name: "{median:.2f} ({min:.2f} to {max:.2f})".format(**found) for name, found in ratio.items()}
        names = [name for name in peers if name in ratios]
        what = "PPO, 8 seeds x 4 envs x 128 steps, 4 epochs x 4 minibatches, env steps/s"
        listed = ", ".join(["jaxrl_ft", *(peers[name] for name in names)])
        rows.append((f"{what}{where}: {listed}", ", ".join(rates[name] for name in ("jaxrl_ft", *names))))
        rows += [
            (f"jaxrl_ft over {peers[name]}{where}, round by round: median (min to max)", ratios[name]) for name in names
        ]
    two_over_one = speed["idle"]["ratio"]["jaxrl_ft on one core"]
    rows.append(("jaxrl_ft on two cores over one", "{median:.2f} ({min:.2f} to {max:.2f})".format(**two_over_one)))
    total = {name: f"{seconds:.1f} s" for name, seconds in speed["compile_total"].items()}
    names = [name for name in peers if name in total]
    what = "tracing, lowering and XLA, of all programs of a training by jaxrl_ft, of the one of each other"
    listed = ", ".join(["jaxrl_ft", *(peers[name] for name in names)])
    rows.append((f"{what}: {listed}", ", ".join(total[name] for name in ("jaxrl_ft", *names))))
    return rows


def measurements() -> str:
    solve, job, early = read("solve.json"), read("main_job.json")["seconds"], read("early_stops.json")["64"]
    steps, seeds = solve["steps_to_solve"], solve["seeds"]
    rows = [
        ("main job from an empty compilation cache, process start to end", f"{job['cold']:.0f} s"),
        ("the same with a warm cache", f"{job['warm']:.0f} s"),
        ("`--help`", f"{job['help']:.1f} s"),
        (
            f"env steps until a greedy return of 475 over 100 episodes, {seeds} seeds: median, 90th percentile, worst",
            f"{steps['quantile 0.5']:,.0f}, {steps['quantile 0.9']:,.0f}, {steps['quantile 1.0']:,.0f}",
        ),
        ("of these, solved at the end of 40,960 env steps", f"{solve['solved_at_the_end']} of {seeds}"),
        (
            "64 agents that pretrain until two returns in a row are 500, over the same for 40,960 env steps: steps, "
            "and times faster, round by round",
            f"{early['share_of_env_steps']:.0%}, "
            + "{median:.2f} ({min:.2f} to {max:.2f})".format(**early["times_faster"]),
        ),
        *throughput(),
    ]
    return "\n".join(["| on 2 CPU cores | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def table(name: str) -> Callable[[], str]:
    return lambda: (RESULTS / name).read_text().strip()


def extent() -> str:
    board = read("leaderboard.json")
    runs = " or ".join(map(str, board["runs"]))
    return (
        f"{board['methods']} methods on {len(board['shifts'])} shifts, {runs} runs each: {', '.join(board['shifts'])}."
    )


def findings() -> str:
    """What the leaderboard says in words, each number from its JSON."""
    board = read("leaderboard.json")
    mean, areas = board["mean"], board["areas"]
    trained = [name for name in mean if name != "zero_shot"]
    below = [name for name in trained if mean[name] < mean["scratch"]]
    lost = "biased-sensors"
    away = [name for name in trained if areas[name][lost] > 0.5 * areas["scratch"][lost] and name != "scratch"]
    level = abs(mean["imagine"] - mean["imagine_scratch"])
    return "\n".join(
        [
            f"- {len(below)} of {len(trained)} methods that train are below scratch in the mean over shifts: "
            f"{', '.join(f'`{name}`' for name in below)}.",
            f"- `imagine_scratch` is within {level:.1f} of `imagine`: on these shifts the gain is the model's, and the "
            "pretrained policy adds little to it.",
            f"- On {lost} only {len(away)} of {len(trained)} methods reach half of scratch's area, since a policy that "
            "is sure of the wrong thing explores nothing: those that soften or redraw the output layer, that pull all "
            "weights towards zero or their first values, and that look at the target first: "
            f"{', '.join(f'`{name}`' for name in away)}.",
        ]
    )


def compiling() -> str:
    cold, warm = (read("compiling.json")[state] for state in ("cold", "warm"))
    return (
        f"All {cold['methods']} methods, with {cold['seeds']} agents on one target, run "
        f"{cold['training_programs']} training programs: "
        f"{cold['compiling_s']:.0f} s of tracing and compiling from an empty cache, {warm['compiling_s']:.0f} s with a "
        "warm one (`experiments/benchmarks/compiling.py`)."
    )


def sweeps() -> str:
    speed, table, bootstrap = read("sweep_speed.json"), read("sweep_table.json"), read("bootstrap.json")
    scaling, cores, peer = speed["scaling"], speed["cores"], speed["peer"]
    faster = peer["times_faster"]
    versions = peer["versions"]["stable-baselines3"]
    rows = [
        (
            "PPO fine-tunes of 40,000 env steps, 8 envs x 64 steps, 10 epochs x 4 minibatches, evaluated 11 times, 64 "
            "at once",
            f"{scaling['fine_tunes_per_minute_64']['median']:.0f} a minute",
        ),
        ("256 of them against 64, time", f"{scaling['time_256_over_64']['median']:.2f} times"),
        (
            f"growth of the process, 256 runs under a limit of {scaling['memory_limit_bytes'] / 1e6:.0f} MB",
            f"{scaling['resident_memory_grew_bytes']['256'] / 1e6:.0f} MB",
        ),
        (
            f"one core against both cores, time, median and range of {len(cores['seconds']['one'])} rounds; two "
            "workers of Ray with a core each that share the work",
            "; ".join(
                "{median:.2f} times ({min:.2f} to {max:.2f})".format(**cores[name])
                for name in ("one_core_over_two", "one_core_over_two_processes")
            ),
        ),
        (
            "`--layout exact` against `fast`, time",
            f"{speed['layout']['exact_over_fast']['median']:.1f} times",
        ),
        (
            f"one such fine-tune by Stable-Baselines3 {versions}, times 64, against 64 here",
            f"{faster['min']:.0f} to {faster['max']:.0f} times",
        ),
        (
            f"a table of {table['runs']} runs, 10 methods x 6 shifts x 16 seeds x 20,480 env steps, from the command "
            "to the report, empty compilation cache",
            f"{table['seconds'] / 60:.1f} min, {table['programs_that_learn']} programs that learn",
        ),
        (
            f"bootstrap of {bootstrap['methods']} methods x {bootstrap['shifts']} shifts x {bootstrap['seeds']} seeds, "
            f"{bootstrap['repetitions']:,} repetitions: jaxrl_ft, rliable 1.2",
            f"{bootstrap['ours_median_s']:.1f} s, {bootstrap['rliable_s']:.0f} s",
        ),
    ]
    return "\n".join(["| on 2 CPU cores | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def gpu_operations() -> str:
    """What the training programs ask a GPU to do, once a call and once a turn of each loop."""
    found = read("gpu_operations.json")
    sizes = ("num_envs", "num_steps", "num_epochs", "num_minibatches")
    head = "PPO of {} environments x {} steps, {} epochs x {} minibatches:".format(*map(found["sizes"].get, sizes))
    names = "program | once each | times | operations | matrix products | sorts | custom calls"
    counts = ("operations", "matrix_products", "sorts", "custom_calls")
    rows = [
        f"| `{row['program']}` | {row['each']} | {row['turns'] or 'as asked for'} | "
        f"{' | '.join(f'{row[name]:,}' for name in counts)} |"
        for row in found["training"]
    ]
    return "\n".join([head, "", f"| {names} |", "|---|---|---|---|---|---|---|", *rows])


def generalisation() -> str:
    """The published best, ours that sample as it does, and the controllers, from the experiment after Packer et al."""
    lines = (RESULTS / "packer2018.md").read_text().splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("|"))
    table = lines[first : lines.index("", first)]
    kept = ("A2C, feed-forward (published)", "PPO, feed-forward (published)")
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table]
    shown = [acts != "greedy" and ("(published)" not in name or name in kept) for name, acts in rows]
    return "\n".join(line for line, show in zip(table, shown) if show)


def advice() -> str:
    """What the regrets say in words, each number from its JSON."""
    found = read("advise.json")
    lines = []
    for what, one in found["unseen"].items():
        regret = {name: choice["value"] for name, choice in one["choices"].items()}
        ours, level = regret.pop("the advice"), min(regret, key=lambda name: regret[name])
        apart = "no more than chance apart from" if abs(ours - regret[level]) < 5 else "where the best fixed choice is"
        right = sum(row["advised"] == row["best"] for row in one["rows"])
        still = sum(row["advised"] == "zero_shot" for row in one["rows"])
        lines.append(
            f"- Unseen tasks, {what}: the advice gives up {ours:.0f} of 500 in the mean, {apart} {level} with "
            f"{regret[level]:.0f}. It names the best method on {right} of {one['shifts']}, on {still} of them "
            "not to train."
        )
    lines.append(
        f"- {found['left out']['coverage']:.0%} of single runs on a shift that was left out are within the intervals "
        "given for them, which aim at 95%."
    )
    return "\n".join(lines)


def realignment() -> str:
    """How often what changed was read rightly."""
    lines = (RESULTS / "realignment.md").read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("- "))


def advice_extent() -> str:
    """What the advice rests on."""
    evidence = leaderboard()
    runs = {name: sum(map(bool, shifts)) for name, shifts in zip(evidence.methods, ~np.isnan(evidence.areas).all(2))}
    everywhere = [name for name, shifts in runs.items() if shifts == runs[ANCHOR]]
    return (
        f"The evidence is of {len(evidence.methods)} methods with budgets of {evidence.steps:,} env steps: "
        f"{len(everywhere)} of them on all {len(evidence.shifts)} shifts, the others on {min(runs.values())}."
    )


TABLES = [
    "algorithms", "any_algorithm", "any_algorithm_rows", "classic_shifts", "compression", "compression_tuned",
    "game_shifts", "leaderboard", "minatar", "mutants", "recommended", "retention", "robustness", "roofline",
    "search", "shifts", "stopping", "worlds", "zoo",
]  # fmt: skip
"""Blocks that are a file of results as it stands."""

BLOCKS: dict[str, Callable[[], str]] = {
    **{name: table(f"{name}.md") for name in TABLES},
    "advice_extent": advice_extent,
    "advice_findings": advice,
    "advice_left_out": table("advise_left_out.md"),
    "advice_unseen": table("advise_unseen.md"),
    "axes": axes,
    "compiling": compiling,
    "compressions": compressions,
    "extent": extent,
    "findings": findings,
    "fresh": table("fresh_shifts.md"),
    "generalisation": generalisation,
    "gpu_operations": gpu_operations,
    "measurements": measurements,
    "methods": methods,
    "printed": printed,
    "realignment": realignment,
    "sweeps": sweeps,
}
