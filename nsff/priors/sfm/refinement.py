"""Poses that came with the source, refined on features of the frames, where that pays.

Published rigs have poses that are up to half a pixel off, which blurs all that is rendered. Bundle adjustment alone
would mend that, but before a wall, as in many of those scenes, it is free to trade turns against shifts, and moves
what stands before the wall. Hence the given poses are a prior, and the least change that explains the features is
taken. Intrinsics stay as given.

Notation. M observations x (M,2), pixels, of P points X by N cameras with centres C and rotations R, world to camera;
a camera changes by a turn omega (3,), radians in its own axes, and a shift tau (3,) in units of the rig's extent. What
is minimised is

    sum rho(|pi(exp(omega) R (X - C - tau extent)) - x|) + sum |omega / TURN|^2 + sum |tau / SHIFT|^2

with rho soft (Charbonnier). pycolmap has priors of positions, not of orientations; the solver is SciPy's.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from nsff.cameras import Cameras
from nsff.cameras.align import extent
from nsff.config import SfmConfig
from nsff.priors.sfm.features import FeatureDatabase, extract, sequential_pairs
from nsff.priors.sfm.mapping import quiet
from nsff.scene import Scene

TURN, SHIFT = 5e-4, 1e-3
"""Standard deviations of a given orientation (radians) and position (of the rig's extent)."""
GAIN = 0.06
"""Refined poses are taken where they lower the root mean square error by this fraction: exact poses (toss, rendered)
can be fitted to the noise of features too, by 2 %; those of a published rig (balloon1) are bettered by 11 %."""
LEAST_POINTS = 100
LEAST_FRAMES = 3
SAME_LENS = 1e-3
"""Frames whose intrinsics differ by more than this fraction have lenses of their own, and stay as they are."""


@dataclass(frozen=True)
class Refined:
    """The result of a refinement; errors are pixels at the height that features were found at."""

    cameras: Cameras | None
    """Cameras in the given world, at the size of the frames; None: the given ones are as good."""
    points: int = 0
    before: float = 0.0
    after: float = 0.0
    moved: float = 0.0
    """Largest change of a centre over the extent of all."""
    turned: float = 0.0
    """Largest change of an orientation, degrees."""
    reason: str = ""
    """Why nothing was tried."""


@dataclass(frozen=True)
class Observations:
    """M times a camera sees a point."""

    camera: Int[np.ndarray, " M"]
    point: Int[np.ndarray, " M"]
    at: Float[np.ndarray, "M 2"]
    """Pixels."""
    points: Float[np.ndarray, "P 3"]
    """Their positions before refinement."""


def refine_given(scene: Scene, given: Cameras, sfm: SfmConfig, work: Path) -> Refined:
    """Refines the poses of ``given`` (at the size of the ingested frames); ``work`` is a folder for the database."""
    if len(given) < LEAST_FRAMES:
        return Refined(None, reason="there are fewer than three")
    if np.abs(given.intrinsics - given.intrinsics[0]).max() > SAME_LENS * given.focal:
        return Refined(None, reason="each frame has a lens of its own")
    with quiet():
        database = extract(scene, sfm, work)
        database.match(sequential_pairs(scene.n_frames))
        sized = given.resized(database.height, database.width)
        seen = _observed(database, sized)
    if len(seen.points) < LEAST_POINTS or len(np.unique(seen.camera)) < len(given):
        return Refined(None, reason=f"features of the frames give too few points ({len(seen.points)})")
    return refine_poses(given, sized, seen)


def refine_poses(given: Cameras, sized: Cameras, seen: Observations) -> Refined:
    """The refined cameras; ``sized`` are the given ones at the size that ``seen`` was observed at."""
    problem = _Problem(sized, seen)
    start = np.r_[np.zeros(6 * len(given)), seen.points.ravel()]
    # Points move first, so that both errors are those of the best points.
    still = problem.solved(start, free=False, steps=10)
    found = problem.solved(still, free=True, steps=50)
    before, after = problem.error(still), problem.error(found)
    turn, shift, _ = problem.parts(found)
    R = Rotation.from_rotvec(turn).as_matrix() @ given.world_to_camera[:, :, :3]
    centres = given.centres + problem.extent * shift
    poses = np.concatenate([R, -np.einsum("nij,nj->ni", R, centres)[:, :, None]], axis=2)
    return Refined(
        replace(given, world_to_camera=poses) if after < (1 - GAIN) * before else None,
        len(seen.points), before, after,
        float(np.linalg.norm(shift, axis=1).max()), float(np.degrees(np.linalg.norm(turn, axis=1).max())),
    )  # fmt: skip


class _Problem:
    """Residuals and derivatives over the unknowns (omega, tau, X) in one vector."""

    def __init__(self, cameras: Cameras, seen: Observations) -> None:
        self.cameras, self.seen = cameras, seen
        self.n, self.extent = len(cameras), max(extent(cameras.centres), 1e-12)
        K = cameras.intrinsics[0]
        self.focal, self.centre = np.array([K[0, 0], K[1, 1]]), K[:2, 2]
        self.prior = np.r_[np.full(3 * self.n, 1 / TURN), np.full(3 * self.n, 1 / SHIFT)]

    def parts(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        turn, shift, points = np.split(x, [3 * self.n, 6 * self.n])
        return turn.reshape(-1, 3), shift.reshape(-1, 3), points.reshape(-1, 3)

    def _seen(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (M,3,3) and camera coordinates (M,3) of the observations."""
        turn, shift, points = self.parts(x)
        R = (Rotation.from_rotvec(turn).as_matrix() @ self.cameras.world_to_camera[:, :, :3])[self.seen.camera]
        centres = (self.cameras.centres + self.extent * shift)[self.seen.camera]
        return R, np.einsum("mij,mj->mi", R, points[self.seen.point] - centres)

    def misses(self, x: np.ndarray) -> Float[np.ndarray, "M 2"]:
        _, inside = self._seen(x)
        return inside[:, :2] / inside[:, 2:] * self.focal + self.centre - self.seen.at

    def error(self, x: np.ndarray) -> float:
        """Root mean square over the observations; wrong ones count as 4 pixels off."""
        size = np.linalg.norm(self.misses(x), axis=1)
        return float(np.sqrt(np.mean(np.minimum(size, 4.0) ** 2)))

    def solved(self, start: np.ndarray, free: bool, steps: int) -> np.ndarray:
        """The unknowns of least cost from ``start`` on; without ``free`` cameras stay where they are."""
        return least_squares(
            self.residuals, start, functools.partial(self.derivative, free=free), loss="soft_l1", x_scale="jac",
            tr_solver="lsmr", max_nfev=steps,
        ).x  # fmt: skip

    def residuals(self, x: np.ndarray) -> np.ndarray:
        return np.r_[self.misses(x).ravel(), self.prior * x[: 6 * self.n]]

    def derivative(self, x: np.ndarray, free: bool = True) -> sparse.csr_matrix:
        R, inside = self._seen(x)
        M, n, depth = len(inside), self.n, inside[:, 2]
        of_image = np.zeros((M, 2, 3))
        for k in range(2):
            of_image[:, k, k] = self.focal[k] / depth
            of_image[:, k, 2] = -self.focal[k] * inside[:, k] / depth**2
        # A turn omega in the camera's axes moves a point there by omega x point, to first order around no turn.
        cross = np.zeros((M, 3, 3))
        for i, j, k, sign in ((0, 1, 2, -1), (1, 0, 2, 1), (0, 2, 1, 1), (2, 0, 1, -1), (1, 2, 0, -1), (2, 1, 0, 1)):
            cross[:, i, j] = sign * inside[:, k]
        of_turn, of_point = -of_image @ cross, of_image @ R
        blocks = [(6 * n, self.seen.point, of_point)]
        if free:
            blocks += [(0, self.seen.camera, of_turn), (3 * n, self.seen.camera, -self.extent * of_point)]
        rows = np.repeat(np.arange(2 * M).reshape(M, 2), 3, axis=1).ravel()
        entries = [
            (rows, np.repeat(first + 3 * index[:, None, None] + np.arange(3), 2, axis=1).ravel(), values.ravel())
            for first, index, values in blocks
        ]
        own = np.arange(6 * n)
        entries.append((2 * M + own, own, self.prior))
        row, column, value = (np.concatenate(part) for part in zip(*entries, strict=True))
        return sparse.csr_matrix((value, (row, column)), shape=(2 * M + 6 * n, len(x)))


def _observed(database: FeatureDatabase, given: Cameras) -> Observations:
    """The points that matched features give with the given cameras, by COLMAP's triangulation, outliers removed."""
    import pycolmap

    lens = database.set_lens(given.intrinsics[0])
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(lens)
    for i, name in enumerate(database.names):
        image = pycolmap.Image(name=name, camera_id=lens.camera_id, image_id=i + 1)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in database.positions(i).astype(float)])
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(given.world_to_camera[i]))
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.triangulation.random_seed = database.seed
    options.num_threads = 1
    output = database.folder / "triangulated"
    output.mkdir(exist_ok=True)
    model = pycolmap.triangulate_points(
        model, str(database.path), str(database.images), str(output), clear_points=True, options=options,
        refine_intrinsics=False,
    )  # fmt: skip
    pycolmap.ObservationManager(model).filter_all_points3D(4.0, 1.0)
    return observations(model)


def observations(model: Any) -> Observations:
    """All observations of a reconstruction whose image i + 1 is frame i."""
    camera, point, at = [], [], []
    for number, one in enumerate(model.points3D.values()):
        for element in one.track.elements:
            camera.append(element.image_id - 1)
            point.append(number)
            at.append(model.images[element.image_id].points2D[element.point2D_idx].xy)
    points = np.array([one.xyz for one in model.points3D.values()]).reshape(-1, 3)
    return Observations(np.array(camera, int), np.array(point, int), np.array(at).reshape(-1, 2), points)
