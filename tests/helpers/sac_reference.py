"""SAC's loss in NumPy and float64; `held` has the parameters before the step and the target critics."""

import numpy as np

from helpers.loss_references import log_softmax, taken
from helpers.ppo_reference import forward

LOW, HIGH = -2.0, 2.0


def net(layers, x):
    return forward({name: part for name, part in layers.items() if name.startswith(("dense", "head"))}, x)[0]


def twin(critics, x):
    return net(critics, x), net(critics["twin"], x)


def loss(params, held, batch, algo):
    fixed, target = held["fixed"], held["target"]
    alpha = np.exp(fixed["policy"]["log_alpha"][0])
    terms = continuous if "noise" in batch else discrete
    policy, entropy, wanted, after, values = terms(params, fixed, target, batch, algo, alpha)
    y = batch["reward"] + batch["discount"] * after
    weight = batch["weight"] / batch["weight"].max()
    critic = np.mean(weight * sum(0.5 * (value - y) ** 2 for value in values))
    return critic + np.mean(policy) + np.mean(params["policy"]["log_alpha"][0] * (entropy - wanted))


def discrete(params, fixed, target, batch, algo, alpha):
    now, before = (log_softmax(net(p["policy"], batch["obs"])) for p in (params, fixed))
    there = log_softmax(net(fixed["policy"], batch["next_obs"]))
    lowest = np.minimum(*twin(fixed["value"], batch["obs"]))
    follows = np.minimum(*twin(target, batch["next_obs"]))
    policy = np.sum(np.exp(now) * (alpha * now - lowest), axis=1)
    after = np.sum(np.exp(there) * (follows - alpha * there), axis=1)
    values = [taken(value, batch["action"]) for value in twin(params["value"], batch["obs"])]
    return policy, -np.sum(np.exp(before) * before, axis=1), algo.entropy_share * np.log(now.shape[1]), after, values


def drawn(group, obs, noise):
    """Action on a scale from -1 to 1, and its log-density in the task's units."""
    mean, log_std = np.split(net(group, obs), 2, axis=1)
    log_std = np.clip(log_std, -5.0, 2.0)
    u = mean + np.exp(log_std) * noise
    density = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    return np.tanh(u), np.sum(density - np.log((HIGH - LOW) / 2 * (1 - np.tanh(u) ** 2)), axis=1)


def continuous(params, fixed, target, batch, algo, alpha):
    here, there = np.split(batch["noise"], 2, axis=1)
    action, log_prob = drawn(params["policy"], batch["obs"], here)
    _, before = drawn(fixed["policy"], batch["obs"], here)
    next_action, next_log_prob = drawn(fixed["policy"], batch["next_obs"], there)
    given = 2 * (batch["action"] - LOW) / (HIGH - LOW) - 1
    lowest = np.minimum(*twin(fixed["value"], np.concatenate([batch["obs"], action], axis=1)))[:, 0]
    follows = np.minimum(*twin(target, np.concatenate([batch["next_obs"], next_action], axis=1)))[:, 0]
    values = [v[:, 0] for v in twin(params["value"], np.concatenate([batch["obs"], given], axis=1))]
    entropy = -before - action.shape[1] * np.log((HIGH - LOW) / 2)
    return alpha * log_prob - lowest, entropy, -float(action.shape[1]), follows - alpha * next_log_prob, values
