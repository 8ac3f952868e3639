"""Versions of a checkout that is on the path alone."""

import importlib.metadata

from jaxrl_ft.core import machine


def test_a_package_without_metadata_has_no_version_and_is_left_out(monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "jaxrl-ft":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    assert machine.versions()["jaxrl-ft"] == real("jaxrl-ft")
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert machine.version("jaxrl-ft") is None and machine.version("jax") == real("jax")
    assert "jaxrl-ft" not in machine.versions() and machine.versions()["jax"] == real("jax")
