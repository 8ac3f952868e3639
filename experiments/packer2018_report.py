"""The tables of experiments/packer2018.py, and how a repetition chooses among the settings of a recipe."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxrl_ft.analysis.report.tables import markdown_table

RESULTS = Path(__file__).parent / "results"
PUBLISHED = {
    "A2C, feed-forward": ((100.0, 0.0), (100.0, 0.0), (93.63, 9.30)),
    "A2C, recurrent": ((100.0, 0.0), (100.0, 0.0), (83.00, 11.65)),
    "PPO, feed-forward": ((100.0, 0.0), (100.0, 0.0), (86.20, 12.60)),
    "PPO, recurrent": ((65.58, 27.81), (70.80, 21.02), (45.00, 18.06)),
    "EPOpt-A2C, feed-forward": ((14.74, 17.14), (43.06, 3.48), (10.48, 9.41)),
    "EPOpt-A2C, recurrent": ((57.00, 4.50), (55.88, 3.97), (32.53, 1.47)),
    "EPOpt-PPO, feed-forward": ((99.98, 0.04), (99.46, 0.79), (73.58, 12.19)),
    "EPOpt-PPO, recurrent": ((29.94, 31.58), (20.22, 17.83), (14.55, 20.09)),
    "RL2-A2C, recurrent": ((20.78, 39.62), (0.06, 0.12), (0.12, 0.23)),
    "RL2-PPO, recurrent": ((87.20, 12.95), (54.22, 34.85), (51.00, 14.60)),
}
"""Default, Interpolation and Extrapolation, mean and standard deviation of 5 runs: table 4 of arXiv:1810.12282."""
OURS = {
    "PPO of this library": ["PPO"],
    "+ normalised observations": ["normalised"],
    "+ gamma 0.95": ["normalised, gamma 0.95"],
    "+ entropy bonus 0.01": ["normalised, gamma 0.95, entropy"],
    "PPO, which of these four chosen too": [
        "PPO", "normalised", "normalised, gamma 0.95", "normalised, gamma 0.95, entropy",
    ],
    "PPO with the paper's settings": ["as published"],
    "PPO, which of these five chosen too": [
        "PPO", "normalised", "normalised, gamma 0.95", "normalised, gamma 0.95, entropy", "as published",
    ],
}  # fmt: skip
"""The recipes from whose settings a repetition chooses."""
ACTS = {"sampled": "greedy", "greedy": "sampled"}
"""Each way of acting and the other."""
EQUALS = {"the other way of acting": "validation_{other}", "harder starts": "harder_{acts}"}
"""What tells settings apart that are equal in validation, and its column."""
TESTS = ("DD", "RR", "DR", "DE", "RE")

Rows = list[dict[str, str]]
Metrics = dict[str, np.ndarray]


def best(rows: Rows, acts: str, equals: str) -> Rows:
    """The rows that are first by validation in this way of acting, then by what tells equals apart."""
    columns = f"validation_{acts}", EQUALS[equals].format(acts=acts, other=ACTS[acts])
    keys = [tuple(float(row[column]) for column in columns) for row in rows]
    return [row for row, key in zip(rows, keys) if key == max(keys)]


def metrics(rows: Rows, recipes: Sequence[str], acts: str, equals: str) -> Metrics:
    """Default, Interpolation, Extrapolation and what they are made of, of every repetition, [S] each in percent.

    Where n settings of one version are equally good, each is the one with probability 1 / n, and the numbers are
    expectations; those of D and of R are chosen independently.
    """
    found = [row for row in rows if row["recipe"] in recipes]
    columns: dict[str, list[float]] = {name: [] for name in (*TESTS, "extrapolation")}
    for repetition in sorted({int(row["repetition"]) for row in found}):
        chosen = {}
        for version in "DR":
            own = [row for row in found if int(row["repetition"]) == repetition and row["trained_on"] == version]
            first = best(own, acts, equals)
            chosen[version] = [{tested: float(row[f"{tested}_{acts}"]) for tested in "DRE"} for row in first]
        for name in TESTS:
            columns[name].append(float(np.mean([row[name[1]] for row in chosen[name[0]]])))
        pairs = itertools.product(chosen["D"], chosen["R"])
        columns["extrapolation"].append(float(np.mean([np.cbrt(d["R"] * d["E"] * r["E"]) for d, r in pairs])))
    return {name: 100.0 * np.array(column) for name, column in columns.items()}


def finished(rows: Rows, recipes: Sequence[str]) -> bool:
    return all({r["trained_on"] for r in rows if r["recipe"] == recipe} >= {"D", "R"} for recipe in recipes)


def spread(values: np.ndarray) -> str:
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def comparison(rows: Rows, controllers: Rows) -> str:
    """The published table with ours below it."""
    headings = [
        "algorithm",
        "acts",
        "equals told apart by",
        "Default",
        "Interpolation",
        "Extrapolation",
        "DR",
        "DE",
        "RE",
    ]
    lines = [
        [f"{name} (published)", "sampled", "", *(f"{mean:.2f} ± {std:.2f}" for mean, std in numbers), "", "", ""]
        for name, numbers in PUBLISHED.items()
    ]
    for equals, (name, recipes), acts in itertools.product(EQUALS, OURS.items(), ACTS):
        if finished(rows, recipes):
            ours = metrics(rows, recipes, acts, equals)
            reached = (spread(ours[key]) for key in ("DD", "RR", "extrapolation", *TESTS[2:]))
            lines.append([name, acts, equals, *reached])
    for row in controllers:
        d, r, e = (100.0 * float(row[version]) for version in "DRE")
        numbers = (d, r, np.cbrt(r * e * e), r, e, e)
        lines.append([row["controller"], "", "", *(f"{number:.2f}" for number in numbers)])
    return markdown_table(headings, lines, text_columns=3)


def every_setting(rows: Rows) -> str:
    """Every setting that was tried, whether chosen or not, as means over the repetitions."""
    names = [f"{test} {acts}" for acts in ACTS for test in ("validation", "harder", "D", "R", "E")]
    headings = ["recipe", "learning rate", "trained on", *names, "worst E greedy", "episodes"]
    lines = []
    for cell in dict.fromkeys((row["recipe"], row["setting"], row["trained_on"]) for row in rows):
        own = [row for row in rows if (row["recipe"], row["setting"], row["trained_on"]) == cell]
        table = {key: np.array([float(row[key]) for row in own]) for key in own[0] if key.endswith(tuple(ACTS))}
        means = [100.0 * table[name.replace(" ", "_")].mean() for name in names]
        episodes = np.mean([float(row["episodes"]) for row in own])
        worst = 100.0 * table["E_greedy"].min()
        lines.append([*cell, *(f"{mean:.1f}" for mean in means), f"{worst:.1f}", f"{episodes:,.0f}"])
    return markdown_table(headings, lines, text_columns=3)


def beyond(rows: Rows, finetunes: Rows) -> str:
    """What is not comparable with the published table: agents that have trained on extreme physics."""
    lines = []
    wide = [row for row in rows if row["trained_on"] == "W"]
    for acts in ACTS if wide else ():
        chosen = [
            best([row for row in wide if row["repetition"] == r], acts, "the other way of acting")
            for r in sorted({w["repetition"] for w in wide})
        ]
        reached = [[np.mean([100.0 * float(row[f"{v}_{acts}"]) for row in equals]) for equals in chosen] for v in "DRE"]
        lines.append([f"trained on the outer ranges, {acts}", *(spread(np.array(values)) for values in reached)])
    for method in dict.fromkeys(row["method"] for row in finetunes):
        own = [row for row in finetunes if row["method"] == method]
        means = {when: by_repetition(own, when) for when in ("before", "after")}
        steps = int(own[0]["env_steps"])
        tasks = len({row["task"] for row in own})
        what = f"trained on D, fine-tuned to each of {tasks} tasks by `{method}`, {steps:,} env steps, greedy"
        lines.append([what, "", "", f"{spread(means['after'])} (before: {spread(means['before'])})"])
    return markdown_table(["agents", "D", "R", "E"], lines)


def by_repetition(rows: Rows, column: str) -> np.ndarray:
    """The mean over tasks of every repetition, [S] in percent."""
    repetitions = sorted({int(row["repetition"]) for row in rows})
    values = [[float(row[column]) for row in rows if int(row["repetition"]) == r] for r in repetitions]
    return 100.0 * np.mean(values, axis=1)


def write(rows: Rows, controllers: Rows, finetunes: Rows) -> None:
    """Writes results/packer2018.md and results/packer2018.json from what is finished."""
    ours = {
        name: {
            equals: {
                acts: {key: values.round(4).tolist() for key, values in metrics(rows, recipes, acts, equals).items()}
                for acts in ACTS
            }
            for equals in EQUALS
        }
        for name, recipes in OURS.items()
        if finished(rows, recipes)
    }
    numbers = {"published": PUBLISHED, "ours": ours, "controllers": controllers, "finetunes": finetunes}
    (RESULTS / "packer2018.json").write_text(json.dumps(numbers, indent=1) + "\n")
    parts = [TEXT, comparison(rows, controllers), BEYOND, beyond(rows, finetunes), SETTINGS, every_setting(rows)]
    (RESULTS / "packer2018.md").write_text("\n".join(parts))


TEXT = """# Generalisation on CartPole by the protocol of Packer et al. 2018

Success in percent, mean ± standard deviation over repetitions: 5 in the paper, 16 here. Default is DD, Interpolation
RR, Extrapolation (DR DE RE)^(1/3), where XY is the success on version Y of agents trained on X. The protocol, and
where it differs from the paper's, stand in `experiments/packer2018.py`. A repetition chooses settings on the version
it trains on alone. Of settings that are equal there, it keeps those that are best in the other way of acting, or those
that are best on the same draws from harder starts. But for the paper's settings, what it could choose from was found by
looking at E with agents of other seeds; all of it is in the last table. The two regulators know physics, the default's
or each task's own. For them and for random actions, which train on nothing, DR, DE and RE are those on R, E and E.
"""
BEYOND = """
## Beyond the protocol

Not comparable with the table above: these agents have trained on extreme physics.
"""
SETTINGS = """
## Every setting

Means over the 16 repetitions, whether a repetition chose the setting or not. W is the box of the outer ranges.
"""
