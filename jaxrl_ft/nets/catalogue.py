"""Every kind of network by name."""

from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.table import Table
from jaxrl_ft.nets.cnn import CNN
from jaxrl_ft.nets.mlp import MLP

NETWORKS: Table[Network] = Table("network")
NETWORKS.add("mlp", MLP(), "multilayer perceptrons, which read any observation as a vector")
NETWORKS.add("cnn", CNN(), "convolutions and dense layers, for observations that are images (arXiv:1903.03176)")
