"""PPO throughput and compile time beside rejax 0.1.3 and PureJaxRL, and on two cores against one, in one run.

    python experiments/benchmarks/throughput.py --rejax PEER/bin/python --purejaxrl PEER/bin/python CHECKOUT

PEER and CHECKOUT are made as `peers/rejax_algorithms.py` and `peers/purejaxrl_ppo.py` say; either may be left out. All
train 8 seeds x 4 environments x 128 steps, 4 epochs x 4 minibatches, 2x64 tanh, entropy 0.01, for 200,000 steps a seed
from initialisation to trained parameters; jaxrl_ft evaluates twice besides, as it always does.

PureJaxRL's orthogonal initialisation is a QR decomposition under vmap, which now and then deadlocks jaxlib 0.10.2 on
two cores. A process that does not answer within `PATIENCE` seconds is ended and started again, and the result says how
often; only whole answers count.

Each is a process that trains only while asked. All train once before anything is timed. A round then asks jaxrl_ft,
jaxrl_ft on one core, and each peer, one after the other; ratios are of one round. Rounds are repeated beside a process
that keeps a core busy, without the one of one core. Peers run with XLA flags of their own choice, on all cores.

Compile times are tracing, lowering and XLA with the persistent cache off: of all programs of jaxrl_ft's first
training, and of the one program of each peer. Writes experiments/results/throughput.json.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import select
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

SEEDS, STEPS = 8, 200_000
PATIENCE = 120
RESULTS = pathlib.Path(__file__).parents[1] / "results" / "throughput.json"
PEERS = pathlib.Path(__file__).parent / "peers"
OURS, ONE_CORE = "jaxrl_ft", "jaxrl_ft on one core"


class Peer:
    """A process that trains when asked.

    Args:
        python: the Python of its environment.
        script: its file in `peers/`, with its own arguments.
        cores: the cores it may use; all without.
        steps: environment steps of each seed.
    """

    def __init__(self, python: str, *script: str, cores: set[int] | None = None, steps: int = STEPS) -> None:
        self.arguments = [python, str(PEERS / script[0]), *script[1:], "--seeds", str(SEEDS), "--steps", str(steps)]
        self.dropped = {"XLA_FLAGS"} if python == sys.executable else {"XLA_FLAGS", "PYTHONPATH"}
        self.cores = cores
        self.restarts = 0
        self.start()

    def start(self) -> None:
        """Start the process; it answers once it is asked."""
        environment = {name: value for name, value in os.environ.items() if name not in self.dropped}
        self.process = subprocess.Popen(
            self.arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
            # Before JAX is imported, which counts the cores.
            preexec_fn=(lambda: os.sched_setaffinity(0, self.cores)) if self.cores else None,
        )

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def ask(self, command: str) -> dict[str, float]:
        """The answer to one command, of a process started anew where one does not answer."""
        for _ in range(5):
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
            if select.select([self.process.stdout], [], [], PATIENCE)[0]:
                line = self.process.stdout.readline()
                if not line:
                    raise RuntimeError(f"{self.process.args} ended at {command!r}; run it by hand to see why")
                return json.loads(line)
            self.stop()
            self.restarts += 1
            self.start()
            if command == "run":
                # The first training of a process compiles, and is not timed.
                self.ask("ready")
                self.ask("run")
        raise RuntimeError(f"{self.process.args} did not answer {command!r} in {PATIENCE} s, five times")

    def rate(self) -> float:
        """Env steps per second of one training of all seeds."""
        answer = self.ask("run")
        return answer["env_steps"] / answer["seconds"]


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """One process that keeps a core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def spread(values: list[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "min": min(values), "max": max(values)}


def measure(peers: dict[str, Peer], rounds: int) -> dict[str, dict]:
    """Env steps per second of each, and of jaxrl_ft over each other, round by round."""
    rates: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            rates[name].append(peer.rate())
    ratios = {name: [a / b for a, b in zip(rates[OURS], rates[name])] for name in peers if name != OURS}
    return {
        "env_steps_per_second": {name: [round(rate) for rate in found] for name, found in rates.items()},
        "ratio": {name: spread(values) for name, values in ratios.items()},
    }


def settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rejax", metavar="PYTHON", help="the Python of the peer's environment")
    parser.add_argument("--purejaxrl", nargs=2, metavar=("PYTHON", "CHECKOUT"), help="its Python, and its folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    options = settings()
    peers = {OURS: Peer(sys.executable, "jaxrl_ft_algorithms.py", "ppo")}
    peers[ONE_CORE] = Peer(sys.executable, "jaxrl_ft_algorithms.py", "ppo", cores={min(os.sched_getaffinity(0))})
    if options.rejax:
        peers["rejax"] = Peer(options.rejax, "rejax_algorithms.py", "ppo")
    if options.purejaxrl:
        peers["purejaxrl"] = Peer(options.purejaxrl[0], "purejaxrl_ppo.py", options.purejaxrl[1])
    try:
        # What one imports would slow what another compiles.
        for peer in peers.values():
            peer.ask("ready")
        devices = {name: peers[name].ask("devices")["devices"] for name in (OURS, ONE_CORE)}
        compiling = {name: peer.ask("compile") for name, peer in peers.items()}
        for peer in peers.values():
            peer.rate()
        result = {"idle": measure(peers, options.rounds)}
        with busy_core():
            both = {name: peer for name, peer in peers.items() if name != ONE_CORE}
            result["busy"] = measure(both, options.rounds)
    finally:
        for peer in peers.values():
            peer.stop()
    result |= {
        "compile_seconds": compiling,
        "compile_total": {name: sum(seconds.values()) for name, seconds in compiling.items()},
        "restarts": {name: peer.restarts for name, peer in peers.items()},
        "machine": {"cores": os.cpu_count(), "jax": importlib.metadata.version("jax"), "devices": devices},
    }
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
