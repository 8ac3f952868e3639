"""Every file format by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.deploy.formats import c_header, numpy_file, onnx_file, sb3_file, stablehlo_file, torch_file
from jaxrl_ft.deploy.formats.base import Format

FORMATS: Table[Format] = Table("to")
FORMATS.add("numpy", Format(numpy_file.files), "an .npz file and a page of NumPy that reads it")
FORMATS.add(
    "onnx",
    Format(onnx_file.files, needs=("onnx",), extra="onnx"),
    "an ONNX graph with a dynamic batch, for any runtime",
)
FORMATS.add("c", Format(c_header.files), "one C99 header: weights, and a function that allocates nothing")
FORMATS.add(
    "stablehlo",
    Format(stablehlo_file.files, described=False),
    "a program of jax.export with a symbolic batch, for CPU, CUDA and TPU; takes policies of every kind",
)
FORMATS.add("torch", Format(torch_file.files), "a state dict in safetensors, and the module of torch that reads it")
FORMATS.add(
    "sb3",
    Format(sb3_file.files, needs=("stable_baselines3",), extra="sb3"),
    "a zip that Stable-Baselines3 loads as PPO, A2C, DQN or SAC",
)
