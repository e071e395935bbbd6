"""The live viewer: pictures by the model, over HTTP, on this machine alone; and its page in a headless Chromium."""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from nsff.cli import main
from nsff.config import resolve_scene
from nsff.errors import NsffError
from nsff.models.registry import register
from nsff.training.run import run_train
from nsff.viewer import live_scene
from nsff.viewer.live_scene import KEPT, Asked, LiveScene
from nsff.viewer.live_server import LiveServer

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from browser import Browser, chromium


@pytest.fixture
def live(tiny_scene) -> LiveScene:
    register("toy_points", "toy_points")
    own = {
        "input": {"path": "x"}, "model": {"kind": "toy_points", "options": {"count": 60}},
        "train": {"steps": 2, "steps_for_frames": 0, "device": "cpu", "log_every": 2, "tensorboard": False},
    }  # fmt: skip
    scene = tiny_scene(3)
    run_train(scene, resolve_scene("tiny", own, "demo", {}))
    return LiveScene(scene, "cpu")


@pytest.fixture
def server(live) -> Iterator[LiveServer]:
    with LiveServer(live) as server:
        yield server


def wish(live: LiveScene, frame: int = 1, **changes) -> dict:
    """The picture of a frame's own camera, as the page asks for it."""
    view = live.page_data()["cameras"][frame]
    height, width = live.scene.size
    return {"rows": view["rows"], "lens": view["lens"], "width": width, "height": height, "time": frame, **changes}


def post(server: LiveServer, asked: dict, host: str | None = None) -> np.ndarray:
    headers = {"Host": host} if host else {}
    request = urllib.request.Request(server.url + "picture", json.dumps(asked).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["Content-Type"] == "image/jpeg"
        return cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_a_picture_is_the_models_own(live, server):
    """What comes over HTTP is what the renderer draws for that camera and time, but for the JPEG."""
    K, E = live.scene.cameras.intrinsics[1], live.scene.cameras.world_to_camera[1]
    height, width = live.scene.size
    expected = live.renderer.render_between(K, E, height, width, 1.0).numpy() * 255
    found = post(server, wish(live))
    assert found.shape == (height, width, 3)
    assert np.abs(found - expected).mean() < 8
    assert np.abs((found - expected).mean(axis=(0, 1))).max() < 2
    other = live.renderer.render_between(K, E, height, width, 1.0).numpy()[:, ::-1] * 255
    assert np.abs(found - other).mean() > 2 * np.abs(found - expected).mean()
    small = post(server, wish(live, width=width // 2, height=height // 2))
    assert small.shape == (height // 2, width // 2, 3)


@pytest.mark.parametrize("layer", ["depth", "blend", "features"])
def test_layers(live, layer):
    height, width = live.scene.size
    picture = live.picture(Asked(**wish(live, layer=layer)))
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    assert layer in live.layers


def test_near_is_red_and_far_blue(live):
    height, width = live.scene.size
    near, far = np.median(live.scene.cameras.near_far, axis=0)
    depth = np.full((height, width), far, np.float32)
    depth[:, : width // 2] = near
    red, _, blue = live._shown("depth", depth)[:, : width // 2].reshape(-1, 3).mean(0)
    assert red > 100 > blue
    red, _, blue = live._shown("depth", depth)[:, width // 2 :].reshape(-1, 3).mean(0)
    assert blue > red


def test_what_is_left_out_is_asked_of_the_scene(live, monkeypatch):
    """A renderer for each choice is made once, and few are kept."""
    asked = []
    monkeypatch.setattr(live_scene, "left_out_of", lambda scene, without: asked.append(without))
    monkeypatch.setattr(live, "_without", {})
    for without in ([2, 1], [1, 2, 2], "moving", [1, 2], [], [3], [4]):
        live.picture(Asked(**wish(live, width=8, height=8, without=without)))
    assert asked == [(1, 2), "moving", (), (3,), (4,)]
    assert len(live._without) == KEPT


def test_wrong_wishes_are_told(live, server):
    for changes in ({"width": 100_000}, {"rows": [[1, 2]]}, {"layer": "none"}, {"time": float("nan")}, {"extra": 1}):
        with pytest.raises(urllib.error.HTTPError) as told:
            post(server, wish(live, **changes))
        assert told.value.code == 400
    with pytest.raises(NsffError):  # this scene has no objects
        live.picture(Asked(**wish(live, without=[9])))
    assert post(server, wish(live)).any()  # and it goes on
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(server.url + "secret", timeout=20)
    assert told.value.code == 404


def test_other_hosts_are_not_answered(live, server):
    """A web site that has its name lead to this machine is refused."""
    with pytest.raises(urllib.error.HTTPError) as told:
        post(server, wish(live), host="example.org")
    assert told.value.code == 403
    assert server.host == "127.0.0.1"
    assert post(server, wish(live), host=f"localhost:{server.port}").any()


def test_it_stops_and_gives_its_port_back(live):
    with LiveServer(live) as first, pytest.raises(OSError):
        LiveServer(live, port=first.port)
    with LiveServer(live, port=first.port) as again:
        page = urllib.request.urlopen(again.url, timeout=20).read().decode()
    assert not first._thread.is_alive()
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == ["data:,"]
    assert "http" not in re.sub(r"http-equiv", "", page)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(again.url, timeout=2)


def test_the_command_serves_until_it_is_interrupted(live, monkeypatch, capsys):
    """The address is said, Ctrl-C ends with its usual status, and a port that is taken is an error with a remedy."""
    opened = []

    def interrupted(server: LiveServer) -> None:
        opened.append(urllib.request.urlopen(server.url, timeout=20).status)
        raise KeyboardInterrupt

    monkeypatch.setattr(live_scene, "LiveScene", lambda scene, device: live)
    monkeypatch.setattr(LiveServer, "wait", interrupted)
    assert main(["view", str(live.scene.root), "--no-browser"]) == 130
    said = capsys.readouterr().out
    assert re.match(r"http://127\.0\.0\.1:\d+/  \(tiny, drawn on cpu; Ctrl-C stops\)", said)
    assert opened == [200]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(said.split()[0], timeout=2)
    with LiveServer(live) as other:
        assert main(["view", str(live.scene.root), "--no-browser", "--port", str(other.port)]) == 1
    assert "choose another one" in capsys.readouterr().err


@pytest.mark.skipif(chromium() is None, reason="no Chromium here: install it, or name it in NSFF_CHROMIUM")
def test_the_page_shows_what_the_server_draws(live, server, tmp_path):
    """At rest in full size, small while time runs; layers and the camera are asked for."""
    browser = Browser(tmp_path / "profile", 500, 300)
    try:
        browser.open(server.url, "window.livePage?.drawn?.scale === 1")
        size = browser.run("[livePage.canvas.width, livePage.canvas.clientWidth * devicePixelRatio]")
        assert size[0] == pytest.approx(size[1], abs=1)
        first = browser.run("livePage.canvas.toDataURL()")
        browser.run("livePage.setLayer('depth'); livePage.whenDrawn()")
        assert browser.run("livePage.canvas.toDataURL()") != first
        browser.run("livePage.toggle()")
        browser.wait("livePage.drawn.scale < 1 && livePage.drawn.time > 0")
        browser.run("livePage.toggle(); livePage.whenDrawn()")
        assert browser.run("livePage.drawn.scale") == 1
        assert browser.console == []
    finally:
        browser.close()
    assert all(url.startswith((server.url, "data:")) for url in browser.requests)
