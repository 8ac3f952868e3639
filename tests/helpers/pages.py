"""A report with every figure, and a reader of pages that holds them to the rules of HTML."""

import re
from html.parser import HTMLParser

import numpy as np

from helpers.synthetic import comparison
from jaxrl_ft.analysis.figures.worlds import CartPole
from jaxrl_ft.analysis.report import html, measurements
from jaxrl_ft.analysis.report.content import About
from jaxrl_ft.analysis.statistics import summary

VOID = {"meta", "input", "br", "wbr", "link", "img", "hr"}
LOADING = {"src", "srcset", "action", "poster", "data", "background"}


class Page(HTMLParser):
    """The elements of a page; raises where one is not closed in its place."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} says {names}"
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open or tag in VOID, f"{tag} cannot close itself"
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]


def assert_sound(text):
    """The page, if its tags are balanced, its ids unique, and nothing in it loads anything."""
    page = Page(text)
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes, _ in page.elements:
        assert not LOADING & set(attributes), f"{tag} {attributes}"
        assert tag not in ("link", "iframe", "object", "embed", "base", "img")
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} has {name}"
            assert not re.search(r"(https?:)?//|javascript:", value or ""), f"{tag} {name} {value}"
            if name == "href" and value.startswith("#"):
                assert value[1:] in ids
    styles = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in styles and "@import" not in styles
    assert text.count("<figcaption>") == len(page.all("figure"))
    for figure in re.findall(r"<figure.*?</figure>", text, re.DOTALL):
        assert re.search(r'<(svg|figure)[^>]* aria-label="[^"]{20,}"', figure)
        assert len(re.search(r"<figcaption>(.*?)</figcaption>", figure, re.DOTALL)[1]) > 60
    return page


def swing(steps, growth):
    """An episode whose pole leans ever more, or ever less."""
    motion = np.zeros((steps + 1, 4))
    motion[:, 0], motion[:, 2] = np.linspace(0, 0.4, steps + 1), 0.05 * growth ** np.arange(steps + 1)
    return measurements.Episode(motion, np.where(np.arange(steps) % 2, 1.0, -1.0))


def animated(target="long-pole", method="soften_probe"):
    physics = {"half_length": 1.0, "x_threshold": 2.4, "theta_threshold": 0.2095, "tau": 0.02}
    return measurements.Animation(target, method, 0, swing(12, 1.15), swing(40, 0.9), CartPole(physics))


def grid(target="long-pole", method="soften_probe"):
    values = (np.array([0.5, 1.0, 2.0]), np.array([5.0, 10.0]))
    after = np.array([[400.0, 410.0], [490.0, 500.0], [300.0, np.nan]])
    return measurements.PhysicsGrid(
        target, method, ("half_length (m)", "force (N)"), values, after / 4, after, 16, 8, (0, 1), (1, 1)
    )


def made(targets=("long-pole", "weak-motor"), divergence=True, **arguments):
    """Runs, curves and steps on these targets."""
    parts = [comparison(target=target, points=4, seed=place, **arguments) for place, target in enumerate(targets)]
    runs, curves, steps = zip(*parts)
    every = [dict(row) for part in runs for row in part]
    for place, row in enumerate(every if divergence else []):
        row[measurements.KL_COLUMN] = 0.0 if row["method"] == "zero_shot" else 0.01 * (1 + place % 7)
    return every, np.concatenate(curves), np.concatenate(steps)


def report(runs, curves, steps, measured=None, files=None, **about):
    rows = summary.summarise(runs, curves, steps, repetitions=20)
    about = About(**{"source": "`CartPole-v1`", "repetitions": 20, **about})
    return html.html_report(rows, runs, curves, steps, about, files=files, measurements=measured)
