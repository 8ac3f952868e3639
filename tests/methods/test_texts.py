"""What users read of methods and their parts: a line each that says what the method does, in words of the field."""

import re

import pytest

import jaxrl_ft as ft
from jaxrl_ft.methods.catalogue import AXES

TABLES = {**AXES, "method": ft.METHODS, "schedule": ft.SCHEDULES}


@pytest.mark.parametrize("table", TABLES)
def test_every_line_says_what_is_done_to_the_pretrained_agent(table):
    texts = {name: TABLES[table].text(name) for name in TABLES[table]}
    things = {ft.OPTIMIZERS.text(name) for name in ft.OPTIMIZERS} | {ft.SCHEDULES.text(name) for name in ft.SCHEDULES}
    for name, text in texts.items():
        assert not re.search(r"\bbases?\b", text), "the code's word for the pretrained agent"
        assert re.match(r"[a-z]+s\b", text) or text in things, (name, text)
        assert "|" not in text and "\n" not in text, "it stands in a Markdown table"


def test_every_penalty_says_what_it_penalises():
    assert all(ft.PENALTIES.text(name).startswith("penalises ") for name in ft.PENALTIES)
