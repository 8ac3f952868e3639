"""The shapes in signatures are checked: a wrong one fails in every annotated room."""

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

import jaxrl_ft as ft
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.adapters.base import by_group
from jaxrl_ft.methods.penalties import importance
from jaxrl_ft.nets import initializers
from jaxrl_ft.rl import losses, normalizer

POLICY = Policy({"policy": {}, "value": {}}, {}, ft.MLP())

WRONG = {
    "an advantage short of a row": lambda: losses.clipped_surrogate(jnp.ones(4), jnp.ones(3), 0.2),
    "whole numbers for a loss": lambda: losses.value_loss(jnp.ones(4, int), jnp.ones(4, int)),
    "a batch without rows": lambda: normalizer.update(normalizer.init(), jnp.ones(())),
    "a vector for a matrix": lambda: initializers.orthogonalize(jnp.ones(4)),
    "one state for many": lambda: importance.fisher(ft.PPO(), POLICY, jnp.ones(4)),
    "two keys for one": lambda: by_group(jax.random.split(jax.random.key(0)), {}, "same", lambda *_: {}),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_wrong_shape_is_refused(call):
    with pytest.raises(TypeCheckError):
        call()
