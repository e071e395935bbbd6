"""The files of a capture in DyCheck's format, which extends that of Nerfies (Gao et al. 2022, docs/DATASETS.md there).

Notation. A frame's name is {camera}_{time}; camera 0 moves, the others stand still. The files are in units X of the
sensor; the world used here is the normalised one, X' = scale (X - center), with near and far in its units. Cameras are
OpenCV, world to camera, pixel centres at +0.5, for pictures of full size (1x).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from nsff.cameras import Cameras
from nsff.errors import InputError, StageError
from nsff.files.io import read_json
from nsff.files.reading import reading

REMEDY = "give a whole capture in DyCheck's layout"


@dataclass(frozen=True)
class Units:
    """X' = scale (X - center); near and far in units of X'."""

    center: Float64[np.ndarray, "3"]
    scale: float
    near: float
    far: float


@dataclass(frozen=True)
class Capture:
    """The files of a capture in ``root``; every error is an InputError that names the file."""

    root: Path

    @cached_property
    def metadata(self) -> dict[str, Any]:
        return _json(self.root / "metadata.json")

    @cached_property
    def units(self) -> Units:
        path = self.root / "scene.json"
        content = _json(path)
        with reading(path, "center, scale, near and far are needed", InputError, REMEDY, "lacks numbers"):
            center = np.asarray(content["center"], np.float64)
            scale, near, far = (float(content[key]) for key in ("scale", "near", "far"))
        if (
            center.shape != (3,)
            or not np.isfinite(center).all()
            or not 0 < near < far < np.inf
            or not 0 < scale < np.inf
        ):
            raise InputError(path, "has no center of three numbers, or not 0 < near < far, scale > 0", "correct it")
        return Units(center, scale, near, far)

    @property
    def frame_rate(self) -> float | None:
        """Frames per second, from extra.json."""
        path = self.root / "extra.json"
        if not path.exists():
            return None
        with reading(path, REMEDY, InputError, REMEDY, "has no rate of frames"):
            value = float(_json(path).get("fps") or 0)
        return value if 0 < value < np.inf else None

    def factors(self, folder: str) -> list[int]:
        """The reductions n that a folder has files of, in {folder}/{n}x, the largest pictures first."""
        found = (re.fullmatch(r"(\d+)x", path.name) for path in (self.root / folder).glob("*x") if path.is_dir())
        return sorted(int(match[1]) for match in found if match)

    def names(self, split: str) -> list[str]:
        """Frames of a split (train, val), by time: splits/{split}.json, else {split}_ids of dataset.json."""
        own = self.root / "splits" / f"{split}.json"
        path, key = (own, "frame_names") if own.exists() else (self.root / "dataset.json", f"{split}_ids")
        with reading(path, REMEDY, InputError, REMEDY, f"has no {key}"):
            names = [str(name) for name in _json(path)[key]]
        return sorted(names, key=lambda name: (self.time(name), name))

    def time(self, name: str) -> int:
        """The time step of a frame."""
        return self._of(name, "warp_id")

    def camera(self, name: str) -> int:
        """Which camera took a frame."""
        return self._of(name, "camera_id")

    def _of(self, name: str, key: str) -> int:
        try:
            return int(self.metadata[name][key])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise InputError(self.root / "metadata.json", f"has no {key} of {name}", REMEDY) from None

    def cameras(self, names: list[str]) -> Cameras:
        """Cameras of frames. Raises InputError for lenses that bend lines, and for sizes that differ."""
        intrinsics, poses, sizes = [], [], set()
        for name in names:
            K, R, position, size = _camera(self.root / "camera" / f"{name}.json")
            t = -R @ (self.units.scale * (position - self.units.center))
            intrinsics.append(K)
            poses.append(np.concatenate([R, t[:, None]], axis=1))
            sizes.add(size)
        if len(sizes) != 1:
            raise InputError(self.root / "camera", f"has cameras of sizes {sorted(sizes)}", "all frames need one size")
        width, height = sizes.pop()
        bounds = np.tile([self.units.near, self.units.far], (len(names), 1))
        return Cameras(np.array(intrinsics), np.array(poses), bounds, width, height)


def _camera(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """Intrinsics, rotation world to camera, position in units of X, and (width, height) of one camera file."""
    content = _json(path)
    with reading(path, REMEDY, InputError, REMEDY, "is no camera"):
        R, position = np.array(content["orientation"], float), np.array(content["position"], float)
        focal, (cx, cy) = float(content["focal_length"]), content["principal_point"]
        aspect = float(content.get("pixel_aspect_ratio", 1.0))
        bent = [*content.get("radial_distortion", []), *content.get("tangential_distortion", [])]
        bent.append(content.get("skew", 0.0))
        width, height = (int(n) for n in content["image_size"])
        K = np.array([[focal, 0, cx], [0, focal * aspect, cy], [0, 0, 1]], np.float64)
        largest = np.abs(np.asarray(bent, np.float64)).max()
    if not np.isfinite(K).all() or not np.isfinite(position).all() or min(focal, aspect, width, height) <= 0:
        raise InputError(path, "has numbers that are none of a camera", REMEDY)
    if R.shape != (3, 3) or position.shape != (3,) or not np.allclose(R @ R.T, np.eye(3), atol=1e-3):
        raise InputError(path, "has an orientation that is no rotation", REMEDY)
    if not largest <= 1e-8:
        raise InputError(path, "has a lens that bends straight lines", "set input.cameras: estimate")
    return K, R, position, (width, height)


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except StageError as error:
        raise InputError(path, error.problem, REMEDY) from None
