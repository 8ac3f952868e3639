"""Every finish by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.finish.averages import Soup, WiSE
from jaxrl_ft.methods.finish.base import Finish
from jaxrl_ft.methods.finish.prune import Prune

__all__ = ["FINISHES", "Finish", "Prune", "Soup", "WiSE"]

FINISHES: Table[Finish] = Table("finish")
FINISHES.add("keep", Finish(), "returns the fine-tuned weights as they are")
FINISHES.add("wise", WiSE(), "averages pretrained and fine-tuned weights after training (arXiv:2109.01903)")
FINISHES.add("soup", Soup(), "averages the weights of several fine-tunes of one pretrained agent (arXiv:2203.05482)")
FINISHES.add("prune", Prune(), "sets the smaller half of every weight matrix to zero after training (arXiv:1506.02626)")
