"""A small bundle, a forger of bundles, and what a refusal must say."""

import hashlib
import json
from contextlib import contextmanager

import numpy as np
import pytest

from jaxrl_ft.core import bundle

NAMES = (bundle.ARRAYS, bundle.MANIFEST, bundle.METADATA)


def small(path):
    bundle.write_bundle(path, {"w": np.arange(6, dtype=np.float32), "b": np.array([True, False])}, {"name": "lora"})
    return path


def forge(path, **changes):
    """A bundle whose manifest agrees with whatever was put in its files: an attacker's, not an accident's."""
    for name, data in changes.pop("files", {}).items():
        (path / name).write_bytes(data)
    manifest = json.loads((path / bundle.MANIFEST).read_bytes())
    for name in (bundle.ARRAYS, bundle.METADATA):
        data = (path / name).read_bytes()
        manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest |= changes
    del manifest["sha256"]

    def encode(value):
        return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()

    (path / bundle.MANIFEST).write_bytes(encode({**manifest, "sha256": hashlib.sha256(encode(manifest)).hexdigest()}))


def refuses(path, *words):
    with pytest.raises(ValueError) as caught:
        bundle.read_bundle(path)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@contextmanager
def flipped(file, generator):
    """A file with one bit at random turned over, for as long as the context lasts."""
    place, bit = int(generator.integers(file.stat().st_size)), 1 << int(generator.integers(8))
    turn(file, place, bit)
    yield
    turn(file, place, bit)


def turn(file, place, bit):
    with file.open("r+b") as opened:
        opened.seek(place)
        value = opened.read(1)[0]
        opened.seek(place)
        opened.write(bytes([value ^ bit]))
