"""A policy as one `.npz` file, and a page of NumPy that reads it."""

import io
from collections.abc import Callable
from importlib import resources

import numpy as np

from jaxrl_ft.deploy.formats.base import Exporting

LOADER = "policy_numpy.py"


def files(exporting: Exporting) -> dict[str, bytes]:
    """The arrays with their program, and the module that runs them; it imports NumPy alone."""
    stream = io.BytesIO()
    save: Callable[..., None] = np.savez
    save(stream, **exporting.plain.arrays())
    loader = resources.files(__package__).joinpath(LOADER).read_text(encoding="utf-8")
    return {
        f"{exporting.name}.npz": stream.getvalue(),
        LOADER: loader.replace("policy.npz", f"{exporting.name}.npz").encode(),
    }
