"""Normalised spaces in which fields live: NDC for forward-facing scenes, contraction for all others.

Notation. X are world points (OpenCV axes, scene units), x normalised positions. A space first applies its similarity
X' = scale (R X + t), whose axes are OpenCV too; X' are the Euclidean coordinates of the space, the same whatever unit,
origin and axes the world has. s in [0, 1] runs along a ray from the nearest to the farthest sample.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nsff.cameras.model import Cameras
from nsff.cameras.rays import project

EPSILON = 1e-6
HORIZON = 5e-6
"""Inverse depth below which a point counts as this near to infinity: float32 leaves few digits there."""
FORWARD_ANGLE = 60.0


class Space:
    """Base class: the similarity, the box of all samples, and (de)serialisation."""

    kind = ""

    def __init__(self, scale: float, R: Any, t: Any, box: Any) -> None:
        self.scale = float(scale)
        self.R, self.t = torch.as_tensor(np.asarray(R, np.float64)), torch.as_tensor(np.asarray(t, np.float64))
        self.box = torch.as_tensor(np.asarray(box, np.float64))
        self._placed: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def _similarity(self, like: Tensor) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3"]]:
        """R and t on the device and in the type of a tensor; copied there once, as every copy waits for the device."""
        key = (like.device, like.dtype)
        if key not in self._placed:
            self._placed[key] = (self.R.to(like), self.t.to(like))
        return self._placed[key]

    def bounds(self) -> Float[Tensor, "2 3"]:
        """Lower and upper corner of a box around the samples of all training rays."""
        return self.box.float()

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "scale": self.scale,
            "R": self.R.tolist(),
            "t": self.t.tolist(),
            "box": self.box.tolist(),
            **self._own(),
        }

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Space:
        values = dict(values)
        kinds: dict[str, Any] = {"ndc": NdcSpace, "contraction": ContractedSpace}
        return kinds[values.pop("kind")](**values)

    def _own(self) -> dict[str, Any]:
        return {}

    def _similar(self, points: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        R, t = self._similarity(points)
        return ((points[..., None, :] * R).sum(-1) + t) * self.scale

    def _turn(self, directions: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        return (directions[..., None, :] * self._similarity(directions)[0]).sum(-1) * self.scale

    def _back(self, points: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        R, t = self._similarity(points)
        return ((points / self.scale - t)[..., :, None] * R).sum(-2)

    def unit_directions(self, directions: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        """World directions in the axes of the space (the average camera's for NDC), with unit length."""
        return torch.nn.functional.normalize(self._turn(directions), dim=-1)

    # --- Euclidean coordinates of the space -------------------------------------------------------------------------
    def euclidean(self, positions: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        """X' of normalised positions, always finite: where scene flow and its losses are measured."""
        points = self.homogeneous(positions)
        w = points[..., 3:]
        far = torch.full_like(w, HORIZON).copysign(w)
        return points[..., :3] / torch.where(w.abs() < HORIZON, far, w)

    def relative(self, world_to_camera: Float[Tensor, "N 3 4"]) -> Float[Tensor, "N 3 4"]:
        """Transforms from X' to the same cameras, whose depths are in units of the space too."""
        E = world_to_camera.double()
        R, t = self._similarity(E)
        turned = E[:, :, :3] @ R.T
        return torch.cat([turned, self.scale * (E[:, :, 3:] - turned @ t[:, None])], -1).to(world_to_camera.dtype)

    def project(
        self, positions: Float[Tensor, "R 3"], K: Float[Tensor, "R 3 3"], relative: Float[Tensor, "R 3 4"]
    ) -> Float[Tensor, "R 2"]:
        """Pixel positions at which cameras, given by ``relative``, see normalised positions.

        Divided once, in homogeneous coordinates, so that nothing explodes at infinity.
        """
        points = self.homogeneous(positions)
        scaled = torch.cat([relative[..., :3], relative[..., 3:] * points[..., None, 3:]], -1)
        return project(points[..., :3], K, scaled)[0]

    # --- what a space must say --------------------------------------------------------------------------------------
    def homogeneous(self, positions: Float[Tensor, "... 3"]) -> Float[Tensor, "... 4"]:
        """(a, w) with X' = a / w; w = 0 is infinity."""
        raise NotImplementedError

    def normalise_rays(self, origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"]) -> tuple[Tensor, Tensor]:
        """World rays in the space's own ray parametrisation, for ``positions``."""
        raise NotImplementedError

    def positions(
        self, origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"], s: Float[Tensor, "R K"]
    ) -> Float[Tensor, "R K 3"]:
        """Normalised positions at s along normalised rays."""
        raise NotImplementedError

    def to_world(self, positions: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        raise NotImplementedError

    def from_world(self, points: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
        raise NotImplementedError

    def s_of_depth(
        self, origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"], depth: Float[Tensor, "R"]
    ) -> Float[Tensor, "R"]:
        """The s at which world rays reach origin + depth · direction (not clamped)."""
        raise NotImplementedError


class NdcSpace(Space):
    """Normalised device coordinates with the near plane at 1 (ndc_rays of NSFF; NeRF, appendix C).

    In OpenCV axes of the average camera: x' = ax X/Z, y' = ay Y/Z, z' = 1 - 2/Z with ax = 2f/W, ay = 2f/H. This is
    NSFF's NDC with y pointing down; z' = -1 at the near plane and 1 at infinity, s = (z' + 1)/2.
    """

    kind = "ndc"

    def __init__(self, scale: float, R: Any, t: Any, box: Any, ax: float, ay: float) -> None:
        super().__init__(scale, R, t, box)
        self.ax, self.ay = float(ax), float(ay)

    def _own(self) -> dict[str, Any]:
        return {"ax": self.ax, "ay": self.ay}

    def normalise_rays(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        # The line's image in NDC does not depend on the length of d, which keeps that of the world.
        o, d = self._similar(origins), self._turn(directions) / self.scale
        # To the plane Z = 1, then the line's image in NDC; rays that do not go forward are bent to.
        dz = torch.where(d[:, 2] > EPSILON, d[:, 2], torch.full_like(d[:, 2], EPSILON))
        o = o + ((1 - o[:, 2]) / dz)[:, None] * d
        x, y = o[:, 0] / o[:, 2], o[:, 1] / o[:, 2]
        start = torch.stack([self.ax * x, self.ay * y, 1 - 2 / o[:, 2]], -1)
        step = torch.stack([self.ax * (d[:, 0] / dz - x), self.ay * (d[:, 1] / dz - y), 2 / o[:, 2]], -1)
        return start, step

    def positions(self, origins: Tensor, directions: Tensor, s: Tensor) -> Tensor:
        return origins[:, None] + s[..., None] * directions[:, None]

    def homogeneous(self, positions: Tensor) -> Tensor:
        """NSFF's conversion from NDC, Z = 2 / (1 - z' - 1e-6), its 1e-6 included.

        Beyond infinity, where scene flow may push a sample, Z is negative, as there.
        """
        x, y, z = positions.unbind(-1)
        return torch.stack([x / self.ax, y / self.ay, torch.ones_like(z), 0.5 * (1 - z - EPSILON)], -1)

    def to_world(self, positions: Tensor) -> Tensor:
        """Inverse of from_world. Beyond infinity (z' ≥ 1, where scene flow may push a sample) it stays at a far,
        finite depth.
        """
        Z = 2 / (1 - positions[..., 2]).clamp(min=1e-4)
        return self._back(torch.stack([positions[..., 0] / self.ax * Z, positions[..., 1] / self.ay * Z, Z], -1))

    def from_world(self, points: Tensor) -> Tensor:
        p = self._similar(points)
        Z = p[..., 2].clamp(min=EPSILON)
        return torch.stack([self.ax * p[..., 0] / Z, self.ay * p[..., 1] / Z, 1 - 2 / Z], -1)

    def s_of_depth(self, origins: Tensor, directions: Tensor, depth: Tensor) -> Tensor:
        Z = self._similar(origins + depth[:, None] * directions)[:, 2].clamp(min=EPSILON)
        return 1 - 1 / Z


class ContractedSpace(Space):
    """Unbounded space contracted into a ball of radius 2 (mip-NeRF 360, equation 10).

    x = X' inside the unit ball, (2 - 1/|X'|) X'/|X'| outside. s is uniform in inverse distance between near and far
    (multiples of the ray direction, scene units), so that near content gets most samples.
    """

    kind = "contraction"

    def __init__(self, scale: float, R: Any, t: Any, box: Any, near: float, far: float) -> None:
        super().__init__(scale, R, t, box)
        self.near, self.far = float(near), float(far)

    def _own(self) -> dict[str, Any]:
        return {"near": self.near, "far": self.far}

    def normalise_rays(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        return self._similar(origins), self._turn(directions)

    def positions(self, origins: Tensor, directions: Tensor, s: Tensor) -> Tensor:
        distance = 1 / ((1 - s) / self.near + s / self.far)
        return contract(origins[:, None] + distance[..., None] * directions[:, None])

    def homogeneous(self, positions: Tensor) -> Tensor:
        """The inverse of contraction; at and beyond infinity (norm 2) a far, finite distance."""
        norm = positions.norm(dim=-1, keepdim=True).clamp(min=EPSILON)
        inside = torch.cat([positions, torch.ones_like(norm)], -1)
        outside = torch.cat([positions / norm, (2 - norm).clamp(min=1e-4)], -1)
        return torch.where(norm <= 1, inside, outside)

    def to_world(self, positions: Tensor) -> Tensor:
        return self._back(self.euclidean(positions))

    def from_world(self, points: Tensor) -> Tensor:
        return contract(self._similar(points))

    def s_of_depth(self, origins: Tensor, directions: Tensor, depth: Tensor) -> Tensor:
        return (1 / depth.clamp(min=EPSILON * self.near) - 1 / self.near) / (1 / self.far - 1 / self.near)


def contract(points: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
    """mip-NeRF 360's contraction of space into the ball of radius 2."""
    norm = points.norm(dim=-1, keepdim=True).clamp(min=EPSILON)
    return torch.where(norm <= 1, points, (2 - 1 / norm) * points / norm)


# --- building a space from cameras -----------------------------------------------------------------------------------
def make_space(kind: Literal["auto", "ndc", "contraction"], cameras: Cameras, near: float = 0.9) -> Space:
    """The space for a set of cameras; ``auto`` takes NDC when they all look forward.

    ``near`` is NDC's near plane as a fraction of the nearest static content (NSFF: 0.9). What moves may be nearer.
    """
    if kind == "auto":
        kind = "ndc" if is_forward_facing(cameras) else "contraction"
    if kind == "ndc":
        R, centre = average_pose(cameras)
        scale = 1 / (near * np.percentile(cameras.near_far[:, 0], 5))
        size = 2 * cameras.focal
        space: Space = NdcSpace(scale, R, -R @ centre, np.zeros((2, 3)), size / cameras.width, size / cameras.height)
    else:
        R, centre = np.eye(3), cameras.centres.mean(0)
        near, far = 0.5 * np.percentile(cameras.near_far[:, 0], 5), 4 * np.percentile(cameras.near_far[:, 1], 95)
        # The unit ball, which contraction leaves alone, holds the cameras and the nearer content.
        reach = np.linalg.norm(cameras.centres - centre, axis=1).max()
        scale = 1 / max(reach * 1.1, float(np.median(cameras.near_far.mean(1))))
        space = ContractedSpace(scale, R, -centre, np.zeros((2, 3)), float(near), float(far))
    space.box = _box(space, cameras)
    return space


def average_pose(cameras: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """NSFF's average camera (recenter_poses): rotation to it from the world (3,3), and its centre (3,)."""
    R = cameras.world_to_camera[:, :, :3]
    forward, up = R[:, 2].sum(0), -R[:, 1].sum(0)
    z = forward / np.linalg.norm(forward)
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z]), cameras.centres.mean(0)


def is_forward_facing(cameras: Cameras) -> bool:
    """All cameras, and all their corner rays, look into the half space before the average camera, from near its
    plane.
    """
    R, centre = average_pose(cameras)
    axes = cameras.world_to_camera[:, 2, :3]
    angle = np.degrees(np.arccos(np.clip((axes @ axes.T).min(), -1, 1)))
    if angle > FORWARD_ANGLE:
        return False
    _, directions = _corner_rays(cameras)
    slope = directions @ R[2]
    depth = (cameras.centres - centre) @ R[2]
    return bool(
        (slope > 0.2 * np.linalg.norm(directions, axis=1)).all()
        and depth.max() < 0.8 * np.percentile(cameras.near_far[:, 0], 5)
    )


def _corner_rays(cameras: Cameras) -> tuple[np.ndarray, np.ndarray]:
    u, v = np.meshgrid(np.linspace(0, cameras.width, 5), np.linspace(0, cameras.height, 5))
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    directions = np.einsum(
        "nji,njk,kp->npi", cameras.world_to_camera[:, :, :3], np.linalg.inv(cameras.intrinsics), pixels
    )
    origins = np.repeat(cameras.centres[:, None], u.size, axis=1)
    return origins.reshape(-1, 3), directions.reshape(-1, 3)


def _box(space: Space, cameras: Cameras) -> Float[Tensor, "2 3"]:
    origins, directions = (torch.as_tensor(value) for value in _corner_rays(cameras))
    o, d = space.normalise_rays(origins, directions)
    s = torch.linspace(0, 1, 33, dtype=o.dtype).expand(len(o), 33)
    x = space.positions(o, d, s).reshape(-1, 3)
    low, high = x.amin(0), x.amax(0)
    margin = 0.02 * (high - low)
    return torch.stack([low - margin, high + margin])
