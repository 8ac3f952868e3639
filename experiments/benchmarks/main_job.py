"""The main job as a newcomer meets it: from an empty compilation cache, and again with a warm one.

    python experiments/benchmarks/main_job.py

Times `python -m jaxrl_ft.train` from the start of the process to its end, `--help` besides, and keeps what the cold run
printed and its learning curves in results/.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

RESULTS = pathlib.Path(__file__).parents[1] / "results"
COMMAND = [sys.executable, "-m", "jaxrl_ft.train"]


def timed(arguments: list[str], cache: pathlib.Path) -> tuple[float, str]:
    """Seconds and standard output of one run."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache), "COLUMNS": "110"}
    start = time.perf_counter()
    done = subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    RESULTS.mkdir(exist_ok=True)
    seconds = {}
    with tempfile.TemporaryDirectory() as place:
        root = pathlib.Path(place)
        for name in ("cold", "warm"):
            seconds[name], printed = timed(["--out", str(root / name)], root / "cache")
            if name == "cold":
                kept = printed.replace(str(root / name), "runs/example").replace(str(root / "cache"), "CACHE")
                (RESULTS / "main_job.txt").write_text("\n".join(line.rstrip() for line in kept.splitlines()) + "\n")
                for figure in ("learning_curves.png", "source_target.png"):
                    shutil.copy(root / name / "figures" / figure, RESULTS / figure)
        seconds["help"], _ = timed(["--help"], root / "cache")
    rounded = {name: round(value, 1) for name, value in seconds.items()}
    (RESULTS / "main_job.json").write_text(json.dumps({"seconds": rounded}, indent=1) + "\n")
    print((RESULTS / "main_job.txt").read_text())
    print(rounded)


if __name__ == "__main__":
    main()
