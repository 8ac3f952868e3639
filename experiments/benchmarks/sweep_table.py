"""A table of ten methods on six shifts with 16 seeds, from the command to the report, with an empty compilation cache.

    python experiments/benchmarks/sweep_table.py [--out DIR]

Times `python -m jaxrl_ft.sweep` from the start of the process to its end, pretraining included, counts its programs,
and keeps what it printed. Writes results/sweep_table.json and .txt; the report stays in DIR where one is given.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
METHODS = ["scratch", "full", "head", "bias", "lora", "l2sp", "kl", "critic_warmup", "shrink_perturb", "imagine"]
SHIFTS = ["long-pole", "double-long-pole", "slow-controller", "flipped-actions", "biased-sensors", "weak-motor"]
SEEDS, STEPS = 16, 20_480


def run(out: Path, cache: Path) -> tuple[float, str, str]:
    """Seconds, standard output and standard error."""
    words = ["--methods", *METHODS, "--shifts", *SHIFTS, "--seeds", str(SEEDS), "--steps", str(STEPS)]
    command = [sys.executable, "-m", "jaxrl_ft.sweep", *words, "--out", str(out)]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache), "COLUMNS": "110"}
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, done.stdout, done.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="keep the report here")
    kept = parser.parse_args().out
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        out, cache = kept or Path(place) / "out", Path(place) / "cache"
        seconds, printed, said = run(out, cache)
    shown = re.sub(re.escape(str(cache)), "CACHE", re.sub(re.escape(str(out)), "runs/table", printed))
    (RESULTS / "sweep_table.txt").write_text("\n".join(line.rstrip() for line in shown.splitlines()) + "\n")
    result = {
        "seconds": round(seconds, 1),
        "runs": len(METHODS) * len(SHIFTS) * SEEDS,
        "programs_that_learn": int(re.search(r"(\d+) programs that learn", said)[1]),
        "peak_resident_bytes": 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
    }
    (RESULTS / "sweep_table.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
