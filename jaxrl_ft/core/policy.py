"""The policy: what acts."""

from typing import Any, NamedTuple


class Policy(NamedTuple):
    """Network parameters, the normaliser's statistics and the (leafless) network config that reads them."""

    params: Any
    """Nested dict with the groups `policy` and `value`."""
    statistics: Any
    """Running statistics of the normaliser; an empty dict when nothing is normalised."""
    network: Any
    """The network config; all of its fields are static."""
