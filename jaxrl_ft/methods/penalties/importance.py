"""Importance of each parameter of a policy on a set of states: the weights of elastic anchors."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import ActionDistribution, Behaviour, Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Params

# Per-state gradients are held for this many states at once; all of them at once would be states x parameters.
_CHUNK = 32

Outputs: TypeAlias = Callable[[Params], ActionDistribution]
"""From the parameters of the policy group to the action distribution in one state."""


def fisher(algo: Behaviour, policy: Policy, obs: Float[Array, "M O"]) -> Tree:
    """The diagonal of the Fisher information of the policy's parameters, a tree like `params["policy"]`.

        Fᵢ = E_s E_{a ~ π(·|s)} (∂ log π(a|s) / ∂θᵢ)²

    The expectation over actions is exact: with z(s) the numbers of the action distribution (logits; or means and log
    standard deviations), J = ∂z/∂θ, and M the Fisher information of z, which is the Hessian of KL(π_z ‖ π_z') in z' at
    z' = z, F is the mean over states of the diagonal of JᵀMJ.

    Args:
        algo: gives the action distribution, which has `kl`.
        policy: the policy.
        obs: the states, [M, O].

    Reference: Kirkpatrick et al. 2017, arXiv:1612.00796; Martens 2014, arXiv:1412.1193, for the form JᵀMJ.
    """

    def of_state(outputs: Outputs, group: Tree) -> Tree:
        here = outputs(group)
        metric = jax.hessian(lambda z: here.kl(tree.unravel(z, here)))(tree.ravel(here))
        jacobian = jax.jacrev(lambda params: tree.ravel(outputs(params)))(group)
        return jax.tree.map(lambda rows: jnp.sum(rows * jnp.tensordot(metric, rows, 1), axis=0), jacobian)

    return _mean(of_state, algo, policy, obs)


def sensitivity(algo: Behaviour, policy: Policy, obs: Float[Array, "M O"]) -> Tree:
    """The mean size of the gradient of the policy's squared output, a tree like `params["policy"]`.

        Ωᵢ = E_s |∂ ‖z(s)‖² / ∂θᵢ|

    z(s) are the numbers of the action distribution: logits, or means and log standard deviations.

    Args:
        algo: gives the action distribution.
        policy: the policy.
        obs: the states, [M, O].

    Reference: Aljundi et al. 2018, arXiv:1711.09601, in the form for outputs of several dimensions.
    """

    def of_state(outputs: Outputs, group: Tree) -> Tree:
        return jax.tree.map(jnp.abs, jax.grad(lambda params: jnp.sum(tree.ravel(outputs(params)) ** 2))(group))

    return _mean(of_state, algo, policy, obs)


def normalized(importance: Tree) -> Tree:
    """The importance scaled to a mean of 1 over all of its entries; all zero where it is zero."""
    mean = tree.ravel(importance).mean()
    return jax.tree.map(lambda leaf: leaf / jnp.maximum(mean, jnp.finfo(leaf.dtype).tiny), importance)


def _mean(of_state: Callable[[Outputs, Tree], Tree], algo: Behaviour, policy: Policy, obs: Float[Array, "M O"]) -> Tree:
    group = policy.params["policy"]

    def total(state: jax.Array) -> Tree:
        return of_state(lambda params: algo.distribution(_with(policy, params), state), group)

    chunk = max(size for size in range(1, _CHUNK + 1) if len(obs) % size == 0)
    sums = jax.lax.map(
        lambda states: jax.tree.map(lambda leaf: leaf.sum(axis=0), jax.vmap(total)(states)),
        obs.reshape(-1, chunk, *obs.shape[1:]),
    )
    return jax.tree.map(lambda leaf: leaf.sum(axis=0) / len(obs), sums)


def _with(policy: Policy, group: Tree) -> Policy:
    return policy._replace(params={**policy.params, "policy": group})
