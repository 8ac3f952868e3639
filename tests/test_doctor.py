"""The doctor finds what is known to be bad on machines that are made up, and prints this one."""

import subprocess
import sys
from dataclasses import replace

import pytest

from jaxrl_ft import doctor
from jaxrl_ft.doctor import NOTE, PROBLEM, Machine

FINE = Machine(
    python=(3, 11),
    versions={"jax": "0.11.0", "jaxlib": "0.11.0", "numpy": "2.4.0"},
    platforms=("cpu", "cpu"),
    cache="cache",
    memory=2**40,
    disk=2**40,
)
KNOWN = [
    ({"versions": {"jax": "0.10.2", "jaxlib": "0.10.2"}}, NOTE, "LAPACK"),
    ({"versions": {"jax": "0.11.1", "jaxlib": "0.11.0"}}, NOTE, '"jaxlib==0.11.1"'),
    ({"errors": {"gymnax": "ModuleNotFoundError: No module named 'six'"}}, PROBLEM, "python -m pip install six"),
    ({"errors": {"flax": "ImportError: x"}}, PROBLEM, "python -m pip install --upgrade flax"),
    ({"requirements": ["gymnax 1.0.1 needs jax<0.12, and 0.12.1 is installed"]}, PROBLEM, '--upgrade "jaxrl_ft"'),
    ({"python": (3, 14)}, PROBLEM, "use 3.11 to 3.13"),
    ({"versions": {"jax-cuda12-plugin": "0.11.0"}}, PROBLEM, "the machine has no NVIDIA driver"),
    ({"versions": {"jax-cuda12-plugin": "0.11.0"}, "driver": True}, PROBLEM, "JAX sees no GPU"),
    ({"driver": True}, NOTE, '"jaxrl_ft[cuda]"'),
    ({"versions": {"jax-cuda12-plugin": "1"}, "driver": True, "platforms": ["gpu"]}, NOTE, "deterministic_ops"),
    ({"environment": {"XLA_FLAGS": "--xla_x=1"}}, NOTE, "XLA_FLAGS is set: --xla_x=1"),
    ({"environment": {"JAX_NUM_CPU_DEVICES": "1"}}, NOTE, "the number of CPU devices is set"),
    ({"environment": {"JAX_DISABLE_JIT": "True"}}, PROBLEM, "unset it"),
    ({"environment": {"JAX_DEBUG_NANS": "1"}}, NOTE, "NaN"),
    ({"cache": ""}, NOTE, "JAX_COMPILATION_CACHE_DIR"),
    ({"writable": False}, NOTE, "cannot be written"),
    ({"memory": 2**30}, NOTE, "1.0 GiB of memory are free"),
    ({"disk": 2**30}, NOTE, "1.0 GiB of disk are free"),
]


def test_a_sound_machine_has_no_findings():
    assert list(doctor.findings(FINE)) == []
    hidden = {"JAX_PLATFORMS": "cpu"}
    assert not [
        found
        for found in doctor.findings(replace(FINE, versions={"jax-cuda12-plugin": "1"}, environment=hidden))
        if found.kind == PROBLEM
    ]


@pytest.mark.parametrize(("changes", "kind", "words"), KNOWN, ids=[words for _, _, words in KNOWN])
def test_what_is_known_is_found_and_decides_the_exit_status(changes, kind, words, capsys, tmp_path):
    changes = {"cache": str(tmp_path), **changes}
    sick = replace(FINE, **changes)
    (finding,) = doctor.findings(sick)
    assert finding.kind == kind and words in str(finding) and finding.remedy
    assert doctor.main([], lambda: sick) == (kind == PROBLEM)
    printed = capsys.readouterr().out
    assert str(finding) in printed and printed.endswith("1 problem\n" if kind == PROBLEM else "no problem found\n")


def test_requirements_that_are_not_met_are_named(monkeypatch):
    versions = {"jaxrl-ft": "0.2.0", "jax": "0.12.0", "numpy": "2.0"}
    needs = {"jaxrl-ft": ["jax>=0.10,<0.12", "numpy>=2", "six>=1.16", 'ray>=2; extra == "cluster"']}

    def version(name):
        if name not in versions:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    monkeypatch.setattr(doctor.importlib.metadata, "requires", needs.get)
    found = list(doctor.unmet())
    assert found == [
        "jaxrl-ft 0.2.0 needs jax<0.12,>=0.10, and 0.12.0 is installed",
        "jaxrl-ft needs six>=1.16, which is not installed",
    ]


def test_this_machine_is_printed():
    call = [sys.executable, "-W", "error", "-m", "jaxrl_ft.doctor"]
    environment = {**doctor.os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=true"}
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, env=environment)
    assert done.stderr == "" and done.returncode in (0, 1)
    names = [line.split()[0] for line in done.stdout.splitlines() if line]
    assert {"python", "jax", "jaxlib", "devices", "cache", "extras", "without", "variables"} <= set(names)
    assert "XLA_FLAGS is set: --xla_cpu_multi_thread_eigen=true" in done.stdout
