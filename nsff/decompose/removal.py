"""Which points of a scene are left out of its pictures, by the numbers of objects.

Objects have the numbers that they have in masks/: a point belongs to one by its own feature, and by its place where a
label has several instances. A shadow goes with its caster: what moves, is of no object, and lies in the shadow of one
that is left out, is left out too. See docs/exports.md#a-scene-without-an-object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from nsff.decompose.cast_shadows import CastShadows
from nsff.decompose.clusters import Clusters
from nsff.decompose.extract import number_points, object_count
from nsff.decompose.instances import Instances
from nsff.errors import ConfigError
from nsff.models.base import LeftOut, Points
from nsff.scene import Scene

FRAMES_AROUND = 1
"""Frames further, at which is looked for a shadow, where it is known how points move."""
MOVING = "moving"
OBJECTS = "objects"


def left_out_of(scene: Scene, without: Sequence[int] | str) -> LeftOut | None:
    """The points that ``render.without`` leaves out: objects by number, ``objects`` (all), or ``moving`` (all that
    moves, be it an object or not). None for an empty list. Raises ConfigError for objects that the scene lacks."""
    if without == MOVING:
        return _moving
    if not without:
        return None
    clusters, things = Clusters.load(scene), Instances.load(scene)
    count, n_frames = object_count(clusters, things), scene.n_frames
    wanted = list(range(1, count + 1)) if without == OBJECTS else [int(n) for n in without]
    unknown = [n for n in wanted if not 1 <= n <= count]
    if unknown or not wanted:
        has = f"the scene has objects 1 to {count}" if count else "the scene has no objects"
        problem = f"names object {unknown[0]}, but {has}" if unknown else f"is {without}, but {has}"
        raise ConfigError("render.without", problem, f"look at {scene.masks_dir}/preview.png, or set {MOVING}")

    shadows = CastShadows.load(scene)

    def left_out(points: Points, time: float) -> Bool[np.ndarray, "P"]:
        numbers = number_points(points, time, n_frames, clusters, things)
        gone = np.isin(numbers, wanted)
        return gone if shadows is None else gone | ((numbers == 0) & _shaded(points, time, shadows, wanted))

    return left_out


def _shaded(points: Points, time: float, shadows: CastShadows, wanted: Sequence[int]) -> Bool[np.ndarray, "P"]:
    """A mask of points that move and lie in the shadow of a wanted object at a frame next to ``time``, or one further.

    A shadow that one frame's mask lacks is there in the next one's. Where points say no motion they count as resting.
    """
    assert points.moving is not None
    result = np.zeros(len(points.positions), bool)
    moves = np.flatnonzero(points.moving.cpu().numpy())
    places = points.positions.cpu().numpy()[moves]
    motion = 0 if points.motion is None else points.motion.cpu().numpy()[moves]
    reach = FRAMES_AROUND if points.motion is not None else 0
    for frame in range(math.floor(time) - reach, math.ceil(time) + reach + 1):
        result[moves] |= np.isin(shadows.casters(places + (frame - time) * motion, frame), wanted)
    return result


def _moving(points: Points, time: float) -> Bool[np.ndarray, "P"]:
    assert points.moving is not None
    return points.moving.cpu().numpy()
