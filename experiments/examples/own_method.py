"""A method of one's own: a penalty that keeps a policy of two actions from growing certain.

python experiments/examples/own_method.py
"""

import jax.numpy as jnp

import jaxrl_ft as ft
from jaxrl_ft.core.config import config


@config
class Confidence(ft.Penalty):
    """c E max(0, |difference of the logits| - limit)."""

    coef: float = 1e-2
    limit: float = 4.0

    def loss(self, memory, algo, policy, batch, moment):
        """A scalar, added to the loss of every minibatch."""
        logits = algo.distribution(policy, batch.obs).logits
        return self.coef * jnp.maximum(jnp.abs(logits[..., 1] - logits[..., 0]) - self.limit, 0.0).mean()


method = ft.Method(penalty=Confidence())

if __name__ == "__main__":
    source = ft.make_task("CartPole-v1")
    target = ft.make_task("CartPole-v1", shift="flipped-actions")
    agents = ft.pretrain(source, seeds=16, steps=40_960, seed=0)
    methods = {"full": ft.METHODS["full"], "confident": method}
    result = ft.compare(agents, {"flipped": target}, methods, seeds=16, steps=20_480, seed=3)
    print(result.summary())
