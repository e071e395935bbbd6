"""What flow leaves unexplained is its error in pixels, and distances within it are no motion, for DIS alone."""

import cv2
import numpy as np
import pytest

from nsff.config import MotionConfig
from nsff.files.io import write_json
from nsff.priors.motion.flow_error import flow_error
from nsff.priors.motion.stage import evidence_of
from nsff.scene import Scene

SIZE = (96, 128)
NOISE = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
PICTURE = cv2.normalize(cv2.GaussianBlur(NOISE, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)  # type: ignore[call-overload]


def error_of(shift: float, flow: float) -> float:
    """Median error of a uniform flow to the right where the picture goes by ``shift`` pixels."""
    moved = cv2.warpAffine(PICTURE, np.float32([[1, 0, shift], [0, 1, 0]]), SIZE[::-1], borderMode=cv2.BORDER_REFLECT)  # type: ignore[call-overload,arg-type]
    field = np.zeros((*SIZE, 2), np.float32)
    field[..., 0] = flow
    pictures = [PICTURE, moved]
    return float(np.median(flow_error(lambda i: pictures[i], lambda i, j: (field, np.ones(SIZE, bool)), 0, 2)))


def test_the_error_is_that_of_the_flow():
    assert error_of(2, 2) < 0.05
    assert error_of(2, 1) == pytest.approx(0.7, abs=0.3), "across the gradient, a shift of one pixel shows less"
    assert error_of(2, 0) > 1.6 * error_of(2, 1)


def test_distances_within_the_error_are_no_motion():
    distance = np.full(SIZE, 2.0, np.float32)
    sure = evidence_of(distance, MotionConfig())[0]
    unsure = evidence_of(distance, MotionConfig(), None, np.full(SIZE, 3.0, np.float32))[0]
    assert (sure > 0.5).all()
    assert (unsure < 0.5).all()
    np.testing.assert_array_equal(evidence_of(distance, MotionConfig(), None, np.zeros(SIZE, np.float32))[0], sure)


@pytest.mark.parametrize(("backend", "asked"), [("dis", True), ("raft", False), ("given", False)])
def test_flow_of_a_network_is_not_asked(tmp_path, backend, asked):
    scene = Scene(tmp_path)
    assert not scene.flow_result().without_network
    write_json(scene.summary_path("flow"), {"backend": backend})
    assert scene.flow_result().without_network is asked
