"""The page of a scene in a headless Chromium: on a phone, in the dark, and what its drawings do under the pointer."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nsff.report.comparison import Row, compare, write_comparison
from nsff.report.page import run_report
from nsff.scene import Scene

sys.path.insert(0, str(Path(__file__).parents[1] / "viewer"))
from browser import Browser, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here: install it, or name it in NSFF_CHROMIUM")
OPEN = """document.documentElement.style.scrollBehavior = 'auto';
for (const one of document.querySelectorAll('details')) one.open = true;"""
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
BEYOND = """[...document.querySelectorAll('main *')].filter((e) => {
  const box = e.getBoundingClientRect();
  const cut = e.matches('.scroll') && e.scrollWidth > e.clientWidth + 1;
  return cut || (box.width && box.right > innerWidth + 1 && !e.closest('pre'));
}).map((e) => `${e.tagName} ${e.className}`)"""


@pytest.fixture(scope="module")
def browser(complete, config, tmp_path_factory) -> Iterator[Browser]:
    run_report(Scene(complete), config)
    browser = Browser(tmp_path_factory.mktemp("browser") / "profile", 1000, 800)
    try:
        browser.open(complete / "report.html", "document.readyState === 'complete'")
        browser.run(OPEN)
        yield browser
    finally:
        browser.close()


def test_nothing_sticks_out_on_a_phone(browser):
    """At 400 pixels, with everything unfolded, nothing is wider than the page, tables in their boxes included."""
    browser.resize(400, 800)
    try:
        assert browser.run("document.documentElement.scrollWidth") <= 400
        assert browser.run(BEYOND) == []
    finally:
        browser.resize(1000, 800)


def test_two_results_side_by_side_fit_a_phone(browser, complete, tmp_path):
    found = compare(complete, complete)
    long = [Row("canonical.undistorter", "a " * 60, "pycolmap/" * 20)]
    write_comparison(dataclasses.replace(found, settings=long), tmp_path / "both.html")
    browser.resize(400, 800)
    try:
        browser.open(tmp_path / "both.html", "document.readyState === 'complete'")
        assert browser.run("document.documentElement.scrollWidth") <= 400
        assert browser.run(BEYOND) == []
    finally:
        browser.resize(1000, 800)
        browser.open(complete / "report.html", "document.readyState === 'complete'")
        browser.run(OPEN)


def test_charts_tell_their_values(browser):
    """The pointer in the middle of the curve of losses reads the value that history.csv has there."""
    chart = "document.querySelector('#training svg[data-axes]')"
    browser.run(f"{chart}.scrollIntoView({{block: 'center'}})")
    shown = f"{chart}.querySelector('.hover')"
    assert browser.run(f"{shown}.style.display") == "none"
    box = browser.run(
        f"(({{left, top, width, height}}) => [left, top, width, height])({chart}.getBoundingClientRect())"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[2] / 2, y=box[1] + box[3] / 2)
    text = browser.run(f"{shown}.querySelector('text').textContent")
    x, y = (browser.run(f"JSON.parse({chart}.querySelector('[data-y]').dataset.{name})") for name in "xy")
    told = {float(a): float(b) for a, b in zip(x, y, strict=True)}
    words = text.removeprefix("step ").split(": ")
    assert told[float(words[0])] == pytest.approx(float(words[1]), rel=1e-3)
    browser.run(f"{chart}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowRight'}}))")
    assert browser.run(f"{shown}.querySelector('text').textContent") != text or len(x) == 1
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    assert browser.run(f"{shown}.style.display") == "none"


def test_the_drawing_in_space_turns(browser):
    canvas = "document.querySelector('canvas.space')"
    browser.run(f"{canvas}.scrollIntoView({{block: 'center'}}); {DRAWN}")
    before = browser.run(f"{canvas}.toDataURL()")
    browser.run(f"{canvas}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowRight'}}))")
    assert browser.run(f"{canvas}.toDataURL()") != before
    assert browser.run(f"{canvas}.width") > 300


def test_it_is_dark_where_the_reader_wants_it(browser):
    light = browser.screenshot().mean()
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = browser.screenshot().mean()
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert dark < light - 60


def test_nothing_was_complained_about(browser):
    assert browser.console == []
    assert all(url.startswith(("file:", "data:")) for url in browser.requests)
    assert np.isfinite(browser.run("document.body.scrollHeight"))
