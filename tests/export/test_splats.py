"""`nsff export splats`: which files there are and what is in them, by a model that hands out a few Gaussians."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from plyfile import PlyData

from nsff.cameras import Cameras
from nsff.cli import main
from nsff.export import splats as export
from nsff.files.io import write_json
from nsff.models.base import Points
from nsff.scene import Scene
from nsff.splats.compact import read_compact
from nsff.splats.scene import MovingSplats, SplatScene, SplatSet

N = 3


class Stub:
    """A model of one Gaussian that rests and two that move, one of them seen at the last frame alone."""

    n_frames, outputs = N, frozenset({"rgb", "features"})

    def eval(self):
        return self

    def splats(self, numbering=None):
        one, turn = np.ones((1, 3)), np.array([[1.0, 0, 0, 0]])
        two = np.ones((2, 3))
        positions = torch.zeros(2, 3)
        points = Points(positions, positions, torch.eye(2), time=torch.tensor([0.0, 2.0]))
        objects = np.zeros(2) if numbering is None else numbering(points)
        moving = MovingSplats(
            two, turn.repeat(2, 0), two, np.ones(2), two, objects, reference=np.array([0, 2]),
            span=np.array([100, 0.1]), first=np.zeros(2), path=np.arange(18.0).reshape(2, N, 3),
        )  # fmt: skip
        return SplatScene(N, SplatSet(one, turn, one, np.ones(1), one, np.zeros(1)), moving)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    scene = Scene(tmp_path / "results" / "clip")
    write_json(scene.manifest_path, {"n_frames": N, "frame_rate": 12.5})
    K, E = np.tile(np.diag([50.0, 50, 1]), (N, 1, 1)), np.tile(np.eye(4)[:3], (N, 1, 1))
    Cameras(K, E, np.tile([1.0, 10.0], (N, 1)), width=64, height=36).save(scene.cameras_path)
    monkeypatch.setattr(export, "load_model", lambda folder: Stub())
    return scene


def places(path):
    vertex = PlyData.read(path)["vertex"]
    return np.stack([vertex["x"], vertex["y"], vertex["z"]], axis=1).tolist()


def test_files_of_a_scene_without_objects(scene, capsys):
    assert main(["export", "splats", str(scene.root)]) == 0
    folder = scene.exports_dir / "splats"
    said = capsys.readouterr().out
    assert str(folder) in said and "4 PLY and 4 SPZ files" in said and "0 objects" in said
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = ["frames/00000", "frames/00001", "frames/00002", "static"]
    assert found == sorted([*(f"{name}.{kind}" for name in names for kind in ("ply", "spz")), "scene.splats4d"])
    assert places(folder / "static.ply") == [[1, 1, 1]]
    assert places(folder / "frames/00000.ply") == [[1, 1, 1], [0, 1, 2]]
    assert places(folder / "frames/00002.ply") == [[1, 1, 1], [6, 7, 8], [15, 16, 17]]
    whole = read_compact(folder / "scene.splats4d")
    assert (whole.frame_rate, len(whole.cameras), whole.cameras.width) == (12.5, N, 64)


def test_gaps_are_closed_from_behind(scene, monkeypatch):
    """What closes gaps rests, is of no object, and comes last; it can be had alone."""
    monkeypatch.setattr(Stub, "background", torch.zeros(3), raising=False)
    monkeypatch.setattr(export, "with_backdrop", with_two_more)
    assert main(["export", "splats", str(scene.root), "--formats", "ply"]) == 0
    folder = scene.exports_dir / "splats"
    assert not list(folder.rglob("*.spz"))
    assert places(folder / "static.ply") == [[1, 1, 1], [7, 7, 7], [7, 7, 7]]
    assert places(folder / "backdrop.ply") == [[7, 7, 7], [7, 7, 7]]
    assert len(places(folder / "frames/00000.ply")) == 4
    assert len(read_compact(folder / "scene.splats4d").static) == 3


def with_two_more(splats, cameras, background):
    assert background.tolist() == [0, 0, 0]
    own = splats.static
    more = own.chosen(np.array([0, 0, 0]))
    return replace(splats, static=replace(more, means=np.array([[1.0, 1, 1], [7, 7, 7], [7, 7, 7]])))


def test_objects_by_clusters(scene, tmp_path, monkeypatch):
    """Each moving Gaussian is asked for at its own time, with its own features."""
    asked = []

    def number_points(points, time, n_frames, clusters, things):
        asked.append((time, n_frames, points.features.tolist()))
        return np.full(len(points.positions), 1 + int(time > 1))

    scene.clusters_path.parent.mkdir()
    scene.clusters_path.write_text("{}")
    monkeypatch.setattr(export.Clusters, "load", lambda scene: None)
    monkeypatch.setattr(export, "number_points", number_points)
    assert main(["export", "splats", str(scene.root), "--out", str(tmp_path / "out")]) == 0
    assert asked == [(0.0, N, [[1, 0]]), (2.0, N, [[0, 1]])]
    folder = tmp_path / "out" / "splats"
    assert places(folder / "object_1/00001.ply") == [[3, 4, 5]]
    assert places(folder / "object_2/00001.ply") == []
    assert places(folder / "object_2/00002.ply") == [[15, 16, 17]]
    assert read_compact(folder / "scene.splats4d").object_numbers == [1, 2]


def test_a_model_without_gaussians(scene, monkeypatch, capsys):
    from nsff.models.base import SceneModel

    monkeypatch.setattr(Stub, "splats", SceneModel.splats)
    monkeypatch.setattr(Stub, "kind", "ray_fields", raising=False)
    assert main(["export", "splats", str(scene.root)]) == 1
    said = capsys.readouterr().err
    assert "ray_fields" in said and "kind: gaussians" in said
    assert not scene.exports_dir.exists()


def test_nothing_is_asked_for(capsys):
    assert main(["export"]) == 2
    assert "say which action" in capsys.readouterr().err


def test_no_model(tmp_path, capsys):
    assert main(["export", "splats", str(tmp_path)]) == 1
    assert "model.json: missing" in capsys.readouterr().err
