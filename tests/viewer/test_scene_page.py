"""The page in a headless Chromium, opened from disk: what it draws, and what its buttons and files do."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nsff.paths import read_path_file
from nsff.viewer.html import scene_page

sys.path.insert(0, str(Path(__file__).parent))
from browser import Browser, chromium
from scenes import FRAMES, HEIGHT, WIDTH, cameras, content

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here: install it, or name it in NSFF_CHROMIUM")
STILL = "scenePage.player.playing = false; scenePage.clipCamera(); scenePage.setLayer('all');"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("browser")
    path = folder / "scene.html"
    path.write_text(scene_page(content()), encoding="utf-8")
    browser = Browser(folder / "profile", 800, 400)
    try:
        browser.open(path)
        yield browser
    finally:
        browser.close()


def picture(browser: Browser, code: str = "") -> np.ndarray:
    """The canvas after some code, once it is sorted and drawn in full size: (H,W,3) in [0, 1]."""
    browser.run(f"{STILL} {code};")
    browser.run("scenePage.whenDrawn()")
    box = "document.getElementById('picture').getBoundingClientRect()"
    sides = browser.run(f"['left', 'top', 'right', 'bottom'].map((side) => {box}[side] * devicePixelRatio)")
    left, top, right, bottom = map(int, sides)
    return browser.screenshot()[top:bottom, left:right].astype(np.float32) / 255


def red(image: np.ndarray) -> np.ndarray:
    return (image[..., 0] > 0.7) & (image[..., 1] < 0.35)


def blue(image: np.ndarray) -> np.ndarray:
    return (image[..., 2] > 0.7) & (image[..., 0] < 0.35)


def place(mask: np.ndarray) -> float:
    """The mean column of a mask, in [0, 1]."""
    return float(np.nonzero(mask)[1].mean() / mask.shape[1])


def test_it_opens_from_disk_without_a_word_and_without_the_network(browser):
    assert browser.console == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in browser.requests)


def test_what_is_drawn_is_where_the_cameras_see_it(browser):
    """The red ball at frame 0 is at x = -0.8 + 0.1 before camera 0, at depth 2.5, and covers the wall behind it."""
    image = picture(browser, "scenePage.seek(0)")
    sizes = "['Width', 'Height'].map((side) => scenePage.canvas['client' + side])"
    left, _, width, _ = browser.run(f"scenePage.viewpoint.frame(...{sizes})")
    expected = (left + width * (140 * (-0.8 + 0.1) / 2.5 + WIDTH / 2) / WIDTH) / image.shape[1]
    assert place(red(image)) == pytest.approx(expected, abs=0.015)
    assert 0.01 < red(image).mean() < 0.2
    assert blue(image).any()


def test_time_moves_what_moves_and_nothing_else(browser):
    first, last = (picture(browser, f"scenePage.stop(0); scenePage.seek({t})") for t in (0, FRAMES - 1))
    assert place(red(last)) - place(red(first)) > 0.3
    changed = np.abs(first - last).max(axis=2) > 0.1
    assert (changed & ~(red(first) | red(last))).mean() < 0.03


def test_hidden_object_leaves_its_background(browser):
    behind = picture(browser, "scenePage.seek(3); scenePage.setShown(2, true)")
    without = picture(browser, "scenePage.setShown(2, false)")
    browser.run("scenePage.setShown(2, true)")
    assert red(behind).any() and not red(without).any()
    assert blue(without).sum() == pytest.approx(blue(behind).sum(), rel=0.02)
    wall = without[red(behind)]
    assert np.ptp(wall, axis=1).max() < 0.1  # grey, as the wall is
    assert 0.25 < wall.mean() < 0.8
    assert not np.allclose(wall.mean(axis=1).min(), wall.mean(axis=1).max(), atol=0.2)  # both its colours


@pytest.mark.slow
def test_isolated_object_is_alone(browser):
    alone = picture(browser, "scenePage.seek(3); scenePage.isolate(2)")
    browser.run("scenePage.isolate(2)")
    assert red(alone).any() and not blue(alone).any()
    assert (np.abs(alone[5, 5] - alone[~red(alone)].reshape(-1, 3)).max(axis=1) > 0.05).mean() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "red_ball", "blue_ball"), [("still", False, True), ("moving", True, False)])
def test_layers_of_what_rests_and_moves(browser, layer, red_ball, blue_ball):
    image = picture(browser, f"scenePage.seek(3); scenePage.setLayer('{layer}')")
    assert red(image).any() == red_ball
    assert blue(image).any() == blue_ball


@pytest.mark.slow
def test_layers_as_colours(browser):
    """Depth: both balls alike and nearer than the wall. Scene flow: the ball to the right alone has a colour."""
    place_of = {name: mask(picture(browser, "scenePage.seek(3)")) for name, mask in (("red", red), ("blue", blue))}
    depth, flow, features, objects = (
        picture(browser, f"scenePage.setLayer('{layer}')") for layer in ("depth", "flow", "features", "objects")
    )
    inside = {name: np.median(depth[mask], axis=0) for name, mask in place_of.items()}
    assert np.allclose(inside["red"], inside["blue"], atol=0.1)
    assert np.abs(inside["red"] - depth[5, 5]).max() > 0.4
    assert np.ptp(np.median(flow[place_of["red"]], axis=0)) > 0.3
    assert np.ptp(np.median(flow[place_of["blue"]], axis=0)) < 0.05
    assert blue(features)[place_of["red"]].mean() > 0.8  # feature colours of the scene are the colours reversed
    assert np.allclose(np.median(objects[place_of["red"]], axis=0), [31 / 255, 119 / 255, 180 / 255], atol=0.05)


@pytest.mark.slow
def test_tint_paints_an_object(browser):
    place_of = red(picture(browser, "scenePage.seek(3)"))
    tinted = picture(browser, "scenePage.setTint(2, true)")
    browser.run("scenePage.setTint(2, false)")
    assert np.median(tinted[place_of], axis=0)[2] > 0.35


@pytest.mark.slow
def test_camera_follows_an_object(browser):
    before, after = (picture(browser, code) for code in (
        "scenePage.seek(1); scenePage.goAlong(2)", "scenePage.seek(1); scenePage.goAlong(2); scenePage.seek(6)"
    ))  # fmt: skip
    browser.run("scenePage.clipCamera()")
    assert place(red(after)) == pytest.approx(place(red(before)), abs=0.01)
    assert place(blue(after)) < place(blue(before)) - 0.2


@pytest.mark.slow
def test_input_frame_is_wiped_over_the_rendering(browser):
    """The frames of this scene are green; the border goes where it is put."""
    image = picture(browser, "scenePage.seek(3); scenePage.setCompare('wipe'); scenePage.setWipe(0.3)")
    wide = picture(browser, "scenePage.setWipe(0.7)")
    browser.run("scenePage.setCompare('off')")
    middle = image.shape[0] // 3
    green = [(row[:, 1] > 0.6) & (row[:, 0] < 0.3) for row in (image[middle], wide[middle])]
    assert green[0].mean() == pytest.approx(0.3, abs=0.03)
    assert green[1].mean() == pytest.approx(0.7, abs=0.03)


@pytest.mark.slow
def test_dragging_turns_the_camera(browser):
    before = picture(browser, "scenePage.seek(3)")
    browser.run("scenePage.clipCamera(); scenePage.player.playing = false")
    for kind, x in (("mousePressed", 250), ("mouseMoved", 300), ("mouseReleased", 300)):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=200, button="left", buttons=1, clickCount=1)
    assert browser.run("scenePage.viewpoint.mode") == "free"
    browser.run("scenePage.whenDrawn()")
    after = browser.screenshot()
    assert np.abs(after[60:300, :400] / 255.0 - before[:240, :400]).max() > 0.3


def test_key_frames_are_saved_and_read_back(browser, tmp_path):
    """The file that the button saves is a path of the renderer: same cameras, times and length."""
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.run(f"{STILL} scenePage.seek(1); scenePage.addKeyFrame(); scenePage.seek(6); scenePage.addKeyFrame()")
    browser.run("scenePage.moveKeyFrame(1, 1.5); document.getElementById('save-path').click()")
    file, end = tmp_path / "balls_path.json", time.monotonic() + 10
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    path = read_path_file(file, HEIGHT, WIDTH, frame_rate=10, n_frames=FRAMES)
    assert len(path) == 16  # a second and a half at ten a second, both ends
    assert path.times[[0, -1]] == pytest.approx([1, 6])
    assert np.allclose(path.cameras.world_to_camera[[0, -1]], cameras().world_to_camera[[1, 6]], atol=1e-6)
    assert np.allclose(path.cameras.intrinsics[0], cameras().intrinsics[1], atol=1e-6)
    browser.run(f"scenePage.keyFrames.read({file.read_text()}); 0")
    assert json.loads(browser.run("JSON.stringify(scenePage.keyFrames)")) == json.loads(file.read_text())


@pytest.mark.slow
def test_phone(browser):
    """At 390 pixels nothing sticks out to the side, and the picture is drawn."""
    browser.resize(390, 844, phone=True)
    try:
        image = picture(browser, "scenePage.seek(3)")
        assert browser.run("document.documentElement.scrollWidth") <= 390
        assert red(image).any()
    finally:
        browser.resize(800, 400)


def test_nothing_was_complained_about(browser):
    assert browser.console == []
