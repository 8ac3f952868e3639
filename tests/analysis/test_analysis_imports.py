import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

LIGHT = """
import importlib, pkgutil, sys
import jaxrl_ft.analysis as package
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module(f"jaxrl_ft.analysis.{module.name}")
print(len(list(pkgutil.iter_modules(package.__path__))))
print(sorted({name.split(".")[0] for name in sys.modules} & {"jax", "jaxlib", "flax", "matplotlib", "scipy", "rich"}))
from jaxrl_ft.analysis import drawing
drawing.canvas(2.0)
print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules, "jax" in sys.modules)
"""


def test_no_jax_ever_and_no_matplotlib_before_something_is_drawn():
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=True)
    modules, heavy, drawn = done.stdout.strip().splitlines()
    assert int(modules) >= 8
    assert heavy == "[]"
    assert drawn == "True False False"
