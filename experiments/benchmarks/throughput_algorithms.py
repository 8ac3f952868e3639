"""Throughput of DQN, PQN and SAC beside rejax 0.1.3's, at equal settings, in one run.

    python experiments/benchmarks/throughput_algorithms.py PEER/bin/python

PEER is made as `peers/rejax_algorithms.py` says. Both train 8 seeds from initialisation to trained parameters; jaxrl_ft
evaluates twice besides. Of one algorithm after the other, both processes train once before anything is timed, and then
in turns; ratios are of one round. Each finished algorithm is written to results/throughput_algorithms.json.
"""

import argparse
import json
import pathlib
import sys

from throughput import OURS, Peer, measure

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "throughput_algorithms.json"
STEPS = {"dqn": 20_000, "pqn": 200_000, "sac": 8_000}
"""Environment steps of each seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rejax", metavar="PYTHON")
    parser.add_argument("--only", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in options.only:
        peers = {
            OURS: Peer(sys.executable, "jaxrl_ft_algorithms.py", name, steps=STEPS[name]),
            "rejax": Peer(options.rejax, "rejax_algorithms.py", name, steps=STEPS[name]),
        }
        try:
            for peer in peers.values():
                peer.ask("ready")
            for peer in peers.values():
                peer.rate()
            found[name] = {"steps": STEPS[name], **measure(peers, options.rounds)}
        finally:
            for peer in peers.values():
                peer.stop()
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(name, json.dumps(found[name]), flush=True)


if __name__ == "__main__":
    main()
