"""PPO throughput and compile time beside rejax 0.1.3, with the same settings, alternating in one run.

    python experiments/benchmarks/throughput.py --peer PEER/bin/python

PEER is an environment made as `peers/rejax_ppo.py` says. Both train 8 seeds x 4 environments x 128 steps, 4 epochs x
4 minibatches, 2x64 tanh, from initialisation to trained parameters; jaxrl_ft evaluates twice besides, as it always
does. Compile times are tracing, lowering and XLA of the training program alone, with the persistent cache off and after
a smaller training has done all imports. The peer runs with the flags of its own choice. Writes
experiments/results/throughput.json.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time

os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import jax

import jaxrl_ft as ft

SEEDS, STEPS, ROUNDS = 8, 163_840, 5
PPO = ft.PPO(num_envs=4, num_steps=128, num_epochs=4, num_minibatches=4, gamma=0.98, gae_lambda=0.9)
RESULTS = pathlib.Path(__file__).parents[1] / "results" / "throughput.json"
PEER = pathlib.Path(__file__).parent / "peers" / "rejax_ppo.py"


class CompileTimes:
    """Seconds of tracing, lowering and compiling by program, as JAX reports them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        jax.monitoring.register_event_duration_secs_listener(self.listen)

    def listen(self, event: str, seconds: float, **details: object) -> None:
        """Adds one duration."""
        if event.startswith("/jax/core/compile/"):
            name = f"{details.get('fun_name', '')} {event.rsplit('/', 1)[1]}"
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def train(seed: int, seeds: int = SEEDS) -> float:
    """Env steps per second of one training of all seeds."""
    start = time.perf_counter()
    task = ft.make_task("CartPole-v1")
    ft.pretrain(task, algo=PPO, seeds=seeds, steps=STEPS, seed=seed, num_evals=2, eval_episodes=1)
    return seeds * STEPS / (time.perf_counter() - start)


def ask(peer: subprocess.Popen, command: str) -> dict:
    peer.stdin.write(command + "\n")
    peer.stdin.flush()
    return json.loads(peer.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="the Python of the peer's environment")
    arguments = [parser.parse_args().peer, str(PEER), "--seeds", str(SEEDS), "--steps", str(STEPS)]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    peer = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    theirs_compile = ask(peer, "compile")
    train(0, seeds=2)
    times = CompileTimes()
    train(0)
    ours_compile = {name: seconds for name, seconds in times.seconds.items() if name.split()[0] in ("collect", "learn")}
    ask(peer, "run")
    ours, theirs = [], []
    for i in range(ROUNDS):
        ours.append(train(i + 1))
        answer = ask(peer, "run")
        theirs.append(answer["env_steps"] / answer["seconds"])
    peer.communicate("quit\n")
    ratios = sorted(a / b for a, b in zip(ours, theirs))
    result = {
        "env_steps_per_second": {"jaxrl_ft": [round(x) for x in ours], "rejax": [round(x) for x in theirs]},
        "ratio": {"min": ratios[0], "median": ratios[len(ratios) // 2], "max": ratios[-1]},
        "compile_seconds": {"jaxrl_ft": ours_compile, "rejax": theirs_compile},
        "compile_total": {"jaxrl_ft": sum(ours_compile.values()), "rejax": sum(theirs_compile.values())},
        "machine": {"cores": os.cpu_count(), "jax": jax.__version__, "device": jax.devices()[0].device_kind},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
