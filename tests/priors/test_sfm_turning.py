"""A camera that only turns: rotations, focal length and lens from matches alone, movers and false matches aside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nsff.priors.sfm.features import Matches
from nsff.priors.sfm.parallax import with_unit_depth
from nsff.priors.sfm.turning import fit_turning

LONGER = 640.0


def matches_of(
    rotations: np.ndarray, focal: float, k: float, wrong: float = 0.0, baseline: float = 0.0
) -> list[Matches]:
    """Matches of all pairs up to three frames apart of points all around, about the principal point, with noise of 0.3
    pixels; a share ``wrong`` of the ends is anywhere. Centres move by ``baseline`` a frame, points are 1 to 3 away."""
    generator = np.random.default_rng(0)
    rays = with_unit_depth(generator.uniform([-1.2, -0.3], [1.2, 0.3], (1200, 2)))
    points = rays * generator.uniform(1, 3, (len(rays), 1))
    pairs = []
    for i in range(len(rotations)):
        for j in range(i + 1, min(i + 4, len(rotations))):
            ends = []
            for frame in (i, j):
                seen = (points - [baseline * frame, 0, 0]) @ rotations[frame].T
                plane = seen[:, :2] / seen[:, 2:]
                ends.append(focal * plane * (1 + k * (plane**2).sum(1, keepdims=True)))
            inside = np.all([np.abs(end) < [LONGER / 2, LONGER / 3] for end in ends], axis=(0, 2))
            first, second = (end[inside] + generator.normal(0, 0.3, (inside.sum(), 2)) for end in ends)
            false = generator.uniform(size=len(second)) < wrong
            second[false] += generator.uniform(-60, 60, (false.sum(), 2))
            pairs.append(Matches(i, j, first, second))
    return pairs


def pan(count: int) -> np.ndarray:
    angles = np.stack([0.5 * np.sin(np.arange(count)), np.linspace(-12, 12, count), np.cos(np.arange(count))], axis=1)
    rotations = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return rotations @ rotations[0].T


def angles_between(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.degrees(Rotation.from_matrix(found @ true.transpose(0, 2, 1)).magnitude())


@pytest.mark.parametrize("wrong", [0.0, 0.15])
def test_rotations_focal_length_and_lens_of_a_pan_are_found(wrong: float):
    true = pan(6)
    found = fit_turning(matches_of(true, 700.0, -0.06, wrong), LONGER)
    assert found is not None
    assert found.frames == tuple(range(6))
    assert found.focal == pytest.approx(700, rel=0.02)
    assert found.distortion == pytest.approx(-0.06, abs=0.02)
    assert angles_between(found.rotations, true).max() < 0.3
    assert found.residual < 1.5


def test_a_known_focal_length_stays():
    found = fit_turning(matches_of(pan(5), 700.0, 0.0), LONGER, 650.0)
    assert found is not None
    assert found.focal == pytest.approx(650)


def test_a_camera_that_moves_leaves_parallax():
    found = fit_turning(matches_of(pan(6), 700.0, 0.0, baseline=0.05), LONGER)
    assert found is not None
    assert found.residual > 4


def test_a_still_camera_keeps_the_usual_focal_length():
    found = fit_turning(matches_of(np.tile(np.eye(3), (4, 1, 1)), 700.0, 0.0), LONGER)
    assert found is not None
    assert found.focal == pytest.approx(1.2 * LONGER, rel=0.1)
    assert angles_between(found.rotations, np.tile(np.eye(3), (4, 1, 1))).max() < 0.05
