"""With networks of the default size, how many threads XLA computes with changes no byte of what a command writes.

Devices and flags of XLA are another matter, and so are large layers: their sums are split among the threads.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from jaxrl_ft import train

status = train.main(sys.argv[1:])
names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
print(names.count("tf_XLAEigen"))
raise SystemExit(status)
"""
FLAGS = "--seeds 2 --pretrain-steps 2048 --steps 2048 --method full"
NAMING = ("config.json", "report.html", "report.md")
"""Files that name the directory, and the time that it took."""


def written(out, threads, pooled):
    """The bytes of what a process writes that has so many threads and compiles anew, by file."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PJRT_NPROC": str(threads),
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "JAXRL_FT_STORED_PROGRAMS": "0",
        # The last one of a flag's values counts.
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={pooled}".strip(),
    }
    words = [sys.executable, "-c", PROGRAM, *FLAGS.split(), "--out", str(out)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    if sys.platform == "linux":
        assert int(done.stdout.split()[-1]) == threads
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in NAMING]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("pooled", ["false", "true"])
def test_one_thread_and_two_write_the_same_bytes(pooled, tmp_path):
    one, two = (written(tmp_path / str(threads), threads, pooled) for threads in (1, 2))
    assert set(one) == set(two) and {"runs.csv", "metrics.jsonl", "agents/source/arrays.safetensors"} <= set(one)
    assert [name for name in one if one[name] != two[name]] == []
