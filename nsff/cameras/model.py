"""Cameras: intrinsics and world-to-camera transforms of a set of pinhole views, in OpenCV axes.

Notation. x right, y down, z forward; X_camera = R X_world + t; pixel centres lie at (column + 0.5, row + 0.5), so that
u = fx X/Z + cx with cx = width/2 for a centred principal point. Lengths are in scene units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64

from nsff.files.io import read_json, write_json
from nsff.files.reading import reading

CONVENTION = "OpenCV axes (x right, y down, z forward), world to camera; pixel centres at +0.5"


@dataclass(frozen=True)
class Cameras:
    """N pinhole cameras that share one image size.

    intrinsics (N,3,3), pixels; world_to_camera (N,3,4); near_far (N,2), depth bounds of the visible scene along z.
    Raises ValueError for arrays of other shapes or with numbers that are not finite.

    >>> K = np.array([[100.0, 0, 32], [0, 100, 24], [0, 0, 1]])
    >>> cameras = Cameras(K[None], np.eye(4)[None, :3], np.array([[1.0, 10.0]]), width=64, height=48)
    >>> cameras.project(np.array([[0.2, 0.0, 2.0]]))  # 100 * 0.2 / 2 pixels to the right of the centre, at depth 2
    (array([[[42., 24.]]]), array([[2.]]))
    >>> cameras.resized(24, 32).focal
    50.0
    """

    intrinsics: Float64[np.ndarray, "N 3 3"]
    world_to_camera: Float64[np.ndarray, "N 3 4"]
    near_far: Float64[np.ndarray, "N 2"]
    width: int
    height: int

    def __post_init__(self) -> None:
        for name, shape in (("intrinsics", (3, 3)), ("world_to_camera", (3, 4)), ("near_far", (2,))):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            if value.shape != (len(self.intrinsics), *shape) or not np.isfinite(value).all():
                raise ValueError(f"cameras: {name} of shape {value.shape}, or not finite")
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.intrinsics)

    def __getitem__(self, index: slice | list[int] | np.ndarray) -> Cameras:
        """A subset; always a set of cameras, so give a slice or a list."""
        return replace(
            self,
            intrinsics=self.intrinsics[index],
            world_to_camera=self.world_to_camera[index],
            near_far=self.near_far[index],
        )

    @property
    def camera_to_world(self) -> Float64[np.ndarray, "N 3 4"]:
        R, t = self.world_to_camera[:, :, :3], self.world_to_camera[:, :, 3:]
        return np.concatenate([R.transpose(0, 2, 1), -R.transpose(0, 2, 1) @ t], axis=2)

    @property
    def centres(self) -> Float64[np.ndarray, "N 3"]:
        return self.camera_to_world[:, :, 3]

    @property
    def focal(self) -> float:
        """Mean of fx over the cameras, pixels."""
        return float(self.intrinsics[:, 0, 0].mean())

    def resized(self, height: int, width: int) -> Cameras:
        """The same cameras for images scaled to another size (pixel centres at +0.5, so no extra shift)."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, intrinsics=scale @ self.intrinsics, width=width, height=height)

    def zoomed(self, factor: float) -> Cameras:
        """The same poses with ``factor`` times the focal lengths."""
        return replace(
            self, intrinsics=self.intrinsics * np.array([[factor, factor, 1], [factor, factor, 1], [1, 1, 1]])
        )

    def moved(self, scale: float, R: Float[np.ndarray, "3 3"], t: Float[np.ndarray, "3"]) -> Cameras:
        """The cameras in the world X' = scale R X + t; depth bounds scale along."""
        rotation = self.world_to_camera[:, :, :3] @ R.T
        translation = scale * self.world_to_camera[:, :, 3] - rotation @ t
        return replace(
            self,
            world_to_camera=np.concatenate([rotation, translation[:, :, None]], axis=2),
            near_far=self.near_far * scale,
        )

    def rays(self, i: int, at: Float[np.ndarray, "P 2"]) -> Float64[np.ndarray, "P 3"]:
        """World directions in which camera i sees pixel positions (u, v); their component along its z axis is 1."""
        to_world = self.world_to_camera[i, :, :3].T @ np.linalg.inv(self.intrinsics[i])
        return np.concatenate([at, np.ones((len(at), 1))], axis=1) @ to_world.T

    def project(
        self, points: Float[np.ndarray, "P 3"]
    ) -> tuple[Float64[np.ndarray, "N P 2"], Float64[np.ndarray, "N P"]]:
        """Pixel positions (u, v) and depths z of world points in every camera."""
        camera = np.einsum("nij,pj->npi", self.world_to_camera[:, :, :3], points) + self.world_to_camera[:, None, :, 3]
        image = np.einsum("nij,npj->npi", self.intrinsics, camera)
        return image[..., :2] / image[..., 2:], camera[..., 2]

    def save(self, path: Path) -> None:
        write_json(
            path,
            {
                "convention": CONVENTION,
                "width": self.width,
                "height": self.height,
                "cameras": [
                    {"intrinsics": K, "world_to_camera": E, "near": near, "far": far}
                    for K, E, (near, far) in zip(
                        self.intrinsics.tolist(), self.world_to_camera.tolist(), self.near_far.tolist(), strict=True
                    )
                ],
            },
        )

    @staticmethod
    def load(path: Path) -> Cameras:
        """Reads cameras.json; raises StageError naming the file and what is wrong."""
        content = read_json(path)
        with reading(path, "delete it and run the cameras stage again", message="is not a camera file"):
            entries = content["cameras"]
            cameras = Cameras(
                np.array([e["intrinsics"] for e in entries]),
                np.array([e["world_to_camera"] for e in entries]),
                np.array([[e["near"], e["far"]] for e in entries]),
                int(content["width"]),
                int(content["height"]),
            )
            if cameras.width < 1 or cameras.height < 1:
                raise ValueError(f"size {cameras.width}x{cameras.height}")
            return cameras


def stack(first: Cameras, second: Cameras) -> Cameras:
    """The cameras of both, in order; sizes must agree."""
    if (first.width, first.height) != (second.width, second.height):
        raise ValueError("cameras of different image sizes cannot be stacked")
    return replace(
        first,
        intrinsics=np.concatenate([first.intrinsics, second.intrinsics]),
        world_to_camera=np.concatenate([first.world_to_camera, second.world_to_camera]),
        near_far=np.concatenate([first.near_far, second.near_far]),
    )
