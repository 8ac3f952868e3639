"""Every compression by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.deploy.compression.base import Compression
from jaxrl_ft.deploy.compression.techniques.delta import Delta
from jaxrl_ft.deploy.compression.techniques.distill import Student
from jaxrl_ft.deploy.compression.techniques.low_rank import LowRank
from jaxrl_ft.deploy.compression.techniques.prune import PruneWeights
from jaxrl_ft.deploy.compression.techniques.quantize import Quantize
from jaxrl_ft.deploy.compression.techniques.units import PruneUnits

COMPRESSIONS: Table[Compression] = Table("compression")
COMPRESSIONS.add("float32", Compression(), "stores 32-bit floats, to compare with")
COMPRESSIONS.add("int8", Quantize(), "rounds weights to 8 bits, with a scale for every array (arXiv:1712.05877)")
COMPRESSIONS.add("int8_channel", Quantize(per="channel"), "rounds weights to 8 bits, with a scale for every unit")
COMPRESSIONS.add("int8_aware", Quantize(aware=True), "fine-tunes through the rounding to 8 bits, then rounds")
COMPRESSIONS.add("int4", Quantize(bits=4, per="channel"), "rounds weights to 4 bits, with a scale for every unit")
COMPRESSIONS.add(
    "int4_aware",
    Quantize(bits=4, per="channel", aware=True),
    "fine-tunes through the rounding to 4 bits, then rounds (arXiv:1712.05877)",
)
COMPRESSIONS.add("prune_50", PruneWeights(share=0.5), "zeroes the smaller half of every kernel (arXiv:1506.02626)")
COMPRESSIONS.add("prune_90", PruneWeights(), "zeroes the smallest 90% of every kernel, without training after it")
COMPRESSIONS.add(
    "prune_90_global", PruneWeights(scope="global"), "zeroes the smallest 90% of all kernels of a policy together"
)
COMPRESSIONS.add(
    "prune_90_tuned", PruneWeights(rounds=1), "as prune_90, then fine-tunes what is left (arXiv:1506.02626)"
)
COMPRESSIONS.add(
    "prune_90_gradual",
    PruneWeights(rounds=8),
    "zeroes ever more of every kernel up to 90%, fine-tuning between (arXiv:1710.01878)",
)
COMPRESSIONS.add(
    "prune_90_inputs",
    PruneWeights(rounds=8, per_input=4),
    "as prune_90_gradual, but every entry of the observation keeps 4 weights at least",
)
COMPRESSIONS.add("units_50", PruneUnits(), "takes out the half of every layer's units that act least")
COMPRESSIONS.add("units_50_tuned", PruneUnits(tune=True), "as units_50, then fine-tunes what is left")
COMPRESSIONS.add("low_rank", LowRank(), "stores kernels as products of thin matrices (arXiv:1404.0736)")
COMPRESSIONS.add("student", Student(), "teaches a network of 12 hidden units to act alike (arXiv:1511.06295)")
COMPRESSIONS.add("linear", Student(widths=()), "teaches a linear policy to act alike (arXiv:1511.06295)")
COMPRESSIONS.add("delta", Delta(), "stores what differs from the agents that were fine-tuned, named by SHA-256")
