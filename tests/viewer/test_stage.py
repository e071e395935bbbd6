"""The stage of the page without a browser: what is gathered, how large it is, and what the file holds."""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nsff.config import PageConfig, resolve_scene
from nsff.errors import StageError
from nsff.models.registry import register
from nsff.splats.compact import decode
from nsff.splats.from_points import FramePoints
from nsff.training.run import run_train
from nsff.viewer import gather, live_server
from nsff.viewer.gather import principal_colours, pruned, surfaces
from nsff.viewer.html import PROGRAM, WORKER, asset, page_data, scene_page
from nsff.viewer.stage import run_page

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from scenes import content


def held(text: str) -> tuple[dict, bytes]:
    """The data and the unpacked scene of a page."""
    data = re.search(r'id="page-data">(.*?)</script>', text, re.DOTALL)
    splats = re.search(r'id="scene-data">(.*?)</script>', text, re.DOTALL)
    assert data
    assert splats
    return json.loads(data[1]), gzip.decompress(base64.b64decode(splats[1]))


def test_the_page_holds_the_scene_and_refers_to_nothing_outside():
    text = scene_page(content())
    data, packed = held(text)
    scene = decode(packed, Path("scene"))
    assert (len(scene.static), len(scene.moving)) == (len(content().splats.static), len(content().splats.moving))
    assert [entry["name"] for entry in data["objects"]] == ["Red ball", "Object 2"]
    assert len(data["cameras"]) == len(data["pictures"]) == data["frames"] == 8
    assert re.findall(r'(?:src|href)="([^"#]+)"', text) == ["report.html"]
    assert "http" not in re.sub(r"data:[^\"]*", "", text).replace("http-equiv", "")


def test_a_name_ends_no_script_element():
    own = content()
    named = replace(own, splats=replace(own.splats, object_names={1: "</script><b>"}))
    data, _ = held(scene_page(named))
    assert data["objects"][0]["name"] == "</script><b>"


def test_every_file_of_the_program_is_used_and_ends_no_script_element():
    folder = Path(sys.modules["nsff.viewer"].__file__).parent / "assets"
    assert {path.name for path in folder.glob("*.js")} == {*PROGRAM, *WORKER, *live_server.PROGRAM}
    assert all("</script" not in asset(name) for name in (*PROGRAM, *WORKER))


def test_the_page_is_of_a_model_without_gaussians(tiny_scene):
    """toy_points has points that see its camera; the page stands for them, with the input frames."""
    register("toy_points", "toy_points")
    own = {
        "input": {"path": "x"}, "model": {"kind": "toy_points", "options": {"count": 60}},
        "train": {"steps": 2, "steps_for_frames": 0, "device": "cpu", "log_every": 2, "tensorboard": False},
    }  # fmt: skip
    scene, config = tiny_scene(3), resolve_scene("tiny", own, "demo", {})
    with pytest.raises(StageError):
        run_page(scene, config)
    run_train(scene, config)
    summary = run_page(scene, config)
    data, packed = held(scene.page_path.read_text(encoding="utf-8"))
    splats = decode(packed, scene.page_path)
    assert summary["static"] + summary["moving"] == len(splats.static) + len(splats.moving) > 0
    assert len(data["pictures"]) == 3
    assert data["notes"]
    assert summary["megabytes"] < 1
    small = config.model_copy(update={"page": PageConfig(megabytes=0.001, picture_width=0)})
    assert run_page(scene, small)["verdict"] == "doubtful"  # the program alone is larger


def test_a_model_of_gaussians_gives_its_own(tiny_scene, monkeypatch):
    """With fewer than asked for nothing is said; otherwise those that matter most stay."""

    class Gaussians:
        splats = None

    scene, own = tiny_scene(3), content().splats
    renderer = type("Loaded", (), {"model": Gaussians()})
    asked = []
    monkeypatch.setattr(gather.Renderer, "load", lambda folder: renderer)
    monkeypatch.setattr(gather, "closed_splats_of", lambda scene: (own, 0))
    monkeypatch.setattr(gather, "condensed", lambda splats, *rest: asked.append(rest) or pruned(splats, *rest[1]))
    room = lambda splats: 1.0  # noqa: E731
    assert gather.splats_for_page(scene, PageConfig(), room) == (own, [])
    few, notes = gather.splats_for_page(scene, PageConfig(static_splats=10, fit_steps=7), room)
    assert [rest[1:] for rest in asked] == [((150_000, 100_000), 100, room), ((10, 100_000), 7, room)]
    assert len(few.static) == 10
    assert len(few.moving) == len(own.moving)
    assert f"{len(own.static) - 10:,}" in notes[0]


def test_one_point_a_pixel_for_what_rests_and_what_moves():
    """Pixel 0 has a surface of two samples and a farther one; pixel 1 something that moves before what rests."""
    depth = np.array([2.0, 2.1, 4.0, 1.0, 3.0, -1.0])
    moves = np.array([0, 0, 0, 1, 0, 0])[:, None] * np.ones((6, 3), np.float32)
    positions = np.stack([np.zeros(6), np.zeros(6), depth], 1).astype(np.float32)
    colours = (np.arange(6)[:, None] / 10 * np.ones(3)).astype(np.float32)
    frame = FramePoints(0, positions, colours, np.ones(6, np.float32), moves, np.arange(6))
    found = surfaces(frame, np.array([0, 0, 0, 1, 1, 1]), depth, far=10.0)
    assert found.positions[:, 2].tolist() == pytest.approx([2.05, 3.0, 1.0])
    assert found.colours[:, 0].tolist() == pytest.approx([0.05, 0.4, 0.3])
    assert found.objects.tolist() == [0, 4, 3]
    assert positions[0, 2] == 2.0  # what was given stays as it is
    assert len(surfaces(frame, np.zeros(6, int), depth, far=0.5)) == 0


def test_what_matters_least_is_left_out():
    splats = content().splats
    few = pruned(splats, 100, 7)
    assert (len(few.static), len(few.moving)) == (100, 7)
    assert few.static.scales.min() >= np.sort(splats.static.scales[:, 0])[-101]  # all are equally opaque
    assert pruned(splats, 10**6, 10**6).static is splats.static


def test_features_as_colours_fill_the_range():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 16)).astype(np.float32) * np.linspace(3, 0.1, 16, dtype=np.float32)
    colours = principal_colours(features)(features)
    assert colours.shape == (500, 3)
    assert colours.min() == 0
    assert colours.max() == 1
    assert np.abs(np.corrcoef(colours[:, 0], features[:, 0])[0, 1]) > 0.9


def test_page_data_has_the_lenses_of_the_cameras():
    assert page_data(content())["cameras"][0]["lens"] == [140, 140, 80, 45]
