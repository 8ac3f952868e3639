"""What a comparison shows, in plain sentences computed from its summary rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxrl_ft.analysis.marks import code
from jaxrl_ft.analysis.report.tables import AUC, format_interval, format_number
from jaxrl_ft.analysis.statistics.summary import REFERENCES, Row, interval

FEW_RUNS = 5
VERDICTS = ("above", "level with", "below", "not compared with")


class Finding(NamedTuple):
    """What a comparison shows on one target, in sentences; each may be empty where there is no number for it."""

    won: str
    """which method is best, and by how much"""
    worth: str
    """whether it was worth its training, and where it ends"""
    forgotten: str
    """what it lost on the source"""


def findings(rows: Sequence[Row]) -> list[str]:
    """One paragraph per target and, for several targets, one on how often each method is above or below scratch."""
    by_target = _by_target(rows)
    paragraphs = []
    for target, of_method in by_target.items():
        won, *others = finding(target, list(of_method.values()))
        paragraphs.append(" ".join(filter(None, [won, *others, *_losers(of_method)])))
    return paragraphs + ([_across(by_target)] if len(by_target) > 1 else [])


def finding(target: str, rows: Sequence[Row]) -> Finding:
    """What the rows of one target show."""
    of_method = {row["method"]: row for row in rows}
    best = best_method(rows)
    if best is None:
        return Finding(f"On {code(target)}, no fine-tuning method finished a run.", "", "")
    tuned = [row for row in rows if row["method"] not in REFERENCES]
    among = f" the largest {AUC} of {len(tuned)} methods," if len(tuned) > 1 else f" a {AUC} of"
    won = f"On {code(target)}, {code(best['method'])} has{among} {_number(best, 'auc')}{_scratch(best, of_method)}."
    return Finding(won, f"{_worth(best, of_method)} {_endings(best, of_method)}".strip(), _kept(best, tuned))


def overall(rows: Sequence[Row]) -> Finding:
    """What the rows of several targets show together; means over the targets, without intervals."""
    by_target = _by_target(rows)
    names = [name for name in next(iter(by_target.values())) if all(name in of for of in by_target.values())]
    means = {name: float(np.mean([of[name]["auc"] for of in by_target.values()])) for name in names}
    tuned = [name for name in names if name not in REFERENCES and np.isfinite(means[name])]
    if not tuned:
        return Finding("No fine-tuning method finished a run on every target.", "", "")
    best = max(tuned, key=means.__getitem__)
    beside = [f"{name} {format_number(means[name])}" for name in REFERENCES if np.isfinite(means.get(name, np.nan))]
    against = f"; beside it {', '.join(beside)}" if beside else ""
    won = (
        f"Over {len(by_target)} targets, {code(best)} has the largest {AUC} of {len(tuned)} methods, "
        f"{format_number(means[best])} in the plain mean over the targets{against}."
    )
    verdicts = [versus_scratch(of[best]) for of in by_target.values()]
    counts = ", ".join(f"{word} scratch on {verdicts.count(word)}" for word in VERDICTS if word in verdicts)
    beaten = sum("zero_shot" in of and bool(of["zero_shot"]["auc"] >= of[best]["auc"]) for of in by_target.values())
    worth = f"{code(best)} is {counts}; the pretrained agent as it is returned at least as much on {beaten}."
    lost = {target: float(of[best]["forgetting"]) for target, of in by_target.items()}
    if not np.isfinite(list(lost.values())).all():
        return Finding(won, worth, "")
    worst = max(lost, key=lost.__getitem__)
    forgotten = (
        f"On the source {code(best)} loses {format_number(float(np.mean(list(lost.values()))))} of return in the plain "
        f"mean over the targets, most after {code(worst)} ({format_number(lost[worst])})."
    )
    return Finding(won, worth, forgotten)


def best_method(rows: Sequence[Row]) -> Row | None:
    """The row with the largest area under the curve that is neither zero_shot nor scratch; None if there is none."""
    tuned = [row for row in rows if row["method"] not in REFERENCES and np.isfinite(row["auc"])]
    return max(tuned, key=lambda row: float(row["auc"]), default=None)


def versus_scratch(row: Row) -> str:
    """`above`, `below`, `level with` or `not compared with` scratch in area, by the paired interval."""
    _, low, high = interval(row, "auc_gain")
    if not (np.isfinite(low) and np.isfinite(high)):
        return "not compared with"
    return "above" if low > 0 else "below" if high < 0 else "level with"


def cautions(rows: Sequence[Row]) -> list[str]:
    """Sentences on what the intervals do not cover."""
    result = []
    tuned = [row for row in rows if row["n_ok"] > 0]
    if any(row["agents"] == 1 for row in tuned):
        result.append("One pretrained agent only: the intervals do not cover another pretraining.")
    few = sorted({row["n_ok"] for row in tuned if row["n_ok"] < FEW_RUNS})
    if few:
        result.append(f"As few as {few[0]} runs in a row of the table: bootstrap intervals of so few are too narrow.")
    compared = sum(versus_scratch(row) != "not compared with" for row in rows)
    if compared > 1:
        result.append(
            f"Each interval stands by itself: of {compared} comparisons with scratch, about one in twenty would "
            "exclude zero even if no method differed from scratch."
        )
    return result


def _number(row: Row, name: str, signed: bool = False) -> str:
    """One measure of a row as text."""
    return format_interval(*interval(row, name), signed=signed)


def _by_target(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """The rows by target and method, in their order."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["target"], {})[row["method"]] = row
    return found


def _worth(best: Row, of_method: Mapping[str, Row]) -> str:
    """Whether the best method was worth its training; empty where it was not compared with scratch."""
    if "zero_shot" in of_method and of_method["zero_shot"]["auc"] >= best["auc"]:
        return "It was not worth it: over this budget no method returned more than the pretrained agent as it is."
    return {
        "above": "It was worth it.",
        "below": "It was not worth it: starting over returned more.",
        "level with": "Whether it was worth it is open: it cannot be told from starting over.",
    }.get(versus_scratch(best), "")


def _scratch(best: Row, of_method: Mapping[str, Row]) -> str:
    """How the best method's area compares with scratch's."""
    if "scratch" not in of_method or versus_scratch(best) == "not compared with":
        return ""
    verdict = {"above": "above scratch", "below": "below scratch: starting over was better"}
    words = verdict.get(versus_scratch(best), "not distinguishable from scratch")
    gain = _number(best, "auc_gain", signed=True)
    return f", against {_number(of_method['scratch'], 'auc')} from scratch; the paired difference is {gain}, {words}"


def _endings(best: Row, of_method: Mapping[str, Row]) -> str:
    """Where the best method, scratch and the untouched policy end."""
    text = f"At the end it returns {_number(best, 'target_return')}"
    if "scratch" in of_method:
        _, low, high = interval(best, "target_return")
        _, other_low, other_high = interval(of_method["scratch"], "target_return")
        text += f", scratch {_number(of_method['scratch'], 'target_return')}"
        if np.isfinite([low, high, other_low, other_high]).all():
            text += " (intervals apart)" if low > other_high or high < other_low else " (intervals overlap)"
    if "zero_shot" in of_method:
        text += f"; the pretrained agent as it is returns {_number(of_method['zero_shot'], 'target_return')}"
    return f"{text}."


def _losers(of_method: Mapping[str, Row]) -> list[str]:
    """Which methods return less than starting over."""
    tuned = [row for method, row in of_method.items() if method not in REFERENCES]
    names = [
        f"{code(row['method'])} ({_number(row, 'auc_gain', True)})" for row in tuned if versus_scratch(row) == "below"
    ]
    return [f"Below scratch: {', '.join(names)}."] if names else []


def _kept(best: Row, tuned: Sequence[Row]) -> str:
    """What the best method forgets of the source, and which forgets least."""
    if not np.isfinite(best["forgetting"]):
        return ""
    lost = best["forgetting"]
    verb = "loses" if lost >= 0 else "gains"
    value, low, high = interval(best, "forgetting")
    shown = format_interval(value, low, high) if lost >= 0 else format_interval(-value, -high, -low)
    text = f"On the source {code(best['method'])} {verb} {shown} of return"
    least = min((row for row in tuned if np.isfinite(row["forgetting"])), key=lambda row: float(row["forgetting"]))
    if least["method"] != best["method"] and format_number(least["forgetting"]) != format_number(lost):
        text += f"; {code(least['method'])} forgets least ({_number(least, 'forgetting', True)})"
    return f"{text}."


def _across(by_target: Mapping[str, Mapping[str, Row]]) -> str:
    """How often each method is above, level with and below scratch."""
    verdicts: dict[str, list[str]] = {}
    for of_method in by_target.values():
        for method, row in of_method.items():
            if method != "scratch" and versus_scratch(row) != "not compared with":
                verdicts.setdefault(method, []).append(versus_scratch(row))
    ordered = sorted(verdicts, key=lambda method: verdicts[method].count("below") - verdicts[method].count("above"))
    parts = [
        f"{code(method)} {verdicts[method].count('above')} / {verdicts[method].count('level with')} / "
        f"{verdicts[method].count('below')}"
        for method in ordered
    ]
    counted = f"Over {len(by_target)} targets, how often each method's AUC is above / level with / below scratch's"
    return f"{counted}: {', '.join(parts)}." if parts else f"{counted}: no method was compared with scratch."
