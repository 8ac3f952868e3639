"""The page's script: its sorting by Node where there is one, and the whole page by Chromium where there is one."""

import html
import json
import re
import shutil
import subprocess

import pytest
from helpers.pages import animated, grid, made, report

from jaxrl_ft.analysis.report.html import PARTS
from jaxrl_ft.analysis.report.measurements import Measurements

NODE = shutil.which("node")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_node = pytest.mark.skipif(NODE is None, reason="no Node")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")


def evaluate(expression):
    """The value of an expression over the script's functions."""
    code = f"const s = require({str(PARTS / 'script.js')!r}); console.log(JSON.stringify({expression}))"
    done = subprocess.run([NODE, "-e", code], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


@needs_node
@pytest.mark.parametrize(
    ("values", "ascending"),
    [
        (["10", "9.5", "-3", "1e3"], ["-3", "9.5", "10", "1e3"]),
        (["b", "a", "C"], ["C", "a", "b"]),
        (["2", "", "1", ""], ["1", "2", "", ""]),
    ],
)
def test_numbers_sort_by_size_text_by_letter_and_what_is_missing_stays_last(values, ascending):
    found = evaluate(f"[false, true].map((down) => s.sorted({json.dumps(values)}, (v) => v, down))")
    known = [value for value in ascending if value]
    assert found == [ascending, known[::-1] + [""] * (len(values) - len(known))]


@needs_node
def test_equal_values_keep_their_order_and_rows_are_found_by_all_words():
    rows = [["a", "1"], ["b", "0"], ["c", "1"], ["d", "0"]]
    found = evaluate(f"[false, true].map((down) => s.sorted({json.dumps(rows)}, (v) => v[1], down).map((v) => v[0]))")
    assert found == [["b", "d", "a", "c"], ["a", "c", "b", "d"]]
    queries = ["", "lo", "LORA weak", "weak lora", "weak full"]
    found = evaluate(f"{json.dumps(queries)}.map((query) => s.matches('lora weak-motor', query))")
    assert found == [True, True, True, True, False]


@needs_node
def test_states_between_steps_are_linear_and_the_last_one_stays():
    assert evaluate("[0, 0.5, 1, 1.25, 2, 7].map((t) => s.stateAt([1, 3, 7], t))") == [1, 2, 3, 4, 7, 7]


@pytest.mark.slow
@needs_chromium
def test_a_browser_sorts_filters_and_plays(tmp_path):
    steps = """
      const result = {}, head = (n) => document.querySelectorAll('table.sortable th button')[n];
      const lines = () => [...document.querySelector('table.sortable').tBodies[0].rows];
      const column = (n) => lines().map((line) => line.cells[n].dataset.v);
      head(3).click(); result.down = column(3).map(Number); head(3).click(); result.up = column(3).map(Number);
      head(4).click(); result.last = column(4).slice(-2);
      const search = document.querySelector('input[type=search]');
      search.value = 'lora weak'; search.dispatchEvent(new Event('input'));
      result.found = lines().filter((line) => !line.hidden).map((line) => line.dataset.names);
      const slider = document.querySelector('input[type=range]'), scene = document.querySelector('.scene');
      slider.value = 40; slider.dispatchEvent(new Event('input'));
      result.over = scene.classList.contains('over');
      result.pole = scene.querySelector('.swing').getAttribute('transform');
      result.errors = window.failures;
      const out = document.createElement('pre'); out.id = 'result'; out.textContent = JSON.stringify(result);
      document.body.append(out);
    """
    runs, curves, curve_steps = made(runs=3, agents=3)
    page = report(runs, curves, curve_steps, Measurements([grid()], [animated()]))
    watch = "<script>window.failures = []; window.onerror = (message) => window.failures.push(message);</script>"
    page = page.replace("<head>", f"<head>{watch}").replace("</body>", f"<script>{steps}</script></body>")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
               "--dump-dom", (tmp_path / "page.html").as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    result = json.loads(html.unescape(re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    assert result["errors"] == []
    assert result["down"] == sorted(result["down"], reverse=True) and result["up"] == sorted(result["up"])
    assert result["last"] == ["", ""]
    assert result["found"] == ["lora weak-motor"]
    assert result["over"] and float(result["pole"].split("rotate(")[1][:-1]) == pytest.approx(15.33, abs=0.05)
