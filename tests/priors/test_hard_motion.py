"""Motion masks from DIS flow of made-up pictures: thin and far things are on them, windows, water and the wall are not.

A camera moves to the right before a textured wall; each thing is drawn into the picture where it would be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.config import FlowConfig, MotionConfig
from nsff.priors.flow.dis import DisFlow
from nsff.priors.flow.stage import between
from nsff.priors.motion.flow_error import flow_error
from nsff.priors.motion.sides import combine_sides
from nsff.priors.motion.stage import evidence_of, frame_distances, picture_evidence
from nsff.priors.motion.track_evidence import Evidence, moving_by_tracks
from nsff.tracking.chaining import FlowCache

HEIGHT, WIDTH, FRAMES = 144, 200, 7
SHIFT = 3
"""Pixels a frame that the wall goes to the left."""
MOTION = MotionConfig(instances="off")

Draw = Callable[[np.ndarray, int], np.ndarray]
"""Draws into the picture of a frame, and says where (H,W)."""


def texture(seed: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 20, 235, cv2.NORM_MINMAX)  # type: ignore[call-overload]


WALL = texture(0, HEIGHT, WIDTH + SHIFT * FRAMES)
PATCH = texture(1, HEIGHT, WIDTH)


def rectangle(row: int, column: int, height: int, width: int) -> tuple[slice, slice]:
    return slice(row, row + height), slice(column, column + width)


def bar(picture: np.ndarray, i: int) -> np.ndarray:
    """A bar of 4 by 80 pixels that falls."""
    return pasted(picture, rectangle(30 + 3 * i, 60, 4, 80))


def speck(picture: np.ndarray, i: int) -> np.ndarray:
    """A far thing of 10 by 10 pixels that rises slowly."""
    return pasted(picture, rectangle(80 - 2 * i, 100, 10, 10))


def pasted(picture: np.ndarray, where: tuple[slice, slice]) -> np.ndarray:
    height, width = where[0].stop - where[0].start, where[1].stop - where[1].start
    picture[where] = PATCH[:height, :width] * 0.6 + np.array([100, 0, 0])
    on = np.zeros((HEIGHT, WIDTH), bool)
    on[where] = True
    return on


def window(picture: np.ndarray, i: int) -> np.ndarray:
    """A pane in the wall that mirrors what is far away, which stays in the picture as the camera moves."""
    where = rectangle(40, 90 - SHIFT * i, 60, 60)
    picture[where] = 0.4 * picture[where] + 0.6 * PATCH[where]
    on = np.zeros((HEIGHT, WIDTH), bool)
    on[where] = True
    return on


def water(picture: np.ndarray, i: int) -> np.ndarray:
    """A third of the picture that glitters: half of its texture is another one in each frame."""
    where = rectangle(96, 0, 48, WIDTH)
    picture[where] = 0.5 * picture[where] + 0.5 * texture(10 + i, HEIGHT, WIDTH)[where]
    on = np.zeros((HEIGHT, WIDTH), bool)
    on[where] = True
    return on


def masks_of(draw: Draw) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Motion masks of a clip, and where the thing is."""
    pictures, places = [], []
    for i in range(FRAMES):
        picture = WALL[:, SHIFT * i : SHIFT * i + WIDTH].copy()
        places.append(draw(picture, i))
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    flows: dict[tuple[int, int], Any] = {}
    for i in range(FRAMES - 1):
        pair = between(DisFlow(), pictures[i], pictures[i + 1], (HEIGHT, WIDTH), FlowConfig())
        flows[i, i + 1], flows[i + 1, i] = pair
    link = FlowCache(lambda i, way: flows[i, i + (1 if way == "fwd" else -1)], keep=20)
    K = np.array([[150.0, 0, WIDTH / 2], [0, 150, HEIGHT / 2], [0, 0, 1]])
    poses = np.tile(np.concatenate([np.eye(3), np.zeros((3, 1))], axis=1), (FRAMES, 1, 1))
    poses[:, 0, 3] = -np.arange(FRAMES) * SHIFT * 4 / 150  # the wall is 4 away
    cameras = Cameras(np.tile(K, (FRAMES, 1, 1)), poses, np.tile([2.0, 9.0], (FRAMES, 1)), WIDTH, HEIGHT)
    scene = cast(Any, SimpleNamespace(image=lambda i: pictures[i]))
    evidence = Evidence()
    for i in range(FRAMES):
        distance = combine_sides(frame_distances(cameras, link, i, MOTION), MOTION.combine)
        told, error = picture_evidence(scene, cameras, link, i, MOTION), flow_error(scene.image, link, i, FRAMES)
        evidence.append(*evidence_of(distance, MOTION, told, error))
    reach, radius = MOTION.temporal_propagation, MOTION.refine_radius
    found = moving_by_tracks(evidence, scene.image, link, reach, radius, MOTION.opening_radius)[0]
    return found, places


@pytest.mark.parametrize("draw", [bar, speck], ids=["a thin bar", "a far speck"])
def test_thin_and_far_things_that_move_are_on_the_masks(draw):
    masks, places = masks_of(draw)
    inner = range(1, FRAMES - 1)
    assert np.mean([(masks[i] & places[i]).sum() / places[i].sum() for i in inner]) > 0.8
    assert np.mean([(masks[i] & ~places[i]).mean() for i in inner]) < 0.02


@pytest.mark.parametrize("draw", [window, water], ids=["a window", "water"])
def test_windows_and_water_are_not_on_the_masks(draw):
    masks, places = masks_of(draw)
    inner = range(1, FRAMES - 1)
    assert np.mean([(masks[i] & places[i]).sum() / places[i].sum() for i in inner]) < 0.2
    assert np.mean([(masks[i] & ~places[i]).mean() for i in inner]) < 0.02
