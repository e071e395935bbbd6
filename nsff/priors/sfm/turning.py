"""A camera that only turns: rotations, focal length and lens by the matches, where nothing tells depth.

All frames have one centre of projection, so matches are joined by rotations (Hartley and Zisserman, chapter 8.4; bundle
adjustment of panoramas: Brown and Lowe, Automatic Panoramic Image Stitching using Invariant Features, 2007). Everything
that moves still shows as what no rotation explains. Points are put at distance 1 of the centre, since none is known.

Notation. Matches a, b (M,2) of frames i and j are pixels of the working size from the principal point,

    b = f d(pi(R_j R_i^T (u(a / f), 1)))    d(x) = x (1 + k |x|^2),  u = d^-1,  pi(x, y, z) = (x, y) / z

with R (N,3,3) from the world to each camera, one focal length f in pixels and one radial distortion k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from nsff.geometry.cross_product import cross_matrix
from nsff.priors.sfm.features import FeatureDatabase, Matches
from nsff.priors.sfm.parallax import FIRST_FOCAL, LEAST_MATCHES, QUANTILE, WIDEST, straightened, with_unit_depth

MOST_MATCHES = 80
"""Matches of a pair that are used, evenly taken."""
ROUNDS = 12
"""Most steps of the adjustment."""
DAMPING = 1e-6
"""Relative weight that keeps a step (Levenberg-Marquardt) finite; more makes focal length and rotations creep."""
ROBUST = 1.0
"""Pixels at which a residual begins to count less (Huber)."""
FOCAL_PRIOR = 0.3
"""Standard deviation of log f about FIRST_FOCAL of the longer side: little rotation leaves it open."""
DISTORTION_PRIOR = 0.05
"""Standard deviation of k."""
NOISE = 1.0
"""Standard deviation of a match in pixels, against which the priors stand."""
POINTS = 3000
"""Most points that are written."""


@dataclass(frozen=True)
class Turning:
    """The camera of a clip that only turns, pixels of the working size."""

    frames: tuple[int, ...]
    """The frames with a rotation, ascending."""
    rotations: Float[np.ndarray, "N 3 3"]
    """World to camera, of these frames; the first is the identity."""
    focal: float
    distortion: float
    residual: float
    """Distance that the rotations leave unexplained: quantiles over matches and pairs as of ``Parallax``."""
    pairs: int


def turning_camera(database: FeatureDatabase, focal: float | None = None) -> Turning | None:
    """The rotations that explain the verified matches best; None where no frames match. ``focal`` in working pixels
    stays as it is, where it is known."""
    pairs = [pair for pair in database.verified() if len(pair.first) >= LEAST_MATCHES]
    if not pairs:
        return None
    centre, longer = np.array(database.principal_point), float(max(database.width, database.height))
    return fit_turning([_centred(pair, centre) for pair in pairs], longer, focal)


def _centred(pair: Matches, centre: Float[np.ndarray, "2"]) -> Matches:
    some = np.unique(np.linspace(0, len(pair.first) - 1, MOST_MATCHES).astype(int))
    return Matches(pair.i, pair.j, pair.first[some] - centre, pair.second[some] - centre)


def fit_turning(pairs: Sequence[Matches], longer: float, focal: float | None = None) -> Turning | None:
    """The same from matches about the principal point; ``longer`` is the longer side in pixels.

    Frames are those that a chain of pairs joins to the first frame of the pair with the most matches.
    """
    first_focal = focal or FIRST_FOCAL * longer
    start = _chained(pairs, first_focal)
    frames = tuple(sorted(start))
    index = {frame: n for n, frame in enumerate(frames)}
    used = [pair for pair in pairs if pair.i in index and pair.j in index]
    i = np.concatenate([np.full(len(pair.first), index[pair.i]) for pair in used])
    j = np.concatenate([np.full(len(pair.first), index[pair.j]) for pair in used])
    a, b = (np.concatenate([getattr(pair, side) for pair in used]) for side in ("first", "second"))
    rotations = np.stack([start[frame] for frame in frames])
    lens = np.array([np.log(first_focal), 0.0])
    best = np.inf
    for _ in range(ROUNDS):
        residual, of_i, of_j, of_lens = _linearised(rotations, lens, i, j, a, b)
        size = np.linalg.norm(residual, axis=1)
        weight = np.minimum(1.0, ROBUST / np.maximum(size, 1e-9))
        cost = float(np.where(size < ROBUST, size**2 / 2, ROBUST * (size - ROBUST / 2)).sum())
        step = _step(len(frames), i, j, weight, residual, (of_i, of_j, of_lens), lens - [np.log(first_focal), 0.0],
                     focal is not None)  # fmt: skip
        rotations = np.einsum("nab,nbc->nac", Rotation.from_rotvec(step[:-2].reshape(-1, 3)).as_matrix(), rotations)
        lens = lens + step[-2:]
        lens = np.clip(lens, [np.log(0.4 * longer), -0.4], [np.log(6 * longer), 0.4])
        if abs(best - cost) < 1e-5 * max(cost, 1e-9):
            break
        best = cost
    size = np.linalg.norm(_linearised(rotations, lens, i, j, a, b)[0], axis=1)
    ends = np.cumsum([len(pair.first) for pair in used])
    left = [np.quantile(part, QUANTILE) for part in np.split(size, ends[:-1])]
    return Turning(
        frames, rotations @ rotations[0].T, float(np.exp(lens[0])), float(lens[1]), float(np.quantile(left, WIDEST)),
        len(used),
    )  # fmt: skip


def _chained(pairs: Sequence[Matches], focal: float) -> dict[int, Float[np.ndarray, "3 3"]]:
    """Rotations of the frames, each by the pair with the most matches that joins it to those before (Prim)."""
    open_pairs = sorted(pairs, key=lambda pair: -len(pair.first) + abs(pair.i - pair.j))
    found = {open_pairs[0].i: np.eye(3)}
    while True:
        joining = next((pair for pair in open_pairs if (pair.i in found) != (pair.j in found)), None)
        if joining is None:
            return found
        R = _pair_rotation(joining.first / focal, joining.second / focal)
        if joining.i in found:
            found[joining.j] = R @ found[joining.i]
        else:
            found[joining.i] = R.T @ found[joining.j]


def _pair_rotation(first: Float[np.ndarray, "M 2"], second: Float[np.ndarray, "M 2"]) -> Float[np.ndarray, "3 3"]:
    """The rotation (Kabsch 1976) of the better half of the matches, twice over."""
    x, y = with_unit_depth(first), with_unit_depth(second)
    keep = np.ones(len(x), bool)
    for _ in range(3):
        R = Rotation.align_vectors(y[keep], x[keep])[0].as_matrix()
        ahead = x @ R.T
        miss = np.linalg.norm(ahead[:, :2] / np.maximum(ahead[:, 2:], 1e-3) - second, axis=1)
        keep = miss <= np.median(miss)
    return R


def _linearised(
    rotations: Float[np.ndarray, "N 3 3"], lens: Float[np.ndarray, "2"], i: np.ndarray, j: np.ndarray,
    a: Float[np.ndarray, "M 2"], b: Float[np.ndarray, "M 2"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Residuals (M,2), and their derivatives by turns of camera i and of camera j (M,2,3), by log f and k (M,2,2)."""
    relative = np.einsum("mab,mcb->mac", rotations[j], rotations[i])

    def predicted(values: Float[np.ndarray, "2"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        f, k = np.exp(values[0]), values[1]
        ray = with_unit_depth(straightened(a / f, k))
        turned = np.einsum("mab,mb->ma", relative, ray)
        plane = turned[:, :2] / np.maximum(turned[:, 2:], 1e-3)
        return f * plane * (1 + k * (plane**2).sum(1, keepdims=True)), ray, turned

    there, ray, turned = predicted(lens)
    f, z = np.exp(lens[0]), np.maximum(turned[:, 2], 1e-3)
    plane = turned[:, :2] / z[:, None]
    # The lens bends by little, and its derivative by position is left out.
    project = np.zeros((len(a), 2, 3))
    project[:, 0, 0] = project[:, 1, 1] = f / z
    project[:, :, 2] = -f * plane / z[:, None]
    of_j = -project @ cross_matrix(turned)
    of_i = project @ relative @ cross_matrix(ray)
    steps = (1e-4, 1e-4)
    of_lens = np.stack([(predicted(lens + np.eye(2)[n] * h)[0] - there) / h for n, h in enumerate(steps)], axis=-1)
    return there - b, of_i, of_j, of_lens


def _step(
    count: int, i: np.ndarray, j: np.ndarray, weight: np.ndarray, residual: np.ndarray,
    derivatives: tuple[np.ndarray, np.ndarray, np.ndarray], off_prior: np.ndarray, focal_known: bool,
) -> np.ndarray:  # fmt: skip
    """The step (3N+2) of the normal equations; the first camera stays, and a known focal length does."""
    size = 3 * count + 2
    H, g = np.zeros((size, size)), np.zeros(size)
    of_i, of_j, of_lens = derivatives
    blocks = ((i, of_i, 3), (j, of_j, 3), (np.full(len(i), count), of_lens, 2))
    for rows, left, n in blocks:
        np.add.at(g, 3 * rows[:, None] + np.arange(n), np.einsum("m,mac,ma->mc", weight, left, residual))
        for columns, right, m in blocks:
            part = np.einsum("m,mac,mad->mcd", weight, left, right)
            np.add.at(
                H, (3 * rows[:, None, None] + np.arange(n)[:, None], 3 * columns[:, None, None] + np.arange(m)), part
            )
    prior = NOISE**2 / np.array([FOCAL_PRIOR, DISTORTION_PRIOR]) ** 2
    H[-2:, -2:] += np.diag(prior)
    g[-2:] += prior * off_prior
    free = np.r_[np.zeros(3, bool), np.ones(3 * (count - 1), bool), not focal_known, True]
    H[np.diag_indices(size)] *= 1 + DAMPING
    result = np.zeros(size)
    result[free] = np.linalg.solve(H[np.ix_(free, free)] + 1e-9 * np.eye(int(free.sum())), -g[free])
    return result


def turning_model(database: FeatureDatabase, found: Turning) -> Any:
    """The camera as a pycolmap.Reconstruction of the working size: one SIMPLE_RADIAL camera, all frames at one centre,
    and points at distance 1 from it, seen by the two frames of a match."""
    import pycolmap

    index = {frame: n for n, frame in enumerate(found.frames)}
    centre = np.array(database.principal_point)
    model = pycolmap.Reconstruction()
    lens = pycolmap.Camera(
        model="SIMPLE_RADIAL", width=database.width, height=database.height,
        params=[found.focal, *database.principal_point, found.distortion], camera_id=1,
    )  # fmt: skip
    model.add_camera_with_trivial_rig(lens)
    pairs = [pair for pair in database.verified() if pair.j == pair.i + 1 and pair.i in index and pair.j in index]
    total = sum(len(pair.first) for pair in pairs)
    stride = max(1, -(-total // POINTS))
    keypoints: list[list[np.ndarray]] = [[] for _ in found.frames]
    tracks: list[tuple[np.ndarray, list[tuple[int, int]]]] = []
    for pair in pairs:
        first, second = pair.first[::stride], pair.second[::stride]
        m, n = index[pair.i], index[pair.j]
        ray = with_unit_depth(straightened((first - centre) / found.focal, found.distortion))
        world = ray / np.linalg.norm(ray, axis=1, keepdims=True) @ found.rotations[m]
        for k in range(len(first)):
            tracks.append((world[k], [(m, len(keypoints[m])), (n, len(keypoints[n]))]))
            keypoints[m].append(first[k])
            keypoints[n].append(second[k])
    for n, frame in enumerate(found.frames):
        image = pycolmap.Image(
            name=database.names[frame], keypoints=np.array(keypoints[n]).reshape(-1, 2), camera_id=1, image_id=frame + 1
        )
        pose = pycolmap.Rigid3d(np.concatenate([found.rotations[n], np.zeros((3, 1))], axis=1))
        model.add_image_with_trivial_frame(image, pose)
    for position, seen in tracks:
        track = pycolmap.Track()
        for n, k in seen:
            track.add_element(found.frames[n] + 1, k)
        key = model.add_point3D(position, track, np.full(3, 128, np.uint8))
        model.points3D[key].error = found.residual
    return model
