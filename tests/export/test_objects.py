"""Objects alone, tracks through scene flow and videos, in a world of boxes whose places and speeds are known."""

from __future__ import annotations

import csv
import importlib.util
import json

import imageio.v3 as imageio
import numpy as np
import pytest

from nsff.cli import main
from nsff.config import RenderConfig
from nsff.export.objects import speed
from nsff.export.tracks import Moving, follow
from nsff.files.io import write_json
from nsff.rendering.videos import run_render
from tests.decompose.conftest import SPEED, ply_table, truth_mask
from tests.decompose.test_extract import RESTING, moving
from tests.export.conftest import RATE

N = 3


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_objects(boxes):
    scene = boxes(n=N)[0]
    assert main(["export", "objects", str(scene.root)]) == 0
    folder = scene.exports_dir / "objects"
    about = json.loads((folder / "objects.json").read_text())
    assert about["frame_rate"] == pytest.approx(RATE)
    tracks = {n: rows_of(folder / f"object_{n}" / "track.csv") for n in (1, 2)}
    red = 2
    for n, rows in tracks.items():
        assert [int(row["frame"]) for row in rows] == list(range(N))
        assert [float(row["seconds"]) for row in rows] == pytest.approx(np.arange(N) / RATE)
        own = folder / f"object_{n}"
        for i in range(N):
            picture = imageio.imread(own / "rgba" / f"{i:05d}.png")
            shape = moving(i) if n == red else np.where(moving(i) == 0, RESTING, 0)
            assert (picture[shape == 1][:, 3] == 255).all()
            assert float(rows[i]["area"]) == pytest.approx((picture[..., 3] / 255).sum(), rel=1e-2)
            v, u = np.nonzero(picture[..., 3] > 127)
            assert (float(rows[i]["u"]), float(rows[i]["v"])) == pytest.approx(
                (u.mean() + 0.5, v.mean() + 0.5), abs=0.1
            )
        assert len(imageio.imread(own / "rgba.webm", plugin="pyav")) == N
        assert len(imageio.imread(own / "rgba.mov", plugin="pyav")) == N
        cloud = ply_table(own / "clouds" / "00001.ply")
        z = 2.15 if n == red else 3.15
        assert len(cloud) > 50
        assert np.abs(cloud["z"] - z).max() < 0.2
        if importlib.util.find_spec("plyfile"):
            from plyfile import PlyData

            again = PlyData.read(own / "clouds" / "00001.ply")["vertex"]
            np.testing.assert_array_equal(again["x"], cloud["x"])
            assert set(again["red"]) == ({255} if n == red else {0})
    # The red box moves by 0.05 a frame, ten frames a second; the green one rests, though less and less of it is seen.
    speeds = [float(row["speed"]) for row in tracks[red]]
    assert speeds == pytest.approx([RATE * SPEED] * N, abs=0.12)  # a pixel is 0.035
    x = [float(row["x"]) for row in tracks[red]]
    assert x == pytest.approx(SPEED * np.arange(N), abs=0.02)
    assert about["objects"]["2"]["median_speed"] == pytest.approx(np.median(speeds), rel=1e-4)


def test_speed_where_an_object_is_lost_for_a_while():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [np.nan] * 3, [5, 0, 0], [np.nan] * 3, [0, 3, 0], [0, 6, 0]])
    found = speed(points, np.arange(7) * 0.5)
    np.testing.assert_allclose(found, [2, 2, np.nan, np.nan, np.nan, 6, 6])


def test_tracks_follow_the_moving_box(boxes):
    scene = boxes(n=N)[0]
    assert main(["export", "tracks", str(scene.root)]) == 0
    folder = scene.exports_dir / "tracks"
    with np.load(folder / "tracks.npz") as stored:
        found = dict(stored)
    whole = np.isfinite(found["positions"]).all((0, 2))
    assert whole.sum() > 10
    steps = np.diff(found["positions"][:, whole], axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to([SPEED, 0, 0], steps.shape), atol=1e-3)
    assert (found["colours"] == [255, 0, 0]).all()
    assert (found["objects"] == 2).all()
    expected = scene.cameras[[0]].project(found["positions"][2, whole].astype(float))[0][0]
    np.testing.assert_allclose(found["pixels"][2, whole], expected, atol=1e-3)
    rows = rows_of(folder / "tracks.csv")
    assert len(rows) == np.isfinite(found["positions"][..., 0]).sum()
    assert float(rows[1]["x"]) == pytest.approx(float(rows[0]["x"]) + SPEED, abs=1e-3)


def cloud(*x: float, step: float = 1.0) -> Moving:
    points = np.array([[value, 0, 0] for value in x], np.float32).reshape(-1, 3)
    motion = np.broadcast_to(np.float32([step, 0, 0]), points.shape)
    return Moving(points, motion, np.zeros(points.shape, np.uint8), np.zeros(len(points), np.int64))


def test_tracks_begin_and_end():
    """One goes all the way; one is hidden at frame 2 and comes back as another; a point of one frame is no track."""
    found = follow([cloud(0, 10), cloud(1, 11), cloud(2, 50), cloud(3, 13), cloud(4, 14)], 0.5).positions[..., 0]
    np.testing.assert_array_equal(
        found.T, [[0, 1, 2, 3, 4], [10, 11, *[np.nan] * 3], [*[np.nan] * 3, 13, 14]]
    )  # fmt: skip
    assert follow([cloud(), cloud()], 1.0).positions.shape == (2, 0, 3)
    many = follow([cloud(*np.arange(0, 4, 0.1)), cloud(*np.arange(1, 5, 0.1))], 1.0).positions
    assert many.shape[1] == 4  # one in each cube


def test_videos_in_other_formats_and_without_an_object(boxes, capsys):
    scene = boxes(n=N)[0]
    run_render(scene, RenderConfig(frames=3, frame_rate=5, pictures=True), "time")
    base = ["export", "video", str(scene.root)]
    command = [*base, "--path", "time"]
    assert main([*command, "--formats", "gif", "pictures"]) == 0
    folder = scene.exports_dir / "video"
    same = imageio.imread(folder / "time" / "001.png")
    np.testing.assert_array_equal(same, imageio.imread(scene.render_pictures_dir("time") / "001.png"))
    assert imageio.imread(folder / "time.gif", plugin="pillow").shape[0] == 3
    settings = {"render": RenderConfig(frames=2).model_dump(mode="json")}
    write_json(scene.path("settings", "render_time.json"), settings)
    assert main([*command, "--without", "1", "2", "--formats", "pictures"]) == 0
    pictures = [imageio.imread(file) for file in sorted((folder / "time_without_1_2").iterdir())]
    assert len(pictures) == 2
    assert np.abs(np.stack(pictures).astype(int) - 51).max() <= 3  # the wall
    for options, message in (
        (["--without", "7"], "names object 7, but the scene has objects 1 to 2"),
        (["--without", "woman"], "give numbers of objects, or objects, or moving"),
        (["--path", "view"], "view.mp4: missing"),
    ):
        assert main([*base, *options]) == 1
        assert message in capsys.readouterr().err


def test_side_by_side(fake_scene):
    """Of the planted maps: the square is nearer than the rest."""
    scene = fake_scene(n=N)
    assert main(["export", "comparison", str(scene.root), "--formats", "pictures"]) == 0
    picture = imageio.imread(scene.exports_dir / "comparison" / "comparison" / "001.png")
    assert picture.shape == (48 + 20, 3 * 64, 3)
    np.testing.assert_array_equal(picture[20:, :64], scene.image(1))
    near, far = picture[20:, 128:][truth_mask(1)].mean(0), picture[22, 130]
    assert near[0] > near[2]  # red is near, blue is far
    assert far[2] > far[0]
