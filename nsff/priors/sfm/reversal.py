"""The reversed twin of a model: near and far change places, and the camera goes the other way.

Where perspective is weak, pictures hardly tell a scene from its reversal (Necker's cube): pixels of points with inverse
depths w, seen by a camera that moves by c, move by about f c w, and by f (-c) (W - w) up to a shift f c W that turning
the camera makes good. Mapping ends in one of the two by chance, and bundle adjustment does not lead from one to the
other; but of both, after adjustment, the true one explains the pictures better.

Notation. Points X are those of a pycolmap.Reconstruction, here in the axes of its middle image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from nsff.priors.sfm.mapping import Quality

ENDS = (2.0, 98.0)
"""Percentiles of inverse depth that change places."""
ALIKE = 1.05
"""Models whose errors are within this factor are told apart by the order of depth."""


def reversed_twin(model: Any) -> Any:
    """The reversal of a model, to be adjusted: points at w_near + w_far - w, centres mirrored at that of the middle
    image, and the rotations that explain the observations best."""
    import pycolmap

    twin = pycolmap.Reconstruction(model)
    images = sorted((image for image in twin.images.values() if image.has_pose), key=lambda image: image.name)
    middle = images[len(images) // 2].cam_from_world().matrix()
    numbers = list(twin.points3D)
    X = np.array([twin.points3D[k].xyz for k in numbers]) @ middle[:, :3].T + middle[:, 3]
    z = np.maximum(X[:, 2], 1e-6)
    far, near = np.percentile(1 / z, ENDS)
    w = np.clip(near + far - 1 / z, 0.25 * far, 2 * near)
    moved = dict(zip(numbers, X / (z * w)[:, None], strict=True))
    for k, xyz in moved.items():
        twin.points3D[k].xyz = xyz
    for image in images:
        centre = -(middle[:, :3] @ image.projection_center() + middle[:, 3])
        seen = [(point.xy, moved[point.point3D_id]) for point in image.points2D if point.has_point3D()]
        flat = twin.cameras[image.camera_id].cam_from_img(np.array([xy for xy, _ in seen]))
        rays = _unit(np.concatenate([flat, np.ones((len(flat), 1))], axis=1))
        R = Rotation.align_vectors(rays, _unit(np.array([xyz for _, xyz in seen]) - centre))[0].as_matrix()
        twin.frames[image.frame_id].rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(R), -R @ centre)
    twin.update_point_3d_errors()
    return twin


def is_better(twin: Quality, twin_order: float, found: Quality, order: float) -> bool:
    """Whether the twin of a model, adjusted, is the truer one: it explains at least as many frames and about as many
    points with a smaller error, or nearly as small a one if it has the plausible order of depth
    (static_world.WorldCheck). A twin of that order may have lost points: those farther away are seen at smaller angles,
    and the smallest are dropped.
    """
    ordered = twin_order > max(order, 0.0)
    if twin.registered < found.registered or twin.points < (0.6 if ordered else 0.9) * found.points:
        return False
    return twin.rms_error < (ALIKE if ordered else 1 / ALIKE) * found.rms_error


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
