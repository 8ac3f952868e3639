"""Losses of all algorithms in NumPy and float64, as functions of parameters; what has no gradient is `held`."""

import jax
import numpy as np

from helpers.ppo_reference import forward


def log_softmax(logits):
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def taken(values, action):
    return np.take_along_axis(values, action[:, None].astype(int), axis=1)[:, 0]


def mean(x, weight):
    return np.sum(weight * x) / max(np.sum(weight), 1e-8)


def a2c(params, held, batch, algo):
    log_p = log_softmax(forward(params["policy"], batch["obs"])[0])
    advantage, own = batch["advantage"], batch["own"]
    if algo.normalize_advantage:
        centred = advantage - mean(advantage, own)
        advantage = centred / (np.sqrt(mean(centred**2, own)) + 1e-8)
    policy = -mean(taken(log_p, batch["action"]) * advantage, own)
    value = 0.5 * np.mean((forward(params["value"], batch["obs"])[0][:, 0] - batch["target_value"]) ** 2)
    entropy = -np.mean(np.sum(np.exp(log_p) * log_p, axis=1))
    return policy + algo.vf_coef * value - algo.ent_coef * entropy


def reinforce(params, held, batch, algo):
    log_p = log_softmax(forward(params["policy"], batch["obs"])[0])
    weight, advantage, value_loss = batch["own"] * batch["complete"], batch["target_value"], 0.0
    if algo.baseline == "value":
        now, fixed = (forward(p["value"], batch["obs"])[0][:, 0] for p in (params, held))
        value_loss = 0.5 * mean((batch["target_value"] - now) ** 2, batch["complete"])
        advantage = advantage - fixed
    elif algo.baseline == "mean":
        advantage = advantage - mean(advantage, weight)
    if algo.normalize_advantage:
        advantage = advantage / (np.sqrt(mean((advantage - mean(advantage, weight)) ** 2, weight)) + 1e-8)
    policy = -mean(taken(log_p, batch["action"]) * advantage, weight)
    entropy = mean(-np.sum(np.exp(log_p) * log_p, axis=1), batch["complete"])
    return policy + algo.vf_coef * value_loss - algo.ent_coef * entropy


def q_values(group, obs, dueling):
    outputs = forward(group, obs)[0]
    if not dueling:
        return outputs
    return outputs[:, -1:] + outputs[:, :-1] - outputs[:, :-1].mean(axis=1, keepdims=True)


def pqn(params, held, batch, algo):
    values = q_values(params["policy"], batch["obs"], algo.actor.dueling)
    return 0.5 * np.mean((taken(values, batch["action"]) - batch["target_value"]) ** 2)


def dqn(params, held, batch, algo):
    """`held` has the parameters of the target network under `target`, else those before the step."""
    dueling = algo.actor.dueling
    after = q_values(held["target"]["policy"], batch["next_obs"], dueling)
    chooser = q_values(held["policy"], batch["next_obs"], dueling) if algo.double else after
    target = batch["reward"] + batch["discount"] * taken(after, chooser.argmax(axis=1))
    error = taken(q_values(params["policy"], batch["obs"], dueling), batch["action"]) - target
    each = 0.5 * error**2
    if algo.huber is not None:
        each = np.where(np.abs(error) <= algo.huber, each, algo.huber * (np.abs(error) - 0.5 * algo.huber))
    return np.mean(batch["weight"] / batch["weight"].max() * each)


def directional(loss, params, held, *rest, direction, step=1e-5):
    """The slope of a loss along a direction, by central differences."""
    ends = [
        loss(jax.tree.map(lambda leaf, along, s=sign * step: leaf + s * along, params, direction), held, *rest)
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * step)
