"""The on-disk contract of one scene: what its files hold, read and written with checks. Their names: nsff.layout.

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
from jaxtyping import Bool, Float, Float32, UInt8

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
from nsff.layout import Layout, far_flow_name, far_pairs_in
from nsff.long_tracks import LongTracks
from nsff.results import DepthResult, FlowResult, IngestResult, TrainResult, read_result


@dataclass(frozen=True)
class Scene(Layout):
    """Typed access to the files of one scene; their names are those of Layout.

    Example::

        scene = Scene(Path("results/balloon1"))
        image, (disparity, confidence) = scene.image(0), scene.disparity(0)  # (H,W,3), (H,W), (H,W)
        flow, valid = scene.flow(0, "fwd")  # (H,W,2) pixels to frame 1, and where it is consistent
    """

    _raw_sizes: dict[tuple[int, int], tuple[int, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Size of the first flow that was read between ingested frames, by inode and time of its folder: all have it."""

    # --- the manifest ------------------------------------------------------------------------------------------
    @cached_property
    def manifest(self) -> dict[str, Any]:
        return read_json(self.manifest_path)

    @cached_property
    def ingest_result(self) -> IngestResult:
        """The manifest as other stages read it; raises StageError where it is missing or no manifest."""
        return read_result(self.manifest_path, IngestResult, "ingest")

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
        return read_image(self.frame_path(i))

    def image(self, i: int) -> UInt8[np.ndarray, "H W 3"]:
        return read_image(self.image_path(i), self.size)

    def images(self) -> UInt8[np.ndarray, "N H W 3"]:
        return np.stack([self.image(i) for i in range(self.n_frames)])

    def write_image(self, i: int, image: UInt8[np.ndarray, "H W 3"]) -> None:
        write_image(self.image_path(i), image)

    def flow(self, i: int, direction: str) -> tuple[Float32[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]:
        """Flow and consistency mask between canonical frames."""
        return read_flow(self.flow_path(i, direction), self.size)

    def write_flow(self, i: int, direction: str, flow: np.ndarray, mask: np.ndarray) -> None:
        write_flow(self.flow_path(i, direction), flow, mask)

    def far_pairs(self) -> list[tuple[int, int]]:
        """Pairs of canonical frames, no neighbours, that there is flow between; see ``far_flow``."""
        return far_pairs_in(self.flow_dir)

    def far_flow(self, i: int, j: int) -> tuple[Float32[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]:
        """Flow from canonical frame i to j, one of ``far_pairs``, and where it is consistent."""
        return read_flow(self.flow_dir / far_flow_name(i, j), self.size)

    def tracks(self) -> LongTracks | None:
        """Long tracks between canonical frames; None where the source brought none."""
        path = self.tracks_path
        if not path.exists():
            return None
        tracks = LongTracks.load(path)
        if tracks.n_frames != self.n_frames:
            problem = f"has tracks through {tracks.n_frames} frames, the manifest has {self.n_frames}"
            raise StageError(path, problem, "run the stage cameras again")
        return tracks

    def raw_flow(self, i: int, direction: str) -> tuple[np.ndarray, np.ndarray]:
        """Flow and mask between ingested frames, at working size (see priors.flow)."""
        folder = self.raw_flow_dir.stat() if self.raw_flow_dir.is_dir() else None
        made = (folder.st_ino, folder.st_mtime_ns) if folder else (0, 0)
        flow, mask = read_flow(self.raw_flow_path(i, direction), self._raw_sizes.get(made))
        self._raw_sizes.setdefault(made, mask.shape)
        return flow, mask

    def motion_mask(self, i: int) -> Bool[np.ndarray, "H W"]:
        return read_mask(self.motion_mask_path(i), self.size) > 127

    def motion_masks(self) -> Bool[np.ndarray, "N H W"]:
        return np.stack([self.motion_mask(i) for i in range(self.n_frames)])

    def disparity(self, i: int) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
        """Relative inverse depth and its confidence in [0,1]."""
        path = self.depth_path(i)
        arrays = read_npz(path, ["disparity", "confidence"])
        for key, value in arrays.items():
            if value.shape != self.size or value.dtype.kind != "f" or not np.isfinite(value).all():
                problem = f"{key} has shape {value.shape}, type {value.dtype}, or values that are not finite"
                raise StageError(path, problem, "delete it and run again")
        return arrays["disparity"].astype(np.float32), arrays["confidence"].astype(np.float32)

    def write_disparity(self, i: int, disparity: np.ndarray, confidence: np.ndarray) -> None:
        write_disparity(self.depth_path(i), disparity, confidence)

    def flow_result(self) -> FlowResult:
        """How the flow came about, by flow/result.json, before the cameras' stage by raw_flow/result.json, or by the
        summary of runs that have no such file."""
        for path in (self.flow_result_path, self.raw_flow_result_path):
            if path.exists():
                return read_result(path, FlowResult, "flow")
        with reading(self.summary_path("flow")):
            return FlowResult.model_validate(self.summary("flow") or {})

    def depth_result(self) -> DepthResult:
        """Unit and origin of the disparity, by depth/result.json, or by the summary of runs that have no such file."""
        if self.depth_result_path.exists():
            return read_result(self.depth_result_path, DepthResult, "depth")
        with reading(self.summary_path("depth")):
            return DepthResult.from_summary(self.summary("depth") or {})

    def train_result(self) -> TrainResult:
        """How the model came about; by the summary where the model itself is not there (a folder of scores alone)."""
        if self.model_config_path.exists():
            with reading(self.model_config_path):
                return TrainResult.from_model(read_json(self.model_config_path))
        with reading(self.summary_path("train")):
            return TrainResult.from_model(self.summary("train") or {})

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """Memory-mapped features (N,h,w,C) float16 and saliency (N,h,w) float16, checked to be finite."""
        paths, remedy = (self.features_path, self.saliency_path), "delete the folder and run again"
        features, saliency = (map_npy(path, remedy) for path in paths)
        if features.ndim != 4 or features.shape[:3] != saliency.shape or len(features) != self.n_frames:
            raise StageError(
                self.features_dir,
                f"features {features.shape} and saliency {saliency.shape} disagree",
                "delete it and run again",
            )
        for path, array in zip(paths, (features, saliency), strict=True):
            if array.dtype.kind != "f":
                raise StageError(path, f"has numbers of type {array.dtype}, not floats", remedy)
            broken = next((i for i, frame in enumerate(array) if not np.isfinite(frame).all()), None)
            if broken is not None:
                raise StageError(path, f"has values that are not finite (frame {broken})", remedy)
        return features, saliency

    def write_features(self, features: np.ndarray, saliency: np.ndarray) -> None:
        for path, array in ((self.features_path, features), (self.saliency_path, saliency)):
            with atomic_path(path) as temporary:
                np.save(temporary, array.astype(np.float16), allow_pickle=False)

    # --- summaries: numbers and a verdict per stage, for the report ----------------------------------------------
    def write_summary(self, stage: str, values: dict[str, Any]) -> None:
        """Writes summaries/{stage}.json: free numbers plus `verdict` (good|doubtful|poor) and `message`."""
        write_json(self.summary_path(stage), values)

    def summary(self, stage: str) -> dict[str, Any] | None:
        path = self.summary_path(stage)
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


def write_disparity(path: Path, disparity: Float[np.ndarray, "H W"], confidence: Float[np.ndarray, "H W"]) -> None:
    """Writes a depth file: disparity as float32, its confidence in [0,1] as float16."""
    write_npz(path, disparity=disparity.astype(np.float32), confidence=confidence.astype(np.float16))
