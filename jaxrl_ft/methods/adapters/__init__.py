"""What trains: every adapter by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.adapters.adapter import Adapter, Critic, Full, LastK, Partial
from jaxrl_ft.methods.adapters.added_parts import Bottleneck, PlasticityInjection, ProgressiveColumn, ResidualPolicy
from jaxrl_ft.methods.adapters.affine import IA3, InputAffine, OutputAffine
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
ADAPTERS.add("full", Full(), "every parameter trains")
ADAPTERS.add("partial", Partial(pattern=".*"), "the parameters whose path matches a regular expression train")
ADAPTERS.add("head", Partial(pattern="/head/"), "the output layers train")
ADAPTERS.add("bias", Partial(pattern="/bias$"), "the biases train (BitFit, arXiv:2106.10199)")
ADAPTERS.add("norm", Partial(pattern=r"/norm_\d+/"), "the layer norms train, where the network has any")
ADAPTERS.add("first_layer", Partial(pattern="/dense_0/"), "the first layers train (surgical, arXiv:2210.11466)")
ADAPTERS.add("last_k", LastK(), "the last k layers train")
ADAPTERS.add("lora", LoRA(), "low-rank updates of every kernel (arXiv:2106.09685)")
ADAPTERS.add("rslora", LoRA(rank_power=0.5), "low-rank updates scaled by the root of the rank (arXiv:2312.03732)")
ADAPTERS.add("dora", DoRA(), "low-rank updates of directions, and magnitudes beside them (arXiv:2402.09353)")
ADAPTERS.add("random_subspace", RandomSubspace(), "a random subspace of all parameters (arXiv:1804.08838)")
ADAPTERS.add("sparse", Sparse(), "a random share of every kernel's entries (SHiRA, arXiv:2406.13175)")
ADAPTERS.add("ia3", IA3(), "a factor for every hidden unit trains (arXiv:2205.05638)")
ADAPTERS.add("input_affine", InputAffine(), "an affine map of the observation trains, the networks are frozen")
ADAPTERS.add("output_affine", OutputAffine(), "an affine map of the outputs trains, the networks are frozen")
ADAPTERS.add("bottleneck", Bottleneck(), "small networks after every hidden layer train (arXiv:1902.00751)")
ADAPTERS.add("residual", ResidualPolicy(), "networks added to frozen ones train (arXiv:1812.06298, arXiv:1812.03201)")
ADAPTERS.add("plasticity", PlasticityInjection(), "fresh networks less frozen copies of them train (arXiv:2305.15555)")
ADAPTERS.add("progressive", ProgressiveColumn(), "columns that read the frozen ones' features train (arXiv:1606.04671)")
