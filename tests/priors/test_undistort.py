"""The map between ingested and canonical frames: sizes, both ways, pictures, and flow that is resized."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nsff.priors.canonical.undistort import FrameMap, canonical_size, frame_map

pycolmap = pytest.importorskip("pycolmap")
SIZE = (240, 320)


def lens(k: float = -0.12, size: tuple[int, int] = SIZE) -> Any:
    return pycolmap.Camera(
        model="SIMPLE_RADIAL", width=size[1], height=size[0], params=[288.0, size[1] / 2, size[0] / 2, k], camera_id=1
    )


def grid(height: int, width: int) -> np.ndarray:
    v, u = np.mgrid[:height, :width] + 0.5
    return np.stack([u, v], -1)


def bend(points: np.ndarray, k: float) -> np.ndarray:
    """Pixels of a pinhole (f 288, centre of 320x240) to those of the lens: x (1 + k |x|^2)."""
    x = (points - [160, 120]) / 288
    return 288 * x * (1 + k * (x**2).sum(-1, keepdims=True)) + [160, 120]


def through_pinhole(frames: FrameMap, points: np.ndarray) -> np.ndarray:
    """Canonical positions to pixels of the pinhole with the lens's f and centre, by hand."""
    f, fy, cx, cy = frames.pinhole.params
    height, width = frames.undistorted_size
    points = points * [width / frames.canonical_size[1], height / frames.canonical_size[0]]
    return (points - [cx, cy]) / [f, fy] * 288 + [160, 120]


@pytest.mark.parametrize(
    ("size", "height", "expected"),
    [
        ((540, 960), 288, (288, 512)),
        ((180, 320), 288, (180, 320)),
        ((480, 854), 288, (288, 512)),
        ((1000, 301), 100, (100, 30)),
    ],
)
def test_canonical_size(size: tuple, height: int, expected: tuple):
    assert canonical_size(size, height) == expected


def test_undistortion_does_not_enlarge():
    frames = frame_map(lens(-0.12), SIZE, 1000)
    assert frames.undistorted_size[0] > 240 and frames.canonical_size[0] == 240
    assert frames.canonical_size[1] == round(frames.undistorted_size[1] * 240 / frames.undistorted_size[0])


def test_without_distortion_the_map_is_resizing():
    frames = frame_map(lens(0.0), SIZE, 120)
    assert frames.is_resizing and frames.canonical_size == (120, 160)
    np.testing.assert_allclose(frames.to_frame(np.array([[0.5, 0.5], [160, 120]])), [[1, 1], [320, 240]])
    np.testing.assert_allclose(frames.from_frame(frames.to_frame(grid(3, 4))), grid(3, 4))
    np.testing.assert_allclose(frames.positions()[0, 0], [1, 1])


@pytest.mark.parametrize("k", [-0.12, 0.08])
def test_the_map_follows_the_lens(k: float):
    frames = frame_map(lens(k), SIZE, 120)
    expected = bend(through_pinhole(frames, grid(*frames.canonical_size)), k)
    np.testing.assert_allclose(frames.positions(), expected, atol=1e-3)
    # No canonical pixel shows anything from outside the frame.
    assert (expected > -0.5).all() and (expected < [320.5, 240.5]).all()


@pytest.mark.parametrize("k", [-0.12, 0.08, -0.4])
def test_the_map_round_trip(k: float):
    frames = frame_map(lens(k), SIZE, 120)
    points = grid(*frames.canonical_size)
    np.testing.assert_allclose(frames.from_frame(frames.to_frame(points)), points, atol=1e-4)


def test_positions_far_outside_stay_finite_and_outside():
    frames = frame_map(lens(-0.4), SIZE, 120)
    far = frames.from_frame(np.array([[-5000.0, 120], [160, 9000], [4000, 4000]]))
    assert np.isfinite(far).all()
    assert far[0, 0] < 0 and far[1, 1] > frames.canonical_size[0] and (far[2] > frames.canonical_size[::-1]).all()


def test_the_undistorted_picture_shows_what_the_map_says():
    # A picture whose red and green are smooth functions of position: undistorting is evaluating them at the map.
    u, v = np.moveaxis(grid(*SIZE), -1, 0)
    frame = np.round(np.stack([u * 0.75, v, 0 * u], -1)).astype(np.uint8)
    frames = frame_map(lens(-0.12), SIZE, 1000)
    image = frames.image(frame).astype(float)
    expected = frames.positions() * [0.75, 1]
    inner = slice(3, -3)
    np.testing.assert_allclose(image[inner, inner, :2], expected[inner, inner], atol=1.2)


def test_flow_of_the_canonical_size_stays():
    frames = frame_map(None, SIZE, 120)
    generator = np.random.default_rng(0)
    flow, mask = generator.normal(size=(120, 160, 2)).astype(np.float32), generator.random((120, 160)) > 0.5
    result = frames.flow(flow, mask)
    assert (result[0] == flow).all() and (result[1] == mask).all()


@pytest.mark.parametrize("raw", [(60, 80), (240, 320)])
def test_flow_is_rescaled(raw: tuple):
    frames = frame_map(None, SIZE, 120)
    flow = np.broadcast_to(np.array([3.0, -2.0], np.float32), (*raw, 2))
    mask = np.zeros(raw, bool)
    mask[:, : raw[1] // 2] = True
    carried, consistent = frames.flow(flow, mask)
    np.testing.assert_allclose(
        carried, np.broadcast_to([3.0 * 160 / raw[1], -2.0 * 120 / raw[0]], (120, 160, 2)), rtol=1e-4
    )
    assert consistent[4:, :79].all() and not consistent[:, 81:].any()
    assert not consistent[0].any()  # what leaves the picture is not consistent
