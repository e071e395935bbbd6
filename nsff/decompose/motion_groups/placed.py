"""Where objects are in space: by it, points of a model and views from elsewhere get their objects.

Unlike instances of a label (nsff.decompose.instances) the points stand for the whole picture: those of the background
have the number 0, so that what lies nearest decides whether a point is of an object at all.

Notation. V training views. Objects are numbered from 1 in masks, 0 is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

from nsff.decompose.instances import PlacedObjects
from nsff.decompose.view_surfaces import read_disparity, surface_points
from nsff.decompose.views import View
from nsff.imaging.morphology import dilate_by_distance
from nsff.scene import Scene

OBJECT_POINTS, OTHER_POINTS = 4000, 4000
"""Points that are kept for each training view: of objects, and of what lies around them."""
AROUND = 24
"""Points of the background are kept more densely within so many pixels of objects: they share half of them."""


def place_objects(
    scene: Scene, views: Sequence[View], masks: Sequence[Integer[np.ndarray, "H W"]], count: int
) -> PlacedObjects:
    """Points of the surfaces that the training views show, with the objects of their masks."""
    generator = np.random.default_rng(0)
    placed = PlacedObjects([count], np.array([float(view.time) for view in views]), [], [], [])
    for view, mask in zip(views, masks, strict=True):
        points = surface_points(scene, view, read_disparity(scene, view, scene.size)).reshape(-1, 3)
        near = dilate_by_distance(mask > 0, AROUND) & (mask == 0)
        kinds = (
            (mask > 0, OBJECT_POINTS),
            (near, OTHER_POINTS // 2),
            ((mask == 0) & ~near, OTHER_POINTS // 2),
        )
        at = np.concatenate([generator.permutation(np.flatnonzero(where))[:most] for where, most in kinds])
        placed.points.append(points[at].astype(np.float32))
        placed.labels.append(np.ones(len(at), np.int64))
        placed.numbers.append(mask.ravel()[at].astype(np.int64))
    return placed
