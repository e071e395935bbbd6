"""The compact file: what comes back, how far it is off, how small it is, and what is refused."""

import gzip
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from nsff.errors import StageError
from nsff.splats.compact import decode, encode, read_compact, write_compact
from nsff.splats.quantise import CHUNK, PRECISION, from_residuals, morton_order, residuals, to_grid
from nsff.splats.scene import MovingSplats, SplatScene, SplatSet


def in_file_order(part):
    middle = part.path[:, part.path.shape[1] // 2] if hasattr(part, "path") else part.means
    return part.chosen(morton_order(middle))


def position_bound(places, scales):
    """Half a step of each Gaussian's chunk, by the promise of docs/formats.md, and what float32 rounds."""
    bounds = []
    for k in range(0, len(places), CHUNK):
        own = places[k : k + CHUNK]
        side = (own.max(axis=(0, 1)) - own.min(axis=(0, 1))).max()
        middle = np.percentile(np.median(scales[k : k + CHUNK], axis=1), 10)
        bounds += [max(side / 65535, PRECISION * middle) / 2 + 1e-6 * np.abs(own).max()] * len(own)
    return np.array(bounds)[:, None, None]


@pytest.mark.parametrize("features", [False, True])
def test_what_comes_back(tmp_path, make_scene, features):
    scene = make_scene(features=features)
    size = write_compact(tmp_path / "scene.splats4d", scene)
    assert (tmp_path / "scene.splats4d").stat().st_size == size
    back = read_compact(tmp_path / "scene.splats4d")
    assert (back.n_frames, back.frame_rate, back.object_names) == (12, 25.0, {1: "ball"})
    np.testing.assert_array_equal(back.cameras.intrinsics, scene.cameras.intrinsics)
    np.testing.assert_array_equal(back.cameras.world_to_camera, scene.cameras.world_to_camera)
    assert (back.cameras.height, back.cameras.width) == (36, 64)
    for part, found in ((in_file_order(scene.static), back.static), (in_file_order(scene.moving), back.moving)):
        np.testing.assert_array_equal(found.objects, part.objects)
        np.testing.assert_allclose(found.opacities, part.opacities, atol=1.001 / 510)
        np.testing.assert_allclose(found.colours, part.colours, atol=1.001 / 510)
        np.testing.assert_allclose(found.scales, part.scales, rtol=0.032)
        unit = part.quaternions / np.linalg.norm(part.quaternions, axis=1, keepdims=True)
        rotated = np.abs((unit * found.quaternions).sum(axis=1) / np.linalg.norm(found.quaternions, axis=1))
        assert np.degrees(2 * np.arccos(rotated.clip(max=1))).max() < 1
        assert (found.feature_colours is None) != features
        if features:
            np.testing.assert_allclose(found.feature_colours, part.feature_colours, atol=1.001 / 510)
    static, moving = in_file_order(scene.static), in_file_order(scene.moving)
    wrong = np.abs(back.static.means - static.means)[:, None]
    assert (wrong <= position_bound(static.means[:, None], static.scales)).all()
    bound = position_bound(moving.path, moving.scales)
    assert (np.abs(back.moving.path - moving.path) <= bound).all()
    assert (np.abs(back.moving.means - moving.means) <= bound[:, 0] + 1e-3).all()
    np.testing.assert_array_equal(back.moving.first, moving.first)
    np.testing.assert_allclose(back.moving.reference, moving.reference, atol=1e-4)
    np.testing.assert_allclose(back.moving.span, moving.span, rtol=1e-4)


def test_the_same_scene_gives_the_same_bytes(tmp_path, make_scene):
    for name in "ab":
        write_compact(tmp_path / name, make_scene())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_gaussians_and_no_cameras(tmp_path, make_scene):
    scene = make_scene()
    bare = replace(scene, static=SplatSet.empty(), moving=scene.moving.chosen(np.zeros(0, int)), cameras=None)
    write_compact(tmp_path / "bare", bare)
    back = read_compact(tmp_path / "bare")
    assert len(back.static) == len(back.moving) == 0 and back.cameras is None
    assert back.moving.path.shape == (0, 5, 3)


def test_as_documented(make_scene):
    """The layout by hand: every array at a multiple of 4, within the file, none over another."""
    content = encode(make_scene(features=True))
    assert content[:8] == b"NSFFSPL1"
    length = int.from_bytes(content[8:12], "little")
    header = json.loads(content[12 : 12 + length])
    assert length % 4 == 0 and header["version"] == 1
    end = 0
    for entry in sorted(header["arrays"].values(), key=lambda entry: entry["offset"]):
        assert entry["offset"] % 4 == 0 and entry["offset"] >= end
        end = entry["offset"] + np.dtype(entry["type"]).itemsize * int(np.prod(entry["shape"]))
    assert 12 + length + end <= len(content)
    assert header["arrays"]["moving.positions_low"]["shape"] == [5, 3, 300]
    assert header["moving"]["window"] == 5 and header["static"]["window"] == 1
    assert header["objects"] == {"1": "ball", "2": "", "3": ""}


def test_jumps_over_half_of_a_grid():
    values = np.array([[0], [65535], [1], [40000], [2]], np.uint16)
    for count in range(6):
        np.testing.assert_array_equal(from_residuals(residuals(values[:count])), values[:count])
    places = np.array([[[0.0]], [[100.0]], [[1.0]]], np.float32) * np.ones((1, 3, 1), np.float32)
    found = to_grid(places, np.full((1, 3), 1e-9, np.float32)).positions()
    np.testing.assert_allclose(found, places, atol=100 / 65535)


def test_neighbours_follow_each_other():
    points = np.random.default_rng(0).random((2000, 3)).astype(np.float32)
    ordered = points[morton_order(points)]
    step = np.linalg.norm(np.diff(ordered, axis=0), axis=1).mean()
    assert step < 0.3 * np.linalg.norm(np.diff(points, axis=0), axis=1).mean()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-20], "compact file"),
        (lambda data: b"", "compact file"),
        (lambda data: gzip.compress(b"another thing altogether"), "another beginning"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-40]), "ends beyond the file"),
        (lambda data: gzip.compress(gzip.decompress(data).replace(b'"version":1', b'"version":7')), "of version 7"),
        (lambda data: gzip.compress(gzip.decompress(data).replace(b'"float32"', b'"objects"')), "of type objects"),
        (lambda data: data[:-4] + b"\xff\xff\xff\xff", "claim to unpack"),
    ],
)
def test_what_is_refused(tmp_path, make_scene, damage, message):
    path = tmp_path / "scene.splats4d"
    write_compact(path, make_scene())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StageError, match=message) as caught:
        read_compact(path)
    assert str(path) in str(caught.value)


def test_a_header_that_lies(make_scene):
    """Shapes that disagree are found where the scene is put together."""
    content = encode(make_scene())
    changed = content.replace(b'"shape":[500]', b'"shape":[499]')
    assert changed != content
    with pytest.raises(ValueError, match="splats"):
        decode(changed, "scene")


def surface_scene(static, moving, n_frames=24):
    """Gaussians of about a pixel: on a wavy wall, and on a ball that flies and turns, each with noise of its own."""
    rng = np.random.default_rng(0)

    def looks(count, size):
        scales = size * np.exp(0.3 * rng.normal(size=(count, 3)))
        colours = (0.5 + 0.2 * rng.normal(size=(count, 3))).clip(0, 1)
        return rng.normal(size=(count, 4)), scales, 1 - 0.5 * rng.random(count) ** 2, colours

    x, y = rng.uniform(-2, 2, static), rng.uniform(-1, 1, static)
    wall = np.stack([x, y, 5 + 0.3 * np.sin(3 * x) + 0.01 * rng.normal(size=static)], axis=1)
    still = SplatSet(wall, *looks(static, 0.01), np.zeros(static))
    ball = rng.normal(size=(moving, 3))
    ball *= 0.5 / np.linalg.norm(ball, axis=1, keepdims=True)
    path = np.empty((moving, n_frames, 3))
    for t in range(n_frames):
        turn = np.array([[np.cos(t / 9), 0, np.sin(t / 9)], [0, 1, 0], [-np.sin(t / 9), 0, np.cos(t / 9)]])
        path[:, t] = ball @ turn + [t / 12 - 1, 0.003 * (t - 12) ** 2, 4]
    path += 0.001 * rng.normal(size=path.shape).cumsum(axis=1)
    reference = rng.integers(0, n_frames, moving)
    moved = MovingSplats(
        path[np.arange(moving), reference], *looks(moving, 0.01), np.ones(moving), reference=reference,
        span=2 * np.exp(0.3 * rng.normal(size=moving)), first=np.zeros(moving), path=path,
    )  # fmt: skip
    return SplatScene(n_frames, still, moved)


def test_a_scene_is_small(tmp_path):
    """A tenth of 100,000 that rest and 30,000 that move, over 24 frames, with looks of pure noise: 0.34 MB."""
    assert write_compact(tmp_path / "scene.splats4d", surface_scene(10_000, 3_000)) < 0.36e6


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_documented_reader_in_a_browsers_language(tmp_path, make_scene, repo):
    """The JavaScript of docs/formats.md finds the positions and object numbers that the reader here finds."""
    scene = make_scene()
    write_compact(tmp_path / "scene.splats4d", scene)
    back = read_compact(tmp_path / "scene.splats4d").moving
    code = re.search(r"```js\n(.*?)```", (repo / "docs" / "formats.md").read_text(), re.S)
    assert code
    show = """
    const q = grid("moving"), G = header.moving.count, origin = array("moving.chunk_origin"), step = array("moving.chunk_step");
    const places = Array.from(q, (value, i) => {
      const g = i % G, c = Math.floor(i / G) % 3;
      return origin[3 * (g >> 6) + c] + step[g >> 6] * value;
    });
    console.log(JSON.stringify({ places, objects: Array.from(array("moving.objects")) }));
    """  # noqa: E501
    begin = f"const blob = new Blob([require('fs').readFileSync({json.dumps(str(tmp_path / 'scene.splats4d'))})]);"
    script = f"(async () => {{ {begin}\n{code[1]}\n{show} }})();"
    said = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout
    found = json.loads(said)
    assert found["objects"] == back.objects.tolist()
    places = np.array(found["places"]).reshape(5, 3, 300).transpose(2, 0, 1)
    np.testing.assert_allclose(places, back.path, atol=1e-6 * np.abs(back.path).max())
