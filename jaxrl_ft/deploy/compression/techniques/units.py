"""Hidden units that hardly act taken out: smaller layers in the place of sparse ones."""

import itertools
from dataclasses import replace
from typing import ClassVar

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays, config
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import Params
from jaxrl_ft.deploy.compression.base import POLICY, Compression, Given, dense, trained
from jaxrl_ft.deploy.compression.observations import seen, spent
from jaxrl_ft.deploy.description import Floats
from jaxrl_ft.methods.adapters import Full
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.per_run import per_run

WHAT = "pruning of units"


@config
class PruneUnits(Compression):
    """The units of each hidden layer that act least taken out, with their weights.

    A unit's activity is what the next layer would miss without it: the standard deviation of its activation over the
    observations that the policy meets, times the norm of its outgoing weights. Its mean goes into the next layer's
    bias. (Hu et al. 2016, arXiv:1607.03250, count how often a unit is zero, which tanh never is.)
    """

    share: float = 0.5
    """share of the units of each hidden layer that are taken out; one at least stays"""
    observations: int = 2048
    """env steps of each agent from which activity is measured"""
    tune: bool = False
    """fine-tune the smaller policy afterwards, so that `steps` env steps are taken in all"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"share": (0.0, 1.0), "observations": (1, 10**9)}

    @property
    def trains(self) -> bool:
        """It always looks at what policies do."""
        return True

    def refuse(self, given: Given) -> None:
        """Refuse networks that are not dense, and layer norms, which read all units of a layer.

        Raises:
            ValueError: says which.
        """
        if dense(given.agents, WHAT).layer_norm:
            raise ValueError("agents: pruning of units takes no layer_norm, which reads all units of a layer")
        if self.tune and spent(given, self.observations) >= given.steps:
            raise ValueError(f"steps: {given.steps} is not allowed; it must exceed {spent(given, self.observations)}")

    def prepare(self, given: Given) -> Agents:
        """The agents with narrower hidden layers."""
        agents, looked = given.agents, spent(given, self.observations)
        obs = seen(given, agents, self.observations, 0)
        each = tree.repeat(as_arrays(agents.algo), agents.num_seeds)
        found = moments(each, agents.policies, obs)
        policy, widths = narrowed(agents.params[POLICY], found, float(self.share))
        network = dense(agents, WHAT)
        initial = {**agents.init_params, POLICY: policy}
        smaller = replace(
            agents,
            params={**agents.params, POLICY: policy},
            init_params=initial,
            opt_state=None,
            network=network.with_widths(widths, network.widths("value")),
            env_steps=agents.env_steps + looked,
        )
        return trained(given, smaller, Full(), given.steps - looked) if self.tune else smaller


@per_run()
def moments(algo: AnyAlgorithm, policy: Policy, obs: Float[Array, "M O"]) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Mean and standard deviation of every hidden unit over observations, [width] each, by path."""
    found = algo.features(policy, obs)
    return {path: (layer.mean(axis=0), layer.std(axis=0)) for path, layer in found.items()}


def narrowed(
    params: Params, found: dict[str, tuple[np.ndarray, np.ndarray]], share: float
) -> tuple[Params, tuple[int, ...]]:
    """Policies with the share of each hidden layer's units that act least taken out, and their widths.

    Args:
        params: of the policies, leaves [S, ...].
        found: mean and standard deviation of every unit, [S, width], by path.
        share: of the units.
    """
    layers = {name: dict(layer) if isinstance(layer, dict) else layer for name, layer in params.items()}
    names = [*sorted((name for name in layers if name.startswith("dense_")), key=_number), "head"]
    widths = []
    for name, after in itertools.pairwise(names):
        mean, spread = found[f"{POLICY}/{name}"]
        outgoing = layers[after]["kernel"]
        activity = spread * np.linalg.norm(outgoing, axis=2)
        kept = max(1, mean.shape[1] - round(share * mean.shape[1]))
        # In the order that they had.
        stays = np.sort(np.argsort(-activity, axis=1, kind="stable")[:, :kept], axis=1)
        constant = mean.copy()
        np.put_along_axis(constant, stays, 0.0, axis=1)
        layers[after]["bias"] = _floats(layers[after]["bias"] + np.einsum("su,sua->sa", constant, outgoing))
        layers[after]["kernel"] = _floats(np.take_along_axis(outgoing, stays[:, :, None], axis=1))
        layers[name]["kernel"] = _floats(np.take_along_axis(layers[name]["kernel"], stays[:, None, :], axis=2))
        layers[name]["bias"] = _floats(np.take_along_axis(layers[name]["bias"], stays, axis=1))
        widths.append(kept)
    return layers, tuple(widths)


def _number(name: str) -> int:
    return int(name.removeprefix("dense_"))


def _floats(values: np.ndarray) -> Floats:
    return np.asarray(values, np.float32)
