"""Canonical frames: undistorted, of one size, with cameras, points, flow and the map back to the ingested frames.

Notation. Cameras are OpenCV, world to camera, for the canonical size (H, W); the world is that of structure from motion
(its scale is arbitrary) or of the given cameras. Near and far are the 5th and 95th percentile of the depths of the
points a frame sees. A frame that was not registered gets a pose between its neighbours'.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from nsff.cameras import Cameras
from nsff.cameras.colmap import from_reconstruction, read_reconstruction
from nsff.cameras.interpolation import LONGEST_GAP, fill_gaps
from nsff.cameras.llff import write_poses_bounds
from nsff.cameras.points import SparsePoints
from nsff.config import CanonicalConfig
from nsff.errors import StageError
from nsff.files.checksums import seal
from nsff.files.io import atomic_directory, write_image, write_json, write_npz
from nsff.files.temporary import temporary_directory
from nsff.geometry.epipolar import curve_distance, has_parallax, pixel_centres
from nsff.geometry.focal_length import focal_by_tracks
from nsff.geometry.static_world import check_world
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.layout import TRACKS_NAME, far_flow_name, far_pairs_in, flow_name, frame_name, worse
from nsff.long_tracks import LongTracks
from nsff.priors.canonical.undistort import FrameMap, frame_map, read_undistorted, run_colmap
from nsff.priors.canonical.verdict import CameraSigns, judge_cameras
from nsff.scene import Scene, read_flow, write_flow
from nsff.tracking.chaining import FlowCache
from nsff.tracking.flow_pairs import flow_pairs
from nsff.tracking.flow_tracks import flow_tracks

__all__ = ["LONGEST_GAP", "Views", "epipolar_residual", "fill_gaps", "run_canonical"]


@dataclass(frozen=True)
class Views:
    """Cameras and points of all frames; ``cameras`` are for the canonical size."""

    cameras: Cameras
    points: SparsePoints
    frames: FrameMap
    filled: list[int]
    """Frames without a pose of their own."""
    pictures: Path | None = None
    """Folder of undistorted pictures, where an external program made them."""


def run_canonical(scene: Scene, canonical: CanonicalConfig) -> None:
    """Writes images/, flow/, cameras.json, poses_bounds.npy, points.npz, pixel_map.npz and summaries/cameras.json.

    Reads frames/, raw_flow/, and sfm/ or given/. Raises StageError: no model, unregistered frames in a row longer than
    LONGEST_GAP (named), frames or flow of another size than expected, an external undistorter that is missing or fails.
    """
    ingested = scene.ingest_result
    frame_size = (ingested.height, ingested.width)
    with temporary_directory(scene.root, "undistorted") as work:
        if ingested.given.cameras or scene.given.cameras_path.exists():
            views = _given(scene, canonical, frame_size)
        else:
            views = _estimated(scene, canonical, frame_size, work)
        with (
            atomic_directory(scene.images_dir, sealed=True) as images,
            atomic_directory(scene.flow_dir, sealed=True) as flow,
        ):
            _write_images(scene, views, frame_size, images)
            kept = _write_flow(scene, views.frames, flow)
            if scene.given.tracks_path.exists():
                tracks = LongTracks.load(scene.given.tracks_path)
                tracks.mapped(views.frames.from_frame, views.frames.canonical_size).save(flow / TRACKS_NAME)
    views.points.save(scene.points_path)
    write_npz(scene.pixel_map_path, map=views.frames.positions(), frame_size=np.array(frame_size))
    write_poses_bounds(scene.poses_bounds_path, views.cameras)
    views.cameras.save(scene.cameras_path)
    for path in (scene.points_path, scene.pixel_map_path, scene.poses_bounds_path, scene.cameras_path):
        seal(path)
    scene.__dict__.pop("cameras", None)
    scene.write_summary("cameras", _summary(scene, views, kept))


def _given(scene: Scene, canonical: CanonicalConfig, frame_size: tuple[int, int]) -> Views:
    refined = scene.refined_cameras_path
    path = refined if refined.exists() else scene.given.cameras_path
    cameras = Cameras.load(path)
    if (cameras.height, cameras.width) != frame_size or len(cameras) != scene.n_frames:
        raise StageError(
            path,
            f"has {len(cameras)} cameras for {cameras.width}x{cameras.height}, "
            f"there are {scene.n_frames} frames of {frame_size[1]}x{frame_size[0]}",
            "run ingest again",
        )
    frames = frame_map(None, frame_size, canonical.resize_height)
    points = scene.given.points_path
    return Views(
        canonical_cameras(cameras, frames.canonical_size, canonical.focal),
        SparsePoints.load(points) if points.exists() else SparsePoints.empty(), frames, [],
    )  # fmt: skip


def _estimated(scene: Scene, canonical: CanonicalConfig, frame_size: tuple[int, int], work: Path) -> Views:
    sparse = scene.sparse_model_dir
    reconstruction = _read(sparse)
    lens = copy.deepcopy(next(iter(reconstruction.cameras.values())))
    if (lens.height, lens.width) != frame_size:
        raise StageError(
            sparse,
            f"is for frames of {lens.width}x{lens.height}, they are {frame_size[1]}x{frame_size[0]}",
            "delete sfm/ and run again",
        )
    pictures = None
    frames = frame_map(lens, frame_size, canonical.resize_height)
    if not frames.is_resizing and canonical.undistorter == "colmap":
        pinhole, pictures = run_colmap(sparse, scene.frames_dir, work)
        frames = frame_map(lens, frame_size, canonical.resize_height, pinhole)
    # Points and poses stay; only the lens is exchanged for the pinhole camera that took the undistorted pictures.
    straight = frames.pinhole if frames.pinhole is not None else _pinhole(lens)
    for camera in reconstruction.cameras.values():
        camera.model, camera.width, camera.height = straight.model, straight.width, straight.height
        camera.params = straight.params
    model = from_reconstruction(reconstruction, sparse)
    registered = [int(Path(name).stem) for name in model.names]
    cameras = fill_gaps(model.cameras, registered, scene.n_frames)
    points = replace(model.points, track_frame=np.array(registered)[model.points.track_frame])
    filled = sorted(set(range(scene.n_frames)) - set(registered))
    return Views(canonical_cameras(cameras, frames.canonical_size, canonical.focal), points, frames, filled, pictures)


def canonical_cameras(cameras: Cameras, size: tuple[int, int], focal: Literal["exact", "published"]) -> Cameras:
    """The cameras for pictures reduced to ``size`` (height, width); see CanonicalConfig.focal."""
    sized = cameras.resized(*size)
    if focal == "exact":
        return sized
    # The first camera's speaks for all, as its line of poses_bounds.npy does there.
    f = cameras.intrinsics[0, 0, 0] * size[0] / cameras.height
    K = np.array([[f, 0, size[1] / 2], [0, f, size[0] / 2], [0, 0, 1.0]])
    return replace(sized, intrinsics=np.tile(K, (len(cameras), 1, 1)))


def _read(sparse: Path) -> Any:
    message = "is missing or not readable as a COLMAP model"
    return read_reconstruction(sparse, StageError, "delete sfm/ and run again", message)


def _pinhole(lens: Any) -> Any:
    """The PINHOLE camera that equals a lens without distortion."""
    import pycolmap

    K = lens.calibration_matrix()
    return pycolmap.Camera(
        model="PINHOLE", width=lens.width, height=lens.height, params=[K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    )


def _write_images(scene: Scene, views: Views, frame_size: tuple[int, int], folder: Path) -> None:
    for i in tqdm(range(scene.n_frames), desc="canonical frames", unit="frame"):
        name = frame_name(i)
        image = read_undistorted(views.pictures, name, views.frames) if views.pictures else None
        if image is None:
            frame = scene.frame(i)
            if frame.shape[:2] != frame_size:
                raise StageError(
                    scene.frames_dir / name,
                    f"is {frame.shape[1]}x{frame.shape[0]}, expected {frame_size[1]}x{frame_size[0]}",
                    "delete it and run ingest again",
                )
            image = views.frames.image(frame)
        write_image(folder / name, image)


def _write_flow(scene: Scene, frames: FrameMap, folder: Path) -> float:
    """Writes the flow files, and how they came about; returns the consistent fraction of the pixels."""
    kept = []
    write_json(folder / scene.flow_result_path.name, scene.flow_result().model_dump())
    n = scene.n_frames
    for pair in tqdm(far_pairs_in(scene.raw_flow_dir), desc="canonical far flow", unit="file", leave=False):
        name = far_flow_name(*pair)
        write_flow(folder / name, *frames.flow(*read_flow(scene.raw_flow_dir / name, None)))
    files = [(i, "fwd") for i in range(n - 1)] + [(i, "bwd") for i in range(1, n)]
    for i, direction in tqdm(files, desc="canonical flow", unit="file"):
        flow, mask = frames.flow(*scene.raw_flow(i, direction))
        write_flow(folder / flow_name(i, direction), flow, mask)
        kept.append(mask.mean())
    return float(np.mean(kept)) if kept else 0.0


def epipolar_residual(read: Callable[[int, str], FlowAndMask], cameras: Cameras) -> float | None:
    """Median over pairs of neighbours of the median distance, in pixels, of consistent flow to its epipolar line.

    None where no pair has parallax. ``read`` is Scene.flow; what moves is in it, so up to half of a picture may.
    """
    x = pixel_centres(cameras.height, cameras.width)
    medians = []
    for i in range(len(cameras) - 1):
        if has_parallax(cameras, i, i + 1, float(cameras.near_far[i, 0])):
            flow, mask = read(i, "fwd")
            if mask.any():
                there = (x + flow)[mask]
                medians.append(float(np.median(curve_distance(cameras, i, i + 1, x[mask], there))))
    return float(np.median(medians)) if medians else None


def camera_signs(read: Callable[[int, str], FlowAndMask], cameras: Cameras) -> CameraSigns:
    """The signs of cameras by flow; ``read`` is Scene.flow."""
    link, count = FlowCache(read), len(cameras)
    check = check_world(cameras, flow_pairs(link, count))
    fit = focal_by_tracks(cameras, flow_tracks(link, count, (cameras.height, cameras.width)))
    tried = [cameras] if fit is None else [cameras, cameras.zoomed(fit.ratio)]
    residuals = [epipolar_residual(read, one) for one in tried]
    in_rows = [None if one is None else one * REFERENCE_ROWS / cameras.height for one in residuals]
    return CameraSigns(check, in_rows[0], fit, in_rows[-1])


def _summary(scene: Scene, views: Views, kept: float) -> dict[str, Any]:
    cameras, frames = views.cameras, views.frames
    signs = camera_signs(scene.flow, cameras)
    residual = None if signs.residual is None else signs.residual * cameras.height / REFERENCE_ROWS
    shift = frames.positions() - FrameMap(frames.frame_size, frames.canonical_size).positions()
    near, far = float(cameras.near_far[:, 0].min()), float(cameras.near_far[:, 1].max())
    message = f"Canonical frames of {cameras.width}x{cameras.height}, "
    message += "only resized" if frames.is_resizing else "undistorted"
    message += f"; depths {near:.3g} to {far:.3g}; {len(views.points)} points."
    if residual is not None:
        message += f" Flow lies {residual:.2f} px from its epipolar lines (median)."
    judgement, doubts = judge_cameras(
        signs, cameras.focal * frames.frame_size[0] / cameras.height, scene.ingest_result.given.cameras
    )
    if views.filled:
        judgement = worse(judgement, "doubtful")
        doubts.append(f"not registered, with poses from their neighbours: frame {', '.join(map(str, views.filled))}")
    if doubts:
        message += " " + "; ".join(doubts).capitalize() + "."
    return {
        "width": cameras.width, "height": cameras.height, "focal": cameras.focal, "near": near, "far": far,
        "points": len(views.points), "undistorted": not frames.is_resizing,
        "largest_shift": float(np.linalg.norm(shift, axis=-1).max()), "epipolar_residual": residual,
        "world": {name: None if value != value else value for name, value in asdict(signs.check).items()},
        "focal_by_pictures": None if signs.fit is None else asdict(signs.fit),
        "flow_consistent_fraction": kept, "interpolated_frames": views.filled, "verdict": judgement, "message": message,
    }  # fmt: skip
