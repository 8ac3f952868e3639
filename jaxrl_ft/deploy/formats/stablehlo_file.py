"""A policy as a serialized StableHLO program of `jax.export`, with a symbolic batch."""

import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxrl_ft.core import tree
from jaxrl_ft.deploy.formats.base import Exporting
from jaxrl_ft.envs.simulator import Box

PLATFORMS = ("cpu", "cuda", "tpu")
CALLER = "policy_jax.py"
_HOW = '''\
"""{title}

    act(obs)    # obs [B, {size}] of float32, of any B -> actions [B{actions}]

Needs jax and flatbuffers; a program is read by versions of jax up to six months younger than {version}, which wrote it.
"""

from pathlib import Path

import jax
import jax.export

PROGRAM = jax.export.deserialize(bytearray(Path(__file__).with_name("{name}.stablehlo").read_bytes()))
act = jax.jit(PROGRAM.call)
'''


def files(exporting: Exporting) -> dict[str, bytes]:
    """The program, from observations [B, O] to greedy actions, and the module that calls it."""
    space, size = exporting.agents.task.action_space, exporting.agents.task.obs_size
    how = _HOW.format(
        title=exporting.title.replace('"""', "'''"),
        size=size,
        actions=f", {space.size}" if isinstance(space, Box) else "",
        version=jax.__version__,
        name=exporting.name,
    )
    return {f"{exporting.name}.stablehlo": program(exporting), CALLER: how.encode()}


def program(exporting: Exporting) -> bytes:
    """The serialized program."""
    agents = exporting.agents
    policy, space = tree.take(agents.policies, exporting.seed), agents.task.action_space

    def act(obs: Float[Array, "B O"]) -> Shaped[Array, "..."]:
        action = agents.algo.distribution(tree.map_leaves(jnp.asarray, policy), obs).mode()
        if not isinstance(space, Box):
            return action
        low, high = (jax.lax.broadcast_to_rank(jnp.asarray(end), action.ndim) for end in (space.low, space.high))
        return jnp.clip(action, low, high)

    (batch,) = jax.export.symbolic_shape("batch")
    obs = jax.ShapeDtypeStruct((batch, agents.task.obs_size), jnp.float32)
    exported = jax.export.export(jax.jit(act), platforms=PLATFORMS)(obs)
    return bytes(exported.serialize())
