"""A scene under weak perspective and its reversal: each is made from the other, and the true one has less error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from nsff.priors.sfm.mapping import Known, assess, refine
from nsff.priors.sfm.reversal import is_better, reversed_twin

pycolmap = pytest.importorskip("pycolmap")
FRAMES, POINTS, FOCAL = 6, 150, 600.0


@pytest.fixture(scope="module")
def truth() -> Any:
    """A camera goes to the right by a tenth of the distance of points at depths 8 to 12, that it sees to 0.2 px."""
    generator = np.random.default_rng(0)
    depth = generator.uniform(8, 12, POINTS)
    xyz = np.stack([*(generator.uniform(-0.25, 0.25, (2, POINTS)) * depth), depth], axis=1)
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(camera_id=1, model="SIMPLE_RADIAL", width=480, height=360, params=[FOCAL, 240, 180, 0])
    model.add_camera_with_trivial_rig(camera)
    for k in range(FRAMES):
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(np.eye(3)), np.array([-0.2 * k, 0.02 * (k % 2), 0.0]))
        seen = xyz @ pose.rotation.matrix().T + pose.translation
        pixels = FOCAL * seen[:, :2] / seen[:, 2:] + [240, 180] + generator.normal(0, 0.2, (POINTS, 2))
        image = pycolmap.Image(name=f"{k:05d}.png", camera_id=1, image_id=k + 1)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in pixels])
        model.add_image_with_trivial_frame(image, pose)
    for n, point in enumerate(xyz):
        track = pycolmap.Track()
        for k in range(FRAMES):
            track.add_element(k + 1, n)
        model.add_point3D(point, track)
    model.update_point_3d_errors()
    return model


def depth_agrees(model: Any, truth: Any) -> float:
    common = [k for k in model.points3D if k in truth.points3D]
    pose = model.images[1].cam_from_world().matrix()
    depths = [pose[2, :3] @ model.points3D[k].xyz + pose[2, 3] for k in common]
    return float(spearmanr(depths, [truth.points3D[k].xyz[2] for k in common]).statistic)


def test_the_reversal_of_a_reversal_is_the_scene_and_the_better_one(truth):
    known = Known(focal=False, distortion=True)
    wrong = refine(reversed_twin(truth), known, True)
    assert depth_agrees(wrong, truth) < -0.8
    right = refine(reversed_twin(wrong), known, True)
    assert depth_agrees(right, truth) > 0.9
    of_wrong, of_right = assess(wrong), assess(right)
    assert of_wrong is not None
    assert of_right is not None
    assert of_right.rms_error < of_wrong.rms_error
    assert is_better(of_right, 0.9, of_wrong, -0.9)
    assert not is_better(of_wrong, -0.9, of_right, 0.9)
    # Points that lie farther away are seen at smaller angles, and some are dropped for it.
    fewer = replace(of_right, points=round(0.7 * of_wrong.points))
    assert is_better(fewer, 0.9, of_wrong, -0.9)
    assert not is_better(fewer, -0.9, of_wrong, -0.9)
    assert not is_better(replace(of_right, points=round(0.5 * of_wrong.points)), 0.9, of_wrong, -0.9)
