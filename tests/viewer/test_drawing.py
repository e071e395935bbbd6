"""The page draws the same by the graphics processor (WebGL2) and by the processor alone, plain or with WebAssembly."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nsff.viewer.html import scene_page

sys.path.insert(0, str(Path(__file__).parent))
from browser import Browser, chromium
from scenes import content

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here: install it, or name it in NSFF_CHROMIUM")
VIEWS = {
    "all": "clipCamera(); scenePage.seek(3.3)",
    "depth": "setLayer('depth')",
    "flow": "setLayer('flow')",
    "features": "setLayer('features')",
    "objects": "setLayer('objects')",
    "moving": "setLayer('moving')",
    "tint": "setLayer('all'); scenePage.setTint(2, true)",
    "hidden": "setTint(2, false); scenePage.setShown(2, false)",
    "outside": "setShown(2, true); scenePage.overview(); scenePage.setOverlay('path', false)",
}
NO_WEBGL = """const own = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === "webgl2" ? null : own.call(this, kind, ...rest);
};"""
KERNELS = """(() => {
  const source = document.getElementById("worker-source").textContent.replace(/onmessage = [^]*$/, "");
  const Kernel = new Function(source + "; return Kernel")(), width = 40, height = 30;
  const [fast, plain] = [false, true].map((own) => {
    const kernel = new Kernel(own);
    kernel.clear(width * height);
    for (let i = 0; i < 60; i++) {
      const xx = 1 + (i % 7) * 5, yy = 0.5 + (i % 5) * 9, xy = 0.8 * Math.sqrt(xx * yy) * Math.sin(i);
      const area = xx * yy - xy * xy, x = (i * 29) % 50 - 5.3;
      const opacity = 0.05 + 0.9 * ((i * 37) % 11) / 11, reach = 2 * Math.log(255 * opacity), y = (i * 13) % 36 - 3;
      const high = Math.sqrt(reach * yy), colour = [i % 2, 0.5, (i % 3) / 2];
      const first = Math.max(0, Math.ceil(y - high - 0.5)), last = Math.min(height - 1, Math.floor(y + high - 0.5));
      kernel.run(first, last, width, 0, x, y, 1 / yy, yy / area, xy / yy, reach, opacity, ...colour);
    }
    return kernel;
  });
  const compiled = Object.hasOwn(fast, "run") && !Object.hasOwn(plain, "run");
  return {compiled, fast: Array.from(fast.light), plain: Array.from(plain.light)};
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "scene.html").write_text(scene_page(content()), encoding="utf-8")
    browser = Browser(folder / "profile", 700, 380)
    browser.page = folder / "scene.html"  # type: ignore[attr-defined]
    try:
        yield browser
    finally:
        browser.close()


def opened(browser: Browser, choice: str = "") -> str:
    """Opens the page anew, at rest; returns how it draws."""
    browser.open("about:blank", "true")
    browser.open(browser.page.as_uri() + choice)  # type: ignore[attr-defined]
    browser.run("scenePage.player.playing = false; document.getElementById('where').hidden = true")
    return browser.run("scenePage.drawing")


def test_both_ways_of_drawing_agree(browser):
    """Where the graphics processor rounds after each of many Gaussians, the processor does not."""
    pictures: dict[str, list[np.ndarray]] = {name: [] for name in VIEWS}
    for drawing in ("cpu", "gpu"):
        assert opened(browser, f"#draw={drawing}") == drawing
        for name, code in VIEWS.items():
            browser.run(f"scenePage.{code}; 0")
            browser.run("scenePage.whenDrawn()")
            pictures[name].append(browser.screenshot()[50:320, :400].astype(float))
    for name, (ours, theirs) in pictures.items():
        difference = np.abs(ours - theirs)
        assert np.ptp(ours) > 50, name
        assert difference.mean() < 1, name
        assert np.percentile(difference, 99.5) < 12, name
    assert np.abs(pictures["all"][0] - pictures["hidden"][0]).max() > 50  # the views differ


def test_the_fast_form_of_the_kernel_is_the_plain_one(browser):
    """WebAssembly counts in single precision: a place in the table may be the next one."""
    opened(browser)
    found = browser.run(KERNELS)
    assert found["compiled"]
    fast, plain = np.array(found["fast"]), np.array(found["plain"])
    assert (plain.reshape(-1, 4)[:, 3] < 0.5).mean() > 0.3
    assert np.abs(fast - plain).max() < 5e-3


def test_software_that_imitates_a_graphics_processor_is_not_asked(browser):
    """The renderer here is SwiftShader."""
    assert opened(browser) == "cpu"


def test_it_is_drawn_without_webgl(browser):
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=NO_WEBGL)["identifier"]
    try:
        assert opened(browser) == "cpu"
        browser.run("scenePage.whenDrawn()")
        assert np.ptp(browser.screenshot()[50:320, :400]) > 100
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    assert browser.console == []


def test_what_moves_stays_while_its_order_is_old(browser, tmp_path):
    """A slow machine sorts later than it draws: what is seen for a short time only must not vanish meanwhile."""
    own = content()
    count = len(own.splats.moving)
    brief = replace(own.splats.moving, reference=np.full(count, 3.0), span=np.full(count, 0.4))
    path = tmp_path / "scene.html"
    path.write_text(scene_page(replace(own, splats=replace(own.splats, moving=brief))), encoding="utf-8")
    browser.open("about:blank", "true")
    browser.open(path.as_uri() + "#draw=gpu")
    browser.run("scenePage.player.playing = false; scenePage.clipCamera(); scenePage.seek(3); 0")
    browser.run("scenePage.whenDrawn()")
    red = """(() => { const {gl} = scenePage.renderer, {width, height} = scenePage.canvas;
      const data = new Uint8Array(4 * width * height);
      scenePage.measuring = true; scenePage.player.seek(6); scenePage.draw();
      gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
      let n = 0; for (let i = 0; i < data.length; i += 4) n += data[i] > 180 && data[i + 1] < 90; return n; })()"""
    assert browser.run(red) > 100
