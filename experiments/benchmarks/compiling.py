"""What the whole leaderboard compiles: programs by static structure and seconds, from an empty cache and a warm one.

    python experiments/benchmarks/compiling.py

A process of its own fine-tunes 16 agents for a few updates by every method, with the shapes of experiments/methods.py;
everything that JAX traces, lowers and compiles on the way is counted. Writes experiments/results/compiling.json.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
SEEDS = 16


def work() -> dict[str, Any]:
    """Fine-tunes by every method, and what it compiled."""
    import jax

    import jaxrl_ft as ft
    from jaxrl_ft.commands.compilation import Compilation

    programs: collections.Counter[str] = collections.Counter()
    spent: collections.Counter[str] = collections.Counter()

    def note(event: str, duration: float, **details: Any) -> None:
        if "/compile/" in event:
            spent[event.rsplit("/", 1)[-1]] += duration
            if event.endswith("backend_compile_duration"):
                programs[str(details.get("fun_name")).removeprefix("jit(").removesuffix(")")] += 1

    jax.monitoring.register_event_duration_secs_listener(note)
    source, target = ft.make_task("CartPole-v1"), ft.make_task("CartPole-v1", "long-pole")
    began = time.perf_counter()
    with Compilation().listening() as compilation:
        budget = {"num_evals": 2, "eval_episodes": 16}
        agents = {
            norm: ft.pretrain(source, network=ft.MLP(layer_norm=norm), seeds=SEEDS, steps=256, **budget)
            for norm in (False, True)
        }
        for name, method in ft.METHODS.items():
            steps = method.spent() + 256 * method.population * method.control.stretches
            ft.finetune(agents[name == "norm"], target, method, steps=steps, **budget)
    return {
        "methods": len(ft.METHODS),
        "seeds": SEEDS,
        "training_programs": programs["stretch"],
        "programs": dict(programs.most_common()),
        "compiling_s": compilation.seconds,
        "parts_s": dict(spent.most_common()),
        "wall_s": time.perf_counter() - began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().worker:
        print(json.dumps(work()))
        return
    results = {}
    with tempfile.TemporaryDirectory() as cache:
        for state in ("cold", "warm"):
            environment = {**os.environ, "XDG_CACHE_HOME": cache}
            environment.pop("JAX_COMPILATION_CACHE_DIR", None)
            command = [sys.executable, __file__, "--worker"]
            output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            results[state] = json.loads(output.splitlines()[-1])
            print(state, json.dumps({**results[state], "programs": len(results[state]["programs"])}), flush=True)
    (RESULTS / "compiling.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
