"""The alignment by dynamics: the meaning of a target's sensors and actions, estimated from little experience of both.

Physics may change at the same time, and with free dynamics every reading explains the target equally well. Readings
differ in how near they bring the target's dynamics to the source's: a position still changes by its velocity,
and a push still acts on the same sensors. So each task's linear response is fitted freely, and a reading is scored by
the density of the target's coefficients around the source's, each row of them multiplied by two unknown gains, one of
the sensors' effects and one of the actions', which are averaged over; a gain is 1 as likely as not, else log-normal.
Every change of meaning costs prior probability. Readings that predict the same of the target are one, and the smallest
change stands for them; it is believed if the others have little probability left. Then its scales are claimed, each
only if it is certain enough (`methods.alignment.units`). NumPy alone: it runs on the host.

Our own construction; the idea of making one world's transitions look like another's is that of grounded action
transformation (Hanna & Stone 2017, doi:10.1609/aaai.v31i1.11124), which learns the map of actions.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.alignment import units
from jaxrl_ft.methods.alignment.base import Alignment, Experience, Realignment
from jaxrl_ft.methods.alignment.candidates import Readings, action_maps, not_tried, orders_and_signs
from jaxrl_ft.methods.alignment.predictions import (
    EPSILON,
    FREEDOM,
    Evidence,
    log_density,
    predictions,
    start_ratio,
    typical,
)
from jaxrl_ft.methods.alignment.responses import Coefficients, respond

Floats = NDArray[np.floating[Any]]

NEAR_TIE = "near tie of readings"
SPREAD = "starts spread otherwise, as other physics explain better"
UNSEEN = "too little experience, or some that is not finite"

# Probability that a reading must have to be believed.
_BELIEVED = 0.995
# What each change of meaning costs, in nats of prior probability: sensors in another order, one reversed, other
# actions, sensors in other units, one of these, one shifted; and starts that spread otherwise for no such reason.
_ORDER, _REVERSED, _ACTIONS, _UNITS, _UNIT, _SHIFTED, _SPREAD = 3.0, 2.0, 3.0, 1.0, 0.5, 2.0, 3.0
# Predictions of two readings that differ by less than this share of the largest coefficient are the same.
_SAME = 0.05
# An offset, and a scale, is considered when it is so many standard errors from none.
_DEVIATIONS, _SPREAD_DEVIATIONS = 5.0, 3.0


@config
class Realign(Alignment):
    """Undo the change of sensors and actions that brings the target's dynamics nearest to the source's."""

    def estimate(self, source: Experience, target: Experience, num_actions: int, continuous: bool) -> Realignment:
        """The most probable change, or none with the reason where no change is probable enough; see `estimate`."""
        return estimate(source, target, num_actions, continuous)


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
    evidence = Evidence(ours, theirs, starts[0], starts[1], maps[0], continuous)
    readings = _candidates(size, maps, evidence)
    slopes, pushes = predictions(readings, evidence)
    scores = _scores(readings, evidence, slopes, pushes)
    probability = np.exp(scores - np.logaddexp.reduce(scores))
    same = _alike(readings, evidence, slopes.value, pushes.value, int(scores.argmax()))
    trust, best = float(probability[same].sum()), int(np.flatnonzero(same)[scores[same].argmax()])
    if trust < _BELIEVED and _changes(readings, evidence)[best].any():
        return none._replace(left_alone=NEAR_TIE)
    scale, error, left_alone = _scaled(readings.take([best]), evidence)
    chosen = none._replace(order=readings.order[best], scale=scale, actions=readings.actions[best], trust=trust)
    chosen = chosen._replace(scale_error=error)
    left_alone = NEAR_TIE if trust < _BELIEVED else left_alone
    return chosen._replace(offset=_offset(chosen, evidence), left_alone=left_alone)


def _candidates(size: int, maps: NDArray[np.int64], evidence: Evidence) -> Readings:
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


def _spreads(order: NDArray[np.int64], evidence: Evidence) -> list[Floats]:
    """Scales [O] under which starts may spread as on the source: none, and the ratio where it clearly is not 1."""
    ratio, room = start_ratio(order, evidence)
    free = np.abs(np.log(ratio)) > _SPREAD_DEVIATIONS * room
    return [np.ones(len(order)), np.where(free, ratio, 1.0)][: 1 + int(free.any())]


def _scores(readings: Readings, evidence: Evidence, slopes: Coefficients, pushes: Coefficients) -> Floats:
    """Log-probability [C] of every reading but for a constant."""
    unit_slopes, unit_pushes = typical(evidence.target)
    # A sensor's own slope is free: noise on it looks like a pull towards its mean.
    unit = np.hypot(EPSILON * unit_slopes, np.eye(len(unit_slopes)))
    density = log_density(slopes, evidence.target.slopes, unit)
    density += log_density(pushes, evidence.target.pushes, EPSILON * unit_pushes)
    shifted = _shifts(readings, evidence)[1].sum(axis=1)
    return np.asarray(
        density.sum(axis=1) - _cost(readings, evidence) - _surprise(readings, evidence) - _SHIFTED * shifted
    )


def _surprise(readings: Readings, evidence: Evidence) -> Floats:
    """Nats [C] by which the spread of starts makes readings less probable.

    Without units as the reason, other physics may spread all of them alike, or, at more cost, single ones otherwise.
    """
    ratio, room = start_ratio(readings.order, evidence)
    apart = np.log(ratio / np.abs(readings.scale)) / room
    surprise = np.square(apart).sum(axis=1) / 2
    alike = np.minimum(np.square(apart[:, :, None] - apart[:, None, :]) / 2, _SPREAD).sum(axis=2).min(axis=1)
    unscaled = np.all(np.abs(readings.scale) == 1, axis=1)
    return np.asarray(np.where(unscaled, np.minimum(surprise, _SPREAD + alike), surprise))


def _changes(readings: Readings, evidence: Evidence) -> NDArray[np.bool_]:
    """Whether [C] the order changes, signs, actions: [C, 3]."""
    usual = np.arange(readings.order.shape[1])
    parts = readings.order != usual, readings.scale < 0, readings.actions != evidence.usual
    return np.stack([part.any(axis=1) for part in parts], axis=1)


def _cost(readings: Readings, evidence: Evidence) -> Floats:
    """Nats [C] that the changes of meaning cost."""
    reordered, _, acting = _changes(readings, evidence).T
    units = (np.abs(readings.scale) != 1).sum(axis=1)
    cost = _ORDER * reordered + _REVERSED * (readings.scale < 0).sum(axis=1) + _ACTIONS * acting
    return np.asarray(cost + _UNITS * (units > 0) + _UNIT * units)


def _alike(readings: Readings, evidence: Evidence, slopes: Floats, pushes: Floats, best: int) -> NDArray[np.bool_]:
    """Readings [C] that predict what the best does, whatever the units of the sensors: a mirrored world is the same."""
    units = typical(evidence.target)
    predicted = np.concatenate([slopes / units[0], pushes / units[1]], axis=2).reshape(len(slopes), -1)
    same = np.abs(predicted - predicted[best]).max(axis=1) <= _SAME * np.abs(predicted[best]).max()
    meanings = np.concatenate([readings.order, readings.scale < 0, readings.actions], axis=1)
    return np.asarray((meanings[:, None] == meanings[same]).all(axis=2).any(axis=1))


def _scaled(reading: Readings, evidence: Evidence) -> tuple[Floats, Floats, str]:
    """The scale [O] of one reading's sensors where it is certain, errors of its log, and why any was left alone."""
    sign = np.sign(reading.scale)
    plain = reading._replace(scale=sign)
    ratio, room = start_ratio(reading.order[0], evidence)
    solved = np.log(_solved(plain, ratio, evidence))
    found = units.told(plain, evidence, solved)
    log_scale, left_alone = units.claimed(found, solved)
    otherwise = (np.abs(np.log(ratio)) > _SPREAD_DEVIATIONS * room) & (log_scale == 0)
    return sign[0] * np.exp(log_scale), found.error, left_alone or (SPREAD if otherwise.any() else "")


def _solved(plain: Readings, ratio: Floats, evidence: Evidence) -> Floats:
    """The scale [O] under which the dynamics are the source's, within what the starts allow.

    With predictions P and B of a reading without scales, what is seen is slopes_ik = P_ik s_i / s_k and
    pushes_if = B_if s_i: least squares in u = 1 / s, slopes_ik u_i - P_ik u_k = 0 and pushes_if u_i = B_if.
    """
    (slopes, _), (pushes, _) = predictions(plain, evidence)
    seen, usual = evidence.target, typical(evidence.target)
    order, size = plain.order[0], len(ratio)
    one, apart = np.eye(size), ~np.eye(size, dtype=bool)
    rows = seen.slopes.value[..., None] * one[:, None] - slopes[0][..., None] * one[None]
    rows = (rows / usual[0][..., None])[apart]
    acting = (seen.pushes.value / usual[1])[..., None] * one[:, None]
    rows = np.concatenate([rows, acting.reshape(-1, size)])[:, order]
    told = np.concatenate([np.zeros(apart.sum()), (pushes[0] / usual[1]).reshape(-1)])
    inverse = np.linalg.lstsq(rows, told, rcond=None)[0]
    room = _SPREAD_DEVIATIONS * start_ratio(order, evidence)[1]
    return np.asarray(1.0 / np.clip(inverse, *(np.exp([-room, room])[:, None] / ratio)))


def _shifts(readings: Readings, evidence: Evidence) -> tuple[Floats, NDArray[np.bool_]]:
    """Offsets [C, O] with which episodes begin where they do on the source, and whether they clearly are not 0."""
    ours, theirs = evidence.source_starts, evidence.target_starts
    offset = theirs.mean(axis=0)[readings.order] - readings.scale * ours.mean(axis=0)
    # Of a few starts the variance may look small by chance, and the source has more of them.
    expected, seen = readings.scale**2 * ours.var(axis=0), theirs.var(axis=0)[readings.order]
    error = np.sqrt(expected / len(ours) + np.maximum(expected, seen) / len(theirs))
    return offset, np.abs(offset) > _DEVIATIONS * error + 1e-6


def _offset(chosen: Realignment, evidence: Evidence) -> Floats:
    """The offsets [O] that explain the starts; none where episodes begin elsewhere, which the changes there show."""
    reading = Readings(chosen.order[None], chosen.scale[None], chosen.actions[None])
    offset, clear = (part[0] for part in _shifts(reading, evidence))
    offset = np.where(clear, offset, 0.0)
    shows = np.argsort(chosen.order)
    (slopes, _), _ = predictions(reading, evidence)
    # The change at the source's starts, and what the source would do where the target's episodes seem to begin.
    there = (evidence.source.rest.value * chosen.scale)[shows]
    elsewhere = there + slopes[0] @ offset[shows]
    seen = evidence.target.rest
    variance = seen.error**2 + (EPSILON * evidence.target.moved) ** 2
    here, moved = (np.log1p(np.square(seen.value - at) / variance / FREEDOM).sum() for at in (there, elsewhere))
    return np.zeros(len(offset)) if (FREEDOM + 1) * (here - moved) / 2 > _SHIFTED else offset
