"""A small world in which every penalty can be evaluated, and a policy simple enough for closed forms."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrl_ft as ft
from helpers.compiling import quick
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.rl.distributions import Categorical, DiagGaussian

NETWORK = ft.MLP(width=3, depth=1)
ALGO = ft.PPO()
ANCHORS = {
    "l1": "zero", "l1sp": "base", "l2": "zero", "l2sp": "base", "l2init": "init", "ewc": "base", "mas": "base",
    "kl": "base", "kl_reverse": "base", "cloning": "base", "features": "base", "infer": "init", "churn": "before",
}  # fmt: skip
"""Where each penalty rests."""


class Data(NamedTuple):
    obs: Any


BATCH = Data(jnp.asarray(np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)))
STATES = Data(jnp.asarray(np.random.default_rng(4).normal(size=(10, 4)).astype(np.float32)))


def moment(progress=0.5, step=1):
    return Moment(np.float32(progress), np.int32(step))


def policy_of(params):
    return Policy(params, {}, NETWORK)


def source_of(worlds, data=STATES):
    return Source(policy_of(worlds["base"]), worlds["init"], data)


def memory_of(penalty, worlds, states):
    """The memory in the second gradient step of a run that started at `now` and was at `before` in the first."""
    memory = penalty.init(jax.random.key(0), ALGO, policy_of(worlds["now"]), source_of(worlds, states))
    return penalty.after_step(memory, ALGO, policy_of(worlds["before"]))


class Examined(NamedTuple):
    """A penalty's memory, its loss and that of its term, and the gradients in the parameters and in the memory."""

    memory: Any
    loss: Any
    term_loss: Any
    slope: Any
    memory_slope: Any


@quick
def _examined(penalty, worlds, states, params, at):
    memory = memory_of(penalty, worlds, states)

    def loss(params, memory):
        return penalty.loss(memory, ALGO, policy_of(params), BATCH, at)

    value, slopes = jax.value_and_grad(loss, (0, 1))(params, memory)
    return Examined(memory, value, penalty.term().loss(memory, ALGO, policy_of(params), BATCH, at), *slopes)


def examine(penalty, worlds, params):
    """A penalty at these parameters, in NumPy, by one program whatever its floats are."""
    return jax.device_get(_examined(as_arrays(penalty), worlds, STATES, params, moment()))


def loss_at_start(penalty, params, source):
    """The loss of a run that starts at these parameters, before its first step."""
    policy = policy_of(params)
    memory = penalty.init(jax.random.key(0), ALGO, policy, source)
    return penalty.loss(memory, ALGO, policy, BATCH, moment())


class Linear:
    """Softmax-linear policies, or Gaussian ones where the parameters hold `log_std`: z = x W."""

    @staticmethod
    def distribution(policy, obs):
        group = policy.params["policy"]
        outputs = obs @ group["kernel"]
        return DiagGaussian(outputs, group["log_std"]) if "log_std" in group else Categorical(outputs)

    @staticmethod
    def features(policy, obs):
        return {}


def linear(seed, log_std=None):
    """A linear policy over 4 observations with 3 outputs."""
    kernel = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    extra = {} if log_std is None else {"log_std": np.asarray(log_std, np.float32)}
    return policy_of({"policy": {"kernel": kernel, **extra}, "value": {"bias": np.ones(2, np.float32)}})


def softmax(z):
    e = np.exp(np.asarray(z, np.float64) - np.max(z, axis=-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
