"""Points for cameras that come without any: features matched between frames and triangulated with the known poses.

Only what fits the poses counts: matches near their epipolar line whose point lies in front of both cameras, projects
back onto both features, and is seen under an angle that tells its depth. Source: Hartley and Zisserman, Multiple View
Geometry, 9.6 (fundamental matrix of two cameras) and 12.2 (linear triangulation).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from nsff.cameras import Cameras
from nsff.cameras.points import SparsePoints

MATCHING_ROWS = 540
"""Features are extracted on pictures of at most so many rows."""
FRAMES = 40
"""At most so many frames are used, evenly spread over longer clips."""
MAX_FEATURES = 1500
FRAME_STEPS = (1, 2, 4, 8)
"""Distances of the frames that are matched, counted in the frames that are used."""
MATCH_RATIO = 0.8
MAX_REPROJECTION_ERROR = 1.0
"""Greatest error of a point's projections, in pixels of the pictures that features are extracted on."""
ANGLES = (3.0, 1.0)
"""Least angle between the two rays, degrees: the first where ENOUGH points have it, else the last."""
ENOUGH = 100
MIN_POINTS = 20
"""With fewer points nothing is known."""


def triangulated(cameras: Cameras, image: Callable[[int], UInt8[np.ndarray, "H W 3"]]) -> SparsePoints | None:
    """Points in the cameras' world, each seen in two frames; None where fewer than LEAST are found.

    ``image`` gives the picture of a frame, of the size that the cameras are for.
    """
    chosen = np.unique(np.linspace(0, len(cameras) - 1, min(FRAMES, len(cameras))).round().astype(int)).tolist()
    rows = min(MATCHING_ROWS, cameras.height)
    small = cameras.resized(rows, max(1, round(cameras.width * rows / cameras.height)))
    detector = cv2.SIFT.create(MAX_FEATURES)
    pictures, features = [], []
    for i in chosen:
        picture = cv2.resize(image(i), (small.width, small.height), interpolation=cv2.INTER_AREA)
        found, described = detector.detectAndCompute(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), None)
        pictures.append(picture)
        # OpenCV's pixel centres are whole numbers.
        features.append((np.array([point.pt for point in found]).reshape(-1, 2) + 0.5, described))
    xyz, rgb, error, angle, tracks = [], [], [], [], []
    for step in FRAME_STEPS:
        for a in range(len(chosen) - step):
            b = a + step
            first, second = _matches(features[a], features[b])
            points, errors, angles = _points(small, chosen[a], chosen[b], first, second)
            keep = (errors < MAX_REPROJECTION_ERROR) & (angles > ANGLES[-1])
            column, row = np.floor(first[keep]).astype(int).T
            xyz.append(points[keep])
            error.append(errors[keep])
            angle.append(angles[keep])
            rgb.append(pictures[a][row.clip(0, rows - 1), column.clip(0, small.width - 1)])
            tracks += [(chosen[a], chosen[b])] * int(keep.sum())
    if len(tracks) < MIN_POINTS:
        return None
    wide = np.concatenate(angle) > ANGLES[0]
    kept = wide if wide.sum() >= ENOUGH else np.ones(len(tracks), bool)
    return SparsePoints(
        np.concatenate(xyz)[kept], np.concatenate(rgb)[kept], np.concatenate(error)[kept] * cameras.height / rows,
        np.repeat(np.arange(kept.sum()), 2), np.array(tracks)[kept].reshape(-1),
    )  # fmt: skip


def _matches(
    first: tuple[np.ndarray, np.ndarray | None], second: tuple[np.ndarray, np.ndarray | None]
) -> tuple[Float64[np.ndarray, "M 2"], Float64[np.ndarray, "M 2"]]:
    """Positions of features that are each other's nearest, and clearly nearer than the next."""
    if first[1] is None or second[1] is None or min(len(first[0]), len(second[0])) < 2:
        return np.zeros((0, 2)), np.zeros((0, 2))
    matcher = cv2.BFMatcher()
    nearest = matcher.knnMatch(first[1], second[1], 2)
    there = {best.queryIdx: best.trainIdx for best, other in nearest if best.distance < MATCH_RATIO * other.distance}
    back = {m.queryIdx: m.trainIdx for m in matcher.match(second[1], first[1])}
    pairs = [(i, j) for i, j in there.items() if back.get(j) == i]
    at = np.array(pairs, int).reshape(-1, 2)
    return first[0][at[:, 0]], second[0][at[:, 1]]


def _points(
    cameras: Cameras, a: int, b: int, first: Float64[np.ndarray, "M 2"], second: Float64[np.ndarray, "M 2"]
) -> tuple[Float64[np.ndarray, "M 3"], Float64[np.ndarray, " M"], Float64[np.ndarray, " M"]]:
    """World points of matches between cameras a and b, errors in pixels (not finite: no point), angles in degrees."""
    if not len(first):
        return np.zeros((0, 3)), np.zeros(0), np.zeros(0)
    matrices = [cameras.intrinsics[i] @ cameras.world_to_camera[i] for i in (a, b)]
    with np.errstate(all="ignore"):
        homogeneous = cv2.triangulatePoints(matrices[0], matrices[1], first.T.copy(), second.T.copy())
        points = (homogeneous[:3] / homogeneous[3]).T
        pixels, depth = cameras[[a, b]].project(points)
        errors = np.linalg.norm(pixels - np.stack([first, second]), axis=2)
        rays = [points - cameras.centres[i] for i in (a, b)]
        cosine = (rays[0] * rays[1]).sum(1) / np.prod([np.linalg.norm(ray, axis=1) for ray in rays], axis=0)
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    good = (depth > 0).all(0) & np.isfinite(points).all(1)
    return points, np.where(good, errors.max(0), np.inf), angle
