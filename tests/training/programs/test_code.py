"""Programs are stored only for code that is what its files say."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from jaxrl_ft.training.programs.code import ROOT

BEGIN = """
import importlib, json, pkgutil
import jaxrl_ft as ft
from jaxrl_ft.training import devices
devices.prepare()
from jaxrl_ft.training.programs import code
for module in pkgutil.walk_packages(ft.__path__, "jaxrl_ft."):
    importlib.import_module(module.name)
"""

CHANGES = """
from jaxrl_ft.core import config
from jaxrl_ft.rl import returns, ppo
from jaxrl_ft.envs import simulator
found = {"plain": code.trustworthy()}

def other(*args):
    return args

class Simulator:
    obs_size = 4

def trusted_with(name, owner, attribute, value):
    before = vars(owner)[attribute]
    setattr(owner, attribute, value)
    found[name] = code.trustworthy()
    setattr(owner, attribute, before)

function = next(name for name, value in vars(returns).items() if getattr(value, "__module__", "") == returns.__name__)
trusted_with("function", returns, function, other)
trusted_with("method", ppo.PPO, "loss", other)
trusted_with("static", ppo.PPO, "loss", staticmethod(lambda *args: args))
found["restored"] = code.trustworthy()

@config.config
class Mine(ft.L2SP):
    pass

ft.METHODS.add("mine", ft.Method(penalty=Mine()), "")
found["method row"] = code.trustworthy()
simulator.register_simulator("mine", Simulator())
found["simulator"] = code.trustworthy()
print(json.dumps(found))
"""


def run(text, root=ROOT.parent):
    environment = {**os.environ, "PYTHONPATH": str(root)}
    # As a file, for code from a string has no file.
    script = root / "script_of_a_test.py" if root != ROOT.parent else None
    command = [sys.executable, "-c", text]
    if script:
        script.write_text(text)
        command = [sys.executable, str(script)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=root).stdout
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A directory with a copy of the package."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT, root / "jaxrl_ft", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_the_whole_package_is_trusted_and_what_somebody_puts_into_it_is_not(copy):
    found = run(BEGIN + CHANGES, copy)
    assert {name for name, trusted in found.items() if trusted} == {"plain", "restored", "method row"}, found
    assert len(found) == 7


@pytest.mark.slow
def test_edited_code_has_another_hash_and_code_edited_since_the_start_has_none(copy):
    show = "print(json.dumps([code.fingerprint(), code.unchanged()]))"
    before = run(BEGIN + show, copy)
    assert before == run(BEGIN + show, copy) and before[1]
    file = copy / "jaxrl_ft" / "rl" / "returns.py"
    file.write_text(file.read_text() + "\n")
    os.utime(file, (1e9, 1e9))
    edited = run(BEGIN + show, copy)
    assert edited[0] not in (None, before[0]) and edited[1]
    edit = textwrap.dedent("""
        import os
        def touch(seconds):
            path = code.ROOT / "rl" / "returns.py"
            stat = path.stat()
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + int(seconds * 1e9)))
    """)
    late = run(BEGIN + edit + "code.fingerprint(); touch(1); " + show, copy)
    assert late == [edited[0], False]
    os.utime(file, (2e10, 2e10))
    assert run(BEGIN + show, copy)[0] is None
