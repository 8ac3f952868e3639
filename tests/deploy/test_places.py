"""Convolutions as what a kernel sees at each of its places: every format gives what a loop over pixels gives."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from jaxrl_ft.deploy.description import Activate, Dense, Description, Gather, Join, LayerNorm
from jaxrl_ft.deploy.formats import onnx_file, torch_file
from jaxrl_ft.deploy.formats.c_header import header
from jaxrl_ft.deploy.images import windows

RANDOM = np.random.default_rng(3)
IMAGE, KERNEL, STRIDE, FEATURES, ACTIONS = (5, 6, 2), 3, 2, 4, 3


def normal(*shape):
    return (0.5 * RANDOM.standard_normal(shape)).astype(np.float32)


FILTERS, BIAS = normal(KERNEL, KERNEL, IMAGE[2], FEATURES), normal(FEATURES)
SCALE, SHIFT = 1 + normal(FEATURES), normal(FEATURES)
HEAD = normal(9 * 2 * FEATURES, ACTIONS), normal(ACTIONS)


@pytest.fixture(scope="module")
def description():
    """A padded convolution of stride 2 with a layer norm over channels, beside itself, and a head."""
    numbers, places = windows(IMAGE, KERNEL, STRIDE, same=True)
    assert places == (3, 3)
    steps = (
        Gather(0, numbers),
        Dense(1, FILTERS.reshape(-1, FEATURES), BIAS, places=9),
        LayerNorm(2, SCALE, SHIFT, 1e-6, places=9),
        Activate(3, "relu"),
        Join(4, 2, places=9),
        Dense(5, *HEAD),
    )
    return Description(int(np.prod(IMAGE)), steps, "logits", None)


@pytest.fixture(scope="module")
def obs():
    return normal(500, int(np.prod(IMAGE)))


@pytest.fixture(scope="module")
def expected(obs):
    """The outputs by loops over pixels, in 64 bits; a width of 6 gets one column on the right, and none on the left."""
    images = np.pad(obs.reshape(-1, *IMAGE).astype(float), [(0, 0), (1, 1), (0, 1), (0, 0)])
    rows = []
    for y in range(3):
        for x in range(3):
            seen = images[:, y * STRIDE : y * STRIDE + KERNEL, x * STRIDE : x * STRIDE + KERNEL]
            raw = np.einsum("bijc,ijcf->bf", seen, FILTERS) + BIAS
            normed = (raw - raw.mean(-1, keepdims=True)) / np.sqrt(raw.var(-1, keepdims=True) + 1e-6) * SCALE + SHIFT
            rows.append(np.concatenate([np.maximum(normed, 0), raw], axis=-1))
    return np.concatenate(rows, axis=-1) @ HEAD[0] + HEAD[1]


def assert_near(description, obs, ours, expected):
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_numpy(description, obs, expected):
    policy = description.policy()
    assert description.sizes == (60, 162, 36, 36, 36, 72, 3)
    assert description.num_multiplications == 9 * 18 * 4 + 72 * 3
    assert_near(description, obs, policy.outputs(obs), expected)
    assert_near(description, obs, policy.outputs(obs[0]), expected[0])
    np.testing.assert_array_equal(policy(obs), expected.argmax(-1))


def test_c(description, obs, expected, tmp_path):
    compiler = shutil.which("gcc") or pytest.skip("needs gcc")
    (tmp_path / "policy.h").write_text(header(description, "policy", "title"))
    caller = (
        "void run(int n, const float *o, float *r) { for (int i = 0; i < n; ++i) policy(o + i * 60, r + i * 3); }\n"
    )
    (tmp_path / "a.c").write_text(f'#include "policy.h"\n{caller}')
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wshadow", "-O2", "-shared", "-fPIC"]
    subprocess.run([compiler, *strict, "a.c", "-o", "a.so", "-lm"], cwd=tmp_path, check=True)
    found = np.zeros_like(expected, np.float32)
    places = (array.ctypes.data_as(ctypes.c_void_p) for array in (obs, found))
    ctypes.CDLL(str(tmp_path / "a.so")).run(len(obs), *places)
    assert_near(description, obs, found, expected)


def test_onnx(description, obs, expected):
    runtime = pytest.importorskip("onnxruntime")
    model = onnx_file.model(description, "title").SerializeToString()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert_near(description, obs, session.run(["outputs"], {"obs": obs})[0], expected)


def test_torch(description, obs, expected, tmp_path):
    torch = pytest.importorskip("torch")
    text = torch_file.module(description, "policy", "title").split("def load(")[0]
    found = {}
    exec(text, found)
    policy = found["Policy"]()
    policy.load_state_dict({name: torch.from_numpy(leaf) for name, leaf in torch_file.state(description).items()})
    with torch.no_grad():
        assert_near(description, obs, policy.outputs(torch.from_numpy(obs)).numpy(), expected)


def test_windows_without_padding_are_those_inside():
    numbers, places = windows((4, 3, 1), 2, 1, same=False)
    assert places == (3, 2)
    np.testing.assert_array_equal(numbers.reshape(6, 4)[[0, 1, 5]], [[0, 1, 3, 4], [1, 2, 4, 5], [7, 8, 10, 11]])
