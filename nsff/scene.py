"""The on-disk contract of one scene: the only place that knows file names.

Indices i run over the N frames taken, 0..N-1. Canonical frames are undistorted and of one size (H, W); everything from
`images/` on has that size unless said otherwise. Arrays: flow (H,W,2) is (right, down) in pixels; disparity is relative
inverse depth, larger is nearer; features are (N,h,w,C) with h = ceil(H/stride).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from nsff.cameras import Cameras
from nsff.errors import StageError
from nsff.files.io import (
    atomic_path,
    map_npy,
    read_image,
    read_json,
    read_mask,
    read_npz,
    write_image,
    write_json,
    write_npz,
)
from nsff.files.reading import reading

DIRECTIONS = ("fwd", "bwd")


@dataclass(frozen=True)
class Scene:
    """Paths and typed access to results/{scene}/."""

    root: Path
    _raw_sizes: dict[tuple[int, int], tuple[int, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Size of the first flow that was read between ingested frames, by inode and time of its folder: all have it."""

    # --- names -------------------------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        return self.root.name

    def path(self, *parts: str) -> Path:
        return self.root.joinpath(*parts)

    manifest_path = property(lambda self: self.root / "manifest.json")
    frames_dir = property(lambda self: self.root / "frames")
    given_dir = property(lambda self: self.root / "given")
    given_masks_dir = property(lambda self: self.root / "given" / "motion_masks")
    raw_flow_dir = property(lambda self: self.root / "raw_flow")
    coarse_masks_dir = property(lambda self: self.root / "coarse_masks")
    sfm_dir = property(lambda self: self.root / "sfm")
    refined_cameras_path = property(lambda self: self.sfm_dir / "cameras.json")
    cameras_path = property(lambda self: self.root / "cameras.json")
    poses_bounds_path = property(lambda self: self.root / "poses_bounds.npy")
    points_path = property(lambda self: self.root / "points.npz")
    pixel_map_path = property(lambda self: self.root / "pixel_map.npz")
    images_dir = property(lambda self: self.root / "images")
    flow_dir = property(lambda self: self.root / "flow")
    motion_dir = property(lambda self: self.root / "motion_masks")
    depth_dir = property(lambda self: self.root / "depth")
    features_dir = property(lambda self: self.root / "features")
    model_dir = property(lambda self: self.root / "model")
    state_dir = property(lambda self: self.root / "state")
    renders_dir = property(lambda self: self.root / "renders")
    maps_dir = property(lambda self: self.root / "maps")
    surface_points_dir = property(lambda self: self.root / "surface_points")
    clusters_dir = property(lambda self: self.root / "clusters")
    masks_dir = property(lambda self: self.root / "masks")
    masks_crf_dir = property(lambda self: self.root / "masks_crf")
    extracted_dir = property(lambda self: self.root / "extracted")
    scores_path = property(lambda self: self.root / "scores.csv")
    report_path = property(lambda self: self.root / "report.html")
    summaries_dir = property(lambda self: self.root / "summaries")

    # --- the manifest ------------------------------------------------------------------------------------------
    @cached_property
    def manifest(self) -> dict[str, Any]:
        return read_json(self.manifest_path)

    @property
    def n_frames(self) -> int:
        with reading(self.manifest_path):
            return int(self.manifest["n_frames"])

    # --- cameras and canonical size ----------------------------------------------------------------------------
    @cached_property
    def cameras(self) -> Cameras:
        cameras = Cameras.load(self.cameras_path)
        if len(cameras) != self.n_frames:
            raise StageError(
                self.cameras_path,
                f"has {len(cameras)} cameras, the manifest {self.n_frames} frames",
                "delete it and run again",
            )
        return cameras

    @property
    def size(self) -> tuple[int, int]:
        """Canonical (height, width)."""
        return self.cameras.height, self.cameras.width

    # --- pictures and priors, checked for size and finiteness ---------------------------------------------------
    def frame(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Ingested frame (before undistortion)."""
        return read_image(self.frames_dir / f"{i:05d}.png")

    def image(self, i: int) -> UInt8[np.ndarray, "H W 3"]:
        return read_image(self.images_dir / f"{i:05d}.png", self.size)

    def images(self) -> UInt8[np.ndarray, "N H W 3"]:
        return np.stack([self.image(i) for i in range(self.n_frames)])

    def write_image(self, i: int, image: UInt8[np.ndarray, "H W 3"]) -> None:
        write_image(self.images_dir / f"{i:05d}.png", image)

    @staticmethod
    def flow_name(i: int, direction: str) -> str:
        """fwd exists for i = 0..N-2 and leads to i+1, bwd for i = 1..N-1 and leads to i-1."""
        return f"{i:05d}_{direction}.npz"

    def flow(self, i: int, direction: str) -> tuple[Float32[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]:
        """Flow and consistency mask between canonical frames."""
        return read_flow(self.flow_dir / self.flow_name(i, direction), self.size)

    def write_flow(self, i: int, direction: str, flow: np.ndarray, mask: np.ndarray) -> None:
        write_flow(self.flow_dir / self.flow_name(i, direction), flow, mask)

    def raw_flow(self, i: int, direction: str) -> tuple[np.ndarray, np.ndarray]:
        """Flow and mask between ingested frames, at working size (see priors.flow)."""
        folder = self.raw_flow_dir.stat() if self.raw_flow_dir.is_dir() else None
        made = (folder.st_ino, folder.st_mtime_ns) if folder else (0, 0)
        flow, mask = read_flow(self.raw_flow_dir / self.flow_name(i, direction), self._raw_sizes.get(made))
        self._raw_sizes.setdefault(made, mask.shape)
        return flow, mask

    def motion_mask(self, i: int) -> Bool[np.ndarray, "H W"]:
        return read_mask(self.motion_dir / f"{i:05d}.png", self.size) > 127

    def motion_masks(self) -> Bool[np.ndarray, "N H W"]:
        return np.stack([self.motion_mask(i) for i in range(self.n_frames)])

    def disparity(self, i: int) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
        """Relative inverse depth and its confidence in [0,1]."""
        path = self.depth_dir / f"{i:05d}.npz"
        arrays = read_npz(path, ["disparity", "confidence"])
        for key, value in arrays.items():
            if value.shape != self.size or value.dtype.kind != "f" or not np.isfinite(value).all():
                problem = f"{key} has shape {value.shape}, type {value.dtype}, or values that are not finite"
                raise StageError(path, problem, "delete it and run again")
        return arrays["disparity"].astype(np.float32), arrays["confidence"].astype(np.float32)

    def write_disparity(self, i: int, disparity: np.ndarray, confidence: np.ndarray) -> None:
        write_npz(
            self.depth_dir / f"{i:05d}.npz",
            disparity=disparity.astype(np.float32),
            confidence=confidence.astype(np.float16),
        )

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """Memory-mapped features (N,h,w,C) float16 and saliency (N,h,w) float16, checked to be finite."""
        names, remedy = ("features.npy", "saliency.npy"), "delete the folder and run again"
        features, saliency = (map_npy(self.features_dir / name, remedy) for name in names)
        if features.ndim != 4 or features.shape[:3] != saliency.shape or len(features) != self.n_frames:
            raise StageError(
                self.features_dir,
                f"features {features.shape} and saliency {saliency.shape} disagree",
                "delete it and run again",
            )
        for name, array in zip(names, (features, saliency), strict=True):
            if array.dtype.kind != "f":
                raise StageError(self.features_dir / name, f"has numbers of type {array.dtype}, not floats", remedy)
            broken = next((i for i, frame in enumerate(array) if not np.isfinite(frame).all()), None)
            if broken is not None:
                problem = f"has values that are not finite (frame {broken})"
                raise StageError(self.features_dir / name, problem, remedy)
        return features, saliency

    def write_features(self, features: np.ndarray, saliency: np.ndarray) -> None:
        for name, array in (("features", features), ("saliency", saliency)):
            with atomic_path(self.features_dir / f"{name}.npy") as temporary:
                np.save(temporary, array.astype(np.float16), allow_pickle=False)

    # --- summaries: numbers and a verdict per stage, for the report ----------------------------------------------
    def write_summary(self, stage: str, values: dict[str, Any]) -> None:
        """Writes summaries/{stage}.json: free numbers plus `verdict` (good|doubtful|poor) and `message`."""
        write_json(self.summaries_dir / f"{stage}.json", values)

    def summary(self, stage: str) -> dict[str, Any] | None:
        path = self.summaries_dir / f"{stage}.json"
        return read_json(path) if path.exists() else None


def read_flow(path: Path, size: tuple[int, ...] | None) -> tuple[np.ndarray, np.ndarray]:
    """Reads a flow file (arrays flow (H,W,2), mask (H,W)); checks shape and finiteness."""
    arrays = read_npz(path, ["flow", "mask"])
    if arrays["flow"].dtype.kind != "f" or arrays["mask"].dtype != bool:
        kinds = " and ".join(f"{name} of type {array.dtype}" for name, array in arrays.items())
        problem = f"{kinds}, expected float and bool"
        raise StageError(path, problem, "delete it and run again")
    flow, mask = arrays["flow"].astype(np.float32), arrays["mask"]
    if flow.ndim != 3 or flow.shape[2] != 2 or flow.shape[:2] != mask.shape or (size and mask.shape != size):
        raise StageError(
            path, f"flow {flow.shape} and mask {mask.shape}, expected size {size}", "delete it and run again"
        )
    if not np.isfinite(flow).all():
        raise StageError(path, "flow has values that are not finite", "delete it and run again")
    return flow, mask


def write_flow(path: Path, flow: np.ndarray, mask: np.ndarray) -> None:
    write_npz(path, flow=flow.astype(np.float32), mask=mask.astype(bool))
