"""What a target's sensors and actions mean in the source's terms, told from a little experience of both.

Physics may change at the same time, and with free dynamics every reading explains the target equally well. What tells
readings apart is how near they bring the target's dynamics to the source's: a position still changes by its velocity,
and a push still acts on the same sensors. So each task's linear response is fitted freely, and a reading is scored by
the density of the target's coefficients around the source's, each row of them multiplied by two unknown gains, one of
the sensors' effects and one of the actions', which are averaged over; a gain is 1 as likely as not, else log-normal.
Every change of meaning costs prior probability. Readings that predict the same of the target are one, and the smallest
change stands for them; it is believed if the others have little probability left. NumPy alone: it runs on the host.

Our own construction; the idea of making one world's transitions look like another's is that of grounded action
transformation (Hanna & Stone 2017, doi:10.1609/aaai.v31i1.11124), which learns the map of actions.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.methods.candidates import Readings, action_maps, not_tried, orders_and_signs
from jaxrl_ft.methods.realignment import Experience, Realignment
from jaxrl_ft.methods.responses import Coefficients, Response, contrasts, respond

Floats = NDArray[np.floating[Any]]

NEAR_TIE = "near tie of readings"
SPREAD = "starts spread otherwise, as other physics explain better"
UNSEEN = "too little experience, or some that is not finite"

# Probability that a reading must have to be believed.
_BELIEVED = 0.995
# What each change of meaning costs, in nats of prior probability: sensors in another order, one reversed, other
# actions, sensors in other units, one of these, one shifted; and starts that spread otherwise for no such reason.
_ORDER, _REVERSED, _ACTIONS, _UNITS, _UNIT, _SHIFTED, _SPREAD = 3.0, 2.0, 3.0, 1.0, 0.5, 2.0, 3.0
# Gains that physics may multiply a row by, and their log-normal weights; the last is no gain, with half of the weight.
_GAINS = np.append(2.0 ** (np.arange(-8, 9) / 2), 1.0)
_WEIGHTS = np.append(np.exp(-(np.log(_GAINS[:-1]) ** 2) / 2), 0.0)
_LOG_WEIGHTS = np.log(np.append(_WEIGHTS[:-1] / _WEIGHTS.sum(), 1.0) / 2)
# Relative deviation of each coefficient from its row's gain; small where there is no gain.
_DEVIATION = np.append(np.full(len(_GAINS) - 1, 0.3), 0.03)
# Deviation of any coefficient, in typical changes of the sensor for a typical value of what acts on it.
_EPSILON = 0.01
# Degrees of freedom of Student's t: a coefficient that no gain explains speaks against a reading, but not for ever.
_FREEDOM = 8.0
# Predictions of two readings that differ by less than this share of the largest coefficient are the same.
_SAME = 0.05
# An offset, and a scale, is considered when it is so many standard errors from none.
_DEVIATIONS, _SPREAD_DEVIATIONS = 5.0, 3.0
# The relative standard deviation of a uniform sample's spread, times the root of its size: sqrt((kurtosis - 1) / 4).
_SPREAD_ERROR = 0.45


class _Evidence(NamedTuple):
    """What is known of both tasks."""

    source: Response
    target: Response
    source_starts: Floats
    target_starts: Floats
    usual: NDArray[np.int64]
    """actions that mean what they did, [A]"""
    continuous: bool


def estimate(source: Experience, target: Experience, num_actions: int, continuous: bool) -> Realignment:
    """The reading of the target under which its dynamics are nearest to the source's, or no change with the reason.

    Args:
        source: experience of the source; five hundred transitions are plenty.
        target: experience of the target; two hundred transitions are.
        num_actions: number of discrete actions, or size of continuous ones.
        continuous: whether actions are continuous.
    """
    size, maps = source.obs.shape[1], action_maps(num_actions, continuous)
    flat = np.zeros(size), np.ones(size)
    none = Realignment(np.arange(size), *flat, maps[0], continuous, untried=not_tried(size, num_actions))
    ours, theirs = (respond(experience, num_actions, continuous) for experience in (source, target))
    if ours is None or theirs is None:
        return none._replace(left_alone=UNSEEN)
    starts = [np.asarray(experience.starts, np.float64) for experience in (source, target)]
    evidence = _Evidence(ours, theirs, starts[0], starts[1], maps[0], continuous)
    readings = _candidates(size, maps, evidence)
    slopes, pushes = _predicted(readings, evidence)
    scores = _scores(readings, evidence, slopes, pushes)
    probability = np.exp(scores - np.logaddexp.reduce(scores))
    same = _alike(readings, evidence, slopes.value, pushes.value, int(scores.argmax()))
    trust, best = float(probability[same].sum()), int(np.flatnonzero(same)[scores[same].argmax()])
    if trust < _BELIEVED and _changes(readings, evidence)[best].any():
        return none._replace(left_alone=NEAR_TIE)
    scale, left_alone = _scaled(readings.take([best]), evidence)
    chosen = none._replace(order=readings.order[best], scale=scale, actions=readings.actions[best], trust=trust)
    left_alone = NEAR_TIE if trust < _BELIEVED else left_alone
    return chosen._replace(offset=_offset(chosen, evidence), left_alone=left_alone)


def _candidates(size: int, maps: NDArray[np.int64], evidence: _Evidence) -> Readings:
    orders, signs = orders_and_signs(size)
    rows = [
        (order, scale * np.array(sign), actions)
        for order in orders
        for scale in _spreads(np.array(order), evidence)
        for sign in signs
        for actions in maps
    ]
    order, scale, actions = (np.array(part) for part in zip(*rows))
    return Readings(order, scale, actions)


def _spreads(order: NDArray[np.int64], evidence: _Evidence) -> list[Floats]:
    """Scales [O] under which starts may spread as on the source: none, and the ratio where it clearly is not 1."""
    ratio, room = _ratio(order, evidence)
    free = np.abs(np.log(ratio)) > _SPREAD_DEVIATIONS * room
    return [np.ones(len(order)), np.where(free, ratio, 1.0)][: 1 + int(free.any())]


def _ratio(order: Any, evidence: _Evidence) -> tuple[Floats, float]:
    """How much wider the target's starts spread, sensor by sensor of the source [..., O], and the log's error."""
    ours, theirs = (starts.std(axis=0) + 1e-9 for starts in (evidence.source_starts, evidence.target_starts))
    sizes = len(evidence.source_starts), len(evidence.target_starts)
    return theirs[order] / ours, float(_SPREAD_ERROR * np.sqrt(sum(1 / size for size in sizes)))


def _predicted(readings: Readings, evidence: _Evidence) -> tuple[Coefficients, Coefficients]:
    """The target's slopes [C, O, O] and pushes [C, O, F] if its physics are the source's; signs of errors are void."""
    shows = np.argsort(readings.order, axis=1)
    scale = np.take_along_axis(readings.scale, shows, axis=1)[:, :, None]
    across = scale / scale.swapaxes(1, 2)
    slopes = [part[shows[:, :, None], shows[:, None, :]] * across for part in evidence.source.slopes]
    acting = [_acting(part, readings.actions, evidence.continuous) for part in evidence.source.pushes]
    pushes = [np.take_along_axis(part, shows[:, :, None], axis=1) * scale for part in acting]
    return Coefficients(slopes[0], slopes[1]), Coefficients(pushes[0], pushes[1])


def _acting(pushes: Floats, actions: NDArray[np.int64], continuous: bool) -> Floats:
    """Effects [C, O, F] of the target's features, for actions [C, A] that do what the source's do."""
    if continuous:
        return pushes * actions[:, None, :]
    frame = contrasts(actions.shape[1])
    effects = pushes @ frame.T
    return effects[:, np.argsort(actions, axis=1)].swapaxes(0, 1) @ frame


def _units(target: Response) -> tuple[Floats, Floats]:
    """Slopes [O, O] and pushes [O, F] that change a sensor typically for a typical value of what acts on it."""
    return target.moved[:, None] / target.spread, target.moved[:, None] / target.acted


def _scores(readings: Readings, evidence: _Evidence, slopes: Coefficients, pushes: Coefficients) -> Floats:
    """Log-probability [C] of every reading but for a constant."""
    unit_slopes, unit_pushes = _units(evidence.target)
    # A sensor's own slope is free: noise on it looks like a pull towards its mean.
    unit = np.hypot(_EPSILON * unit_slopes, np.eye(len(unit_slopes)))
    density = _density(slopes, evidence.target.slopes, unit)
    density += _density(pushes, evidence.target.pushes, _EPSILON * unit_pushes)
    shifted = _shifts(readings, evidence)[1].sum(axis=1)
    return density.sum(axis=1) - _cost(readings, evidence) - _surprise(readings, evidence) - _SHIFTED * shifted


def _surprise(readings: Readings, evidence: _Evidence) -> Floats:
    """Nats [C] that the spread of starts speaks against readings.

    Without units as the reason, other physics may spread all of them alike, or, at more cost, single ones otherwise.
    """
    ratio, room = _ratio(readings.order, evidence)
    apart = np.log(ratio / np.abs(readings.scale)) / room
    surprise = np.square(apart).sum(axis=1) / 2
    alike = np.minimum(np.square(apart[:, :, None] - apart[:, None, :]) / 2, _SPREAD).sum(axis=2).min(axis=1)
    unscaled = np.all(np.abs(readings.scale) == 1, axis=1)
    return np.where(unscaled, np.minimum(surprise, _SPREAD + alike), surprise)


def _density(predicted: Coefficients, seen: Coefficients, unit: Floats) -> Floats:
    """Log-density [C, O] of the coefficients seen [O, K] around predictions [C, O, K], over all gains of a row."""
    mean = predicted.value[..., None] * _GAINS
    variance = (_DEVIATION * mean) ** 2 + (_GAINS * predicted.error[..., None]) ** 2
    variance += (unit**2 + seen.error**2)[..., None]
    square = (seen.value[..., None] - mean) ** 2 / variance
    density = -0.5 * (_FREEDOM + 1) * np.log1p(square / _FREEDOM) - 0.5 * np.log(variance)
    return np.logaddexp.reduce(density.sum(axis=2) + _LOG_WEIGHTS, axis=-1)


def _changes(readings: Readings, evidence: _Evidence) -> NDArray[np.bool_]:
    """Whether [C] the order changes, signs, actions: [C, 3]."""
    usual = np.arange(readings.order.shape[1])
    parts = readings.order != usual, readings.scale < 0, readings.actions != evidence.usual
    return np.stack([part.any(axis=1) for part in parts], axis=1)


def _cost(readings: Readings, evidence: _Evidence) -> Floats:
    """Nats [C] that the changes of meaning cost."""
    reordered, _, acting = _changes(readings, evidence).T
    units = (np.abs(readings.scale) != 1).sum(axis=1)
    cost = _ORDER * reordered + _REVERSED * (readings.scale < 0).sum(axis=1) + _ACTIONS * acting
    return cost + _UNITS * (units > 0) + _UNIT * units


def _alike(readings: Readings, evidence: _Evidence, slopes: Floats, pushes: Floats, best: int) -> NDArray[np.bool_]:
    """Readings [C] that predict what the best does, whatever the units of the sensors: a mirrored world is the same."""
    units = _units(evidence.target)
    predicted = np.concatenate([slopes / units[0], pushes / units[1]], axis=2).reshape(len(slopes), -1)
    same = np.abs(predicted - predicted[best]).max(axis=1) <= _SAME * np.abs(predicted[best]).max()
    meanings = np.concatenate([readings.order, readings.scale < 0, readings.actions], axis=1)
    return (meanings[:, None] == meanings[same]).all(axis=2).any(axis=1)


def _scaled(reading: Readings, evidence: _Evidence) -> tuple[Floats, str]:
    """The scale [O] of a single reading's sensors, and the reason why one that starts tell of was left alone."""
    sign = np.sign(reading.scale)
    spreads = _spreads(reading.order[0], evidence)
    if len(spreads) == 1:
        return sign[0], ""
    plain = reading._replace(scale=sign)
    scales = np.array([*spreads, _solved(plain, spreads[1], evidence)]) * sign
    options = Readings(np.repeat(reading.order, 3, axis=0), scales, np.repeat(reading.actions, 3, axis=0))
    scores = _scores(options, evidence, *_predicted(options, evidence))
    believed = 1.0 - np.exp(scores[0] - np.logaddexp.reduce(scores))
    if believed >= _BELIEVED:
        return scales[1 + int(scores[1:].argmax())], ""
    return sign[0], SPREAD if believed < 1.0 - _BELIEVED else NEAR_TIE


def _solved(plain: Readings, spread: Floats, evidence: _Evidence) -> Floats:
    """The scale [O] under which the dynamics are the source's, within what the starts allow.

    With predictions P and B of a reading without scales, what is seen is slopes_ik = P_ik s_i / s_k and
    pushes_if = B_if s_i: least squares in u = 1 / s, slopes_ik u_i - P_ik u_k = 0 and pushes_if u_i = B_if.
    """
    (slopes, _), (pushes, _) = _predicted(plain, evidence)
    seen, units = evidence.target, _units(evidence.target)
    order, size = plain.order[0], len(spread)
    one, apart = np.eye(size), ~np.eye(size, dtype=bool)
    rows = seen.slopes.value[..., None] * one[:, None] - slopes[0][..., None] * one[None]
    rows = (rows / units[0][..., None])[apart]
    acting = (seen.pushes.value / units[1])[..., None] * one[:, None]
    rows = np.concatenate([rows, acting.reshape(-1, size)])[:, order]
    told = np.concatenate([np.zeros(apart.sum()), (pushes[0] / units[1]).reshape(-1)])
    free, inverse = spread != 1, np.ones(size)
    inverse[free] = np.linalg.lstsq(rows[:, free], told - rows[:, ~free].sum(axis=1), rcond=None)[0]
    room = _SPREAD_DEVIATIONS * _ratio(order, evidence)[1]
    return np.where(free, 1.0 / np.clip(inverse, *(np.exp([-room, room])[:, None] / spread)), 1.0)


def _shifts(readings: Readings, evidence: _Evidence) -> tuple[Floats, NDArray[np.bool_]]:
    """Offsets [C, O] with which episodes begin where they do on the source, and whether they clearly are not 0."""
    ours, theirs = evidence.source_starts, evidence.target_starts
    offset = theirs.mean(axis=0)[readings.order] - readings.scale * ours.mean(axis=0)
    # Of a few starts the variance may look small by chance, and the source has more of them.
    expected, seen = readings.scale**2 * ours.var(axis=0), theirs.var(axis=0)[readings.order]
    error = np.sqrt(expected / len(ours) + np.maximum(expected, seen) / len(theirs))
    return offset, np.abs(offset) > _DEVIATIONS * error + 1e-6


def _offset(chosen: Realignment, evidence: _Evidence) -> Floats:
    """The offsets [O] that the starts tell, unless episodes rather begin elsewhere: then the changes there differ."""
    reading = Readings(chosen.order[None], chosen.scale[None], chosen.actions[None])
    offset, clear = (part[0] for part in _shifts(reading, evidence))
    offset = np.where(clear, offset, 0.0)
    shows = np.argsort(chosen.order)
    (slopes, _), _ = _predicted(reading, evidence)
    # The change at the source's starts, and what the source would do where the target's episodes seem to begin.
    there = (evidence.source.rest.value * chosen.scale)[shows]
    elsewhere = there + slopes[0] @ offset[shows]
    seen = evidence.target.rest
    variance = seen.error**2 + (_EPSILON * evidence.target.moved) ** 2
    here, moved = (np.log1p(np.square(seen.value - at) / variance / _FREEDOM).sum() for at in (there, elsewhere))
    return np.zeros(len(offset)) if (_FREEDOM + 1) * (here - moved) / 2 > _SHIFTED else offset
