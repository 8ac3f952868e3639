"""What trains: every adapter by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.adapters.added_parts import Bottleneck, PlasticityInjection, ProgressiveColumn, ResidualPolicy
from jaxrl_ft.methods.adapters.affine import IA3, InputAffine, OutputAffine
from jaxrl_ft.methods.adapters.base import Adapter, Critic, Full, LastK, Partial
from jaxrl_ft.methods.adapters.low_rank import DoRA, LoRA, RandomSubspace
from jaxrl_ft.methods.adapters.sparse import Sparse

__all__ = [
    "ADAPTERS",
    "IA3",
    "Adapter",
    "Bottleneck",
    "Critic",
    "DoRA",
    "Full",
    "InputAffine",
    "LastK",
    "LoRA",
    "OutputAffine",
    "Partial",
    "PlasticityInjection",
    "ProgressiveColumn",
    "RandomSubspace",
    "ResidualPolicy",
    "Sparse",
]

ADAPTERS: Table[Adapter] = Table("adapter")
ADAPTERS.add("full", Full(), "trains every parameter")
ADAPTERS.add("partial", Partial(pattern=".*"), "trains the parameters whose path matches a regular expression")
ADAPTERS.add("head", Partial(pattern="/head/"), "trains the output layers")
ADAPTERS.add("bias", Partial(pattern="/bias$"), "trains the biases (BitFit, arXiv:2106.10199)")
ADAPTERS.add("norm", Partial(pattern=r"/norm_\d+/"), "trains the layer norms, where the network has any")
ADAPTERS.add(
    "first_layer",
    Partial(pattern="/(conv|dense)_0/"),
    "trains the first layers (surgical fine-tuning, arXiv:2210.11466)",
)
ADAPTERS.add("last_k", LastK(), "trains the last k layers")
ADAPTERS.add("lora", LoRA(), "trains low-rank matrices that are added to every frozen weight matrix (arXiv:2106.09685)")
ADAPTERS.add(
    "rslora",
    LoRA(rank_power=0.5),
    "trains low-rank matrices as lora does, scaled by the root of the rank (arXiv:2312.03732)",
)
ADAPTERS.add(
    "dora",
    DoRA(),
    "trains the norm of each column of every weight matrix, and directions by low-rank matrices (arXiv:2402.09353)",
)
ADAPTERS.add(
    "random_subspace", RandomSubspace(), "trains coordinates in a random subspace of all parameters (arXiv:1804.08838)"
)
ADAPTERS.add(
    "sparse", Sparse(), "trains a random share of the entries of every weight matrix (SHiRA, arXiv:2406.13175)"
)
ADAPTERS.add("ia3", IA3(), "trains one factor for every hidden unit (arXiv:2205.05638)")
ADAPTERS.add("input_affine", InputAffine(), "trains an affine map of the observation in front of frozen networks")
ADAPTERS.add("output_affine", OutputAffine(), "trains an affine map of the outputs behind frozen networks")
ADAPTERS.add(
    "bottleneck", Bottleneck(), "trains small networks that are added after every hidden layer (arXiv:1902.00751)"
)
ADAPTERS.add(
    "residual",
    ResidualPolicy(),
    "trains networks whose outputs are added to those of frozen ones (arXiv:1812.06298, arXiv:1812.03201)",
)
ADAPTERS.add(
    "plasticity",
    PlasticityInjection(),
    "trains fresh networks and adds what they change to the outputs of frozen ones (arXiv:2305.15555)",
)
ADAPTERS.add(
    "progressive",
    ProgressiveColumn(),
    "trains new networks that also read the hidden layers of frozen ones (arXiv:1606.04671)",
)
