"""Headers compile without a warning, side by side, and are the policies."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from helpers.exported import KINDS, assert_same, kind

from jaxrl_ft.deploy.formats.c_header import header

STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
DISCRETE = """\
void run_{0}(int num, const float *obs, float *outputs, int *action) {{
  for (int i = 0; i < num; ++i) action[i] = {0}(obs + i * {1}, outputs + i * {2});
}}
"""
CONTINUOUS = """\
void run_{0}(int num, const float *obs, float *action) {{
  for (int i = 0; i < num; ++i) {0}(obs + i * {1}, action + i * {2});
}}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("gcc") or pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("headers")
    source = ""
    for name in KINDS:
        description = kind(name)[1]
        (folder / f"{name}.h").write_text(header(description, name, f"{name} */ in one line"))
        caller = CONTINUOUS if description.bounds else DISCRETE
        source += f'#include "{name}.h"\n' + caller.format(name, description.obs_size, description.num_outputs)
    (folder / "all.c").write_text(source)
    command = [compiler, *STRICT, "-shared", "-fPIC", "all.c", "-o", "all.so", "-lm"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return ctypes.CDLL(str(folder / "all.so"))


@pytest.mark.parametrize("name", KINDS)
def test_the_header_gives_the_policys_actions(library, name):
    _, description, obs, expected = kind(name)
    outputs = np.full((len(obs), description.num_outputs), np.nan, np.float32)
    arrays = [np.ascontiguousarray(obs), outputs]
    if description.bounds is None:
        arrays.append(np.full(len(obs), -1, np.int32))
    getattr(library, f"run_{name}")(len(obs), *(array.ctypes.data_as(ctypes.c_void_p) for array in arrays))
    assert_same(name, arrays[-1].astype(expected.dtype), None if description.bounds else outputs)


def test_its_tanh_is_exact_to_2e_7(tmp_path):
    compiler = shutil.which("gcc") or pytest.skip("needs gcc")
    (tmp_path / "policy.h").write_text(header(kind("ppo")[1], "policy", "title"))
    caller = "void run(int num, float *x) { for (int i = 0; i < num; ++i) x[i] = policy_tanh(x[i]); }\n"
    (tmp_path / "a.c").write_text(f'#include "policy.h"\n{caller}')
    subprocess.run(
        [compiler, "-std=c99", "-O2", "-shared", "-fPIC", "a.c", "-o", "a.so", "-lm"], cwd=tmp_path, check=True
    )
    x = np.concatenate([np.linspace(-20, 20, 200_001), [-3e38, 3e38, 1e-40, np.nan]]).astype(np.float32)
    expected = np.tanh(x.astype(float))
    ctypes.CDLL(str(tmp_path / "a.so")).run(len(x), x.ctypes.data_as(ctypes.c_void_p))
    np.testing.assert_allclose(x, expected, atol=2e-7)


def test_the_header_allocates_nothing_and_gives_numbers_back_exactly():
    description = kind("ppo")[1]
    text = header(description, "policy", "title")
    assert "alloc" not in text.replace("allocates nothing", "") and text.count("#include") == 1
    kernel = description.steps[0].kernel
    numbers = text.split("policy_kernel_1[64] = {")[1].split("}")[0].replace("f", "").split(",")
    np.testing.assert_array_equal(np.array([float(n) for n in numbers], np.float32), kernel.ravel())
    with pytest.raises(ValueError, match="name: 'a-b' is not allowed"):
        header(description, "a-b", "title")
