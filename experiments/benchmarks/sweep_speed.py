"""How fast many fine-tunes are: 64 at once, 256 against 64, two cores against one, and Stable-Baselines3 beside it.

    python experiments/benchmarks/sweep_speed.py [--peer PEER/bin/python] [--stages scaling cores peer layout]

A fine-tune is PPO with 8 environments x 64 steps, 10 epochs x 4 minibatches, for 40,000 env steps, evaluated 11 times
on 16 episodes, from agents pretrained on CartPole-v1, to `long-pole`. Times are of `run_plan`, after a first call
on another budget has compiled its programs; what is compared alternates in one run, and every round is kept. PEER is an
environment made as `peers/sb3_ppo.py` says, which times one of the same fine-tunes. Writes results/sweep_speed.json.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results" / "sweep_speed.json"
PEER = Path(__file__).parent / "peers" / "sb3_ppo.py"
STEPS, EVALS, EPISODES, AGENTS, ROUNDS = 40_000, 11, 16, 16, 5
LIMIT = 100_000_000
STAGES = ("scaling", "cores", "layout", "peer")


def train(plan: object, share: tuple[int, ...]) -> None:
    """Trains some batches of a plan, on a worker of Ray."""
    from jaxrl_ft.sweeps.plan import run_plan

    list(run_plan(plan, chosen=share))


def serve(on_workers: bool) -> None:
    """Answers each line `RUNS LAYOUT` on standard input with the seconds of that many fine-tunes, and memory.

    Args:
        on_workers: train on workers of Ray with a core each, which share the runs equally.
    """
    from jaxrl_ft.sweeps import cluster

    with cluster.joined(on_workers, cpus=1) as workers:
        answer(workers)


def answer(workers: object) -> None:
    """Answers as `serve` does, on the workers, or without any in this process."""
    import numpy as np

    import jaxrl_ft as ft
    from jaxrl_ft.sweeps import cost
    from jaxrl_ft.sweeps.dealing import shares
    from jaxrl_ft.sweeps.plan import make_plan, run_plan
    from jaxrl_ft.training import devices
    from jaxrl_ft.training.spec import Budget, finetune_spec

    pretrained = ft.pretrain(ft.make_task("CartPole-v1"), seeds=AGENTS, num_evals=2)
    target, method = ft.make_task("CartPole-v1", shift="long-pole"), ft.METHODS["full"]
    budgets = {"first": Budget(1024, 1, 2, EPISODES), "timed": Budget(STEPS, 1, EVALS, EPISODES)}
    ready, cells = set(), workers.workers if workers else 1

    def run(plan: object) -> None:
        list(workers.run(train, plan, shares(plan), str) if workers else run_plan(plan))

    for line in sys.stdin:
        runs, layout = int(line.split()[0]) // cells, line.split()[1]
        agents = pretrained.select(np.arange(runs) % AGENTS)
        specs = {name: [finetune_spec(agents, target, method, budget)] * cells for name, budget in budgets.items()}
        with devices.laid_out(layout):
            most = cost.most_on(workers, make_plan(specs["first"]), LIMIT)
            plans = {name: make_plan(specs[name], most) for name in budgets}
            if line not in ready:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                run(plans["first"])
                ready.add(line)
            began = time.perf_counter()
            run(plans["timed"])
            seconds = time.perf_counter() - began
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        width = plans["timed"].batches[0].width
        print(json.dumps({"seconds": seconds, "width": width, "grown_bytes": 1024 * grown}), flush=True)


class Worker:
    """A process of its own that fine-tunes on so many cores, by devices of its own or by workers of Ray."""

    def __init__(self, cores: int, *flags: str) -> None:
        environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(cores)}
        chosen = sorted(os.sched_getaffinity(0))[:cores]
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment, preexec_fn=lambda: os.sched_setaffinity(0, chosen),
        )  # fmt: skip

    def fine_tune(self, runs: int, layout: str = "fast") -> dict:
        """Seconds and memory of so many fine-tunes."""
        self._process.stdin.write(f"{runs} {layout}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def alternating(ask: dict, rounds: int = ROUNDS) -> dict:
    """Every answer of every question, asked in turn."""
    answers = {name: [] for name in ask}
    for _ in range(rounds):
        for name, question in ask.items():
            answers[name].append(question())
            print(name, answers[name][-1], flush=True)
    return answers


def seconds(answers: list[dict]) -> list[float]:
    return [round(answer["seconds"], 2) for answer in answers]


def ratio(above: list[dict], below: list[dict]) -> dict:
    """Median, least and largest of the ratios, round by round."""
    found = sorted(one["seconds"] / other["seconds"] for one, other in zip(above, below))
    return {"median": round(statistics.median(found), 2), "min": round(found[0], 2), "max": round(found[-1], 2)}


def scaling() -> dict:
    worker = Worker(2)
    answers = alternating({"64": lambda: worker.fine_tune(64), "256": lambda: worker.fine_tune(256)}, rounds=2)
    worker.close()
    each = [round(64 * 60 / one, 1) for one in seconds(answers["64"])]
    return {
        "seconds": {name: seconds(found) for name, found in answers.items()},
        "fine_tunes_per_minute_64": {"median": statistics.median(each), "rounds": each},
        "time_256_over_64": ratio(answers["256"], answers["64"]),
        "memory_limit_bytes": LIMIT,
        "width": {name: found[0]["width"] for name, found in answers.items()},
        "resident_memory_grew_bytes": {name: max(one["grown_bytes"] for one in answers[name]) for name in answers},
    }


def cores() -> dict:
    """Both cores against one: as devices of one process, and as workers of Ray with a core and half the work each."""
    processes = {"one": Worker(1), "two": Worker(2), "two workers": Worker(2, "--on-workers")}
    answers = alternating({name: lambda one=one: one.fine_tune(64) for name, one in processes.items()})
    for process in processes.values():
        process.close()
    return {
        "seconds": {name: seconds(found) for name, found in answers.items()},
        "one_core_over_two": ratio(answers["one"], answers["two"]),
        "one_core_over_two_processes": ratio(answers["one"], answers["two workers"]),
    }


def layout() -> dict:
    worker = Worker(2)
    answers = alternating({name: lambda name=name: worker.fine_tune(64, name) for name in ("fast", "exact")}, rounds=2)
    worker.close()
    return {
        "seconds": {name: seconds(found) for name, found in answers.items()},
        "exact_over_fast": ratio(answers["exact"], answers["fast"]),
    }


def peer(python: str) -> dict:
    """One fine-tune by the peer against 64 of ours, each alone on the machine."""

    def theirs() -> dict:
        arguments = [python, str(PEER), "--steps", str(STEPS), "--evals", str(EVALS), "--episodes", str(EPISODES)]
        return json.loads(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)

    worker = Worker(2)
    answers = alternating({"ours": lambda: worker.fine_tune(64), "theirs": theirs}, rounds=2)
    worker.close()
    found = sorted(64 * other["seconds"] / one["seconds"] for one, other in zip(answers["ours"], answers["theirs"]))
    return {
        "seconds_of_64_here": seconds(answers["ours"]),
        "seconds_of_one_there": seconds(answers["theirs"]),
        "times_faster": {"min": round(found[0], 1), "max": round(found[-1], 1)},
        "versions": answers["theirs"][0]["versions"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="the Python of the peer's environment")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    for hidden in ("--serve", "--on-workers"):
        parser.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.on_workers)
        return
    RESULTS.parent.mkdir(exist_ok=True)
    stages = {"scaling": scaling, "cores": cores, "layout": layout}
    if arguments.peer:
        stages["peer"] = lambda: peer(arguments.peer)
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.stages:
        if name in stages:
            result[name] = stages[name]()
            RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
