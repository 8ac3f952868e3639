"""PPO's gradient steps in NumPy and float64, with every derivative written out by hand."""

import copy

import numpy as np


def forward(layers, x):
    """The output and the inputs of every layer of an MLP with tanh hidden layers."""
    inputs = []
    for name in [*sorted(n for n in layers if n != "head"), "head"]:
        inputs.append(x)
        x = x @ layers[name]["kernel"] + layers[name]["bias"]
        if name != "head":
            x = np.tanh(x)
    return x, inputs


def backward(layers, inputs, grad):
    """Gradients of all kernels and biases, given that of the output."""
    names = [*sorted(n for n in layers if n != "head"), "head"]
    grads = {}
    for i in reversed(range(len(names))):
        grads[names[i]] = {"kernel": inputs[i].T @ grad, "bias": grad.sum(axis=0)}
        grad = (grad @ layers[names[i]]["kernel"].T) * (1.0 - inputs[i] ** 2)
    return grads


def loss(params, batch, algo):
    """The loss of a batch, its three terms, and its gradient with respect to params."""
    num = len(batch["obs"])
    logits, inputs = forward(params["policy"], batch["obs"])
    logits = logits - logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    p, taken = np.exp(log_p), np.eye(logits.shape[1])[batch["action"]]
    advantage = batch["advantage"]
    if algo.normalize_advantage:
        advantage = (advantage - advantage.mean()) / (np.sqrt(np.mean((advantage - advantage.mean()) ** 2)) + 1e-8)
    ratio = np.exp((log_p * taken).sum(axis=1) - batch["log_prob"])
    free, held = ratio * advantage, np.clip(ratio, 1 - algo.clip_eps, 1 + algo.clip_eps) * advantage
    surrogate = -np.minimum(free, held).mean()
    by_log_prob = np.where(free <= held, -advantage * ratio, 0.0) / num
    entropies = -(p * log_p).sum(axis=1, keepdims=True)
    by_logits = by_log_prob[:, None] * (taken - p) + algo.ent_coef * p * (log_p + entropies) / num
    value, value_inputs = forward(params["value"], batch["obs"])
    value_loss, by_value = value_term(value[:, 0], batch, algo.value_clip_eps)
    terms = {"policy": surrogate, "value": value_loss, "entropy": entropies.mean()}
    total = surrogate + algo.vf_coef * value_loss - algo.ent_coef * entropies.mean()
    grads = {
        "policy": backward(params["policy"], inputs, by_logits),
        "value": backward(params["value"], value_inputs, algo.vf_coef * by_value[:, None]),
    }
    return total, terms, grads


def value_term(value, batch, clip):
    """The value loss and its gradient with respect to the values."""
    num, error = len(value), value - batch["target_value"]
    if clip is None:
        return 0.5 * np.mean(error**2), error / num
    moved = value - batch["value"]
    held = batch["value"] + np.clip(moved, -clip, clip) - batch["target_value"]
    larger = error**2 >= held**2
    gradient = np.where(larger, error, np.where(np.abs(moved) < clip, held, 0.0)) / num
    return 0.5 * np.mean(np.where(larger, error**2, held**2)), gradient


def zeros_like(params):
    return {g: {n: {k: np.zeros_like(v) for k, v in layer.items()} for n, layer in group.items()}
            for g, group in params.items()}  # fmt: skip


def paths(params):
    return [(g, n, k) for g, group in params.items() for n, layer in group.items() for k in layer]


class Reference:
    """Parameters, Adam's moments and the count of steps."""

    def __init__(self, params):
        self.params = copy.deepcopy(params)
        self.first, self.second, self.count = zeros_like(params), zeros_like(params), 0
        self.clipped = 0

    def step(self, batch, algo, adam, learning_rate):
        _, _, grads = loss(self.params, batch, algo)
        norm = np.sqrt(sum(np.sum(grads[g][n][k] ** 2) for g, n, k in paths(grads)))
        factor = min(1.0, adam.max_grad_norm / norm)
        self.clipped += factor < 1
        self.count += 1
        for g, n, k in paths(grads):
            gradient = grads[g][n][k] * factor
            first, second = self.first[g][n], self.second[g][n]
            first[k] = adam.beta1 * first[k] + (1 - adam.beta1) * gradient
            second[k] = adam.beta2 * second[k] + (1 - adam.beta2) * gradient**2
            mean = first[k] / (1 - adam.beta1**self.count)
            root = np.sqrt(second[k] / (1 - adam.beta2**self.count))
            self.params[g][n][k] = self.params[g][n][k] - learning_rate * mean / (root + adam.eps)


def double_sum(reward, value, next_value, terminated, done, gamma, gae_lambda):
    """A_t = Σ_{k≥t} (γλ)^{k-t} Π_{t≤j<k} (1 - done_j) δ_k, in float64."""
    delta = reward.astype(float) + gamma * (1.0 - terminated) * next_value.astype(float) - value.astype(float)
    advantage = np.zeros(len(delta))
    for t in range(len(delta)):
        for k in range(t, len(delta)):
            advantage[t] += (gamma * gae_lambda) ** (k - t) * np.prod(1.0 - done[t:k]) * delta[k]
    return advantage
