import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

LIGHT = """
import importlib, pkgutil, sys
import jaxrl_ft.analysis as package
modules = [module for module in pkgutil.walk_packages(package.__path__, "jaxrl_ft.analysis.") if not module.ispkg]
for module in modules:
    importlib.import_module(module.name)
print(len(modules))
print(sorted({name.split(".")[0] for name in sys.modules} & {"jax", "jaxlib", "flax", "matplotlib", "scipy", "rich"}))
from jaxrl_ft.analysis.figures import style
style.canvas(2.0)
print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules, "jax" in sys.modules)
"""


def test_no_jax_ever_and_no_matplotlib_before_something_is_drawn():
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=True)
    modules, heavy, drawn = done.stdout.strip().splitlines()
    assert int(modules) >= 20
    assert heavy == "[]"
    assert drawn == "True False False"
