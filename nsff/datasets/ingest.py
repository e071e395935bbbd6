"""Ingest: any source becomes frames/, given/ and manifest.json of a scene. Frames pass one at a time.

Frame i of the scene is source frame start + i * stride. Given priors keep their own size; given cameras are scaled to
the ingested frames. The manifest is written last, so an interrupted ingest leaves either the old scene or none.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nsff.config import InputConfig
from nsff.datasets.base import FOLDER_FRAME_RATE, Frame, GivenCameras, Source, limit_height, same_aspect
from nsff.datasets.priors import TruthPriors
from nsff.datasets.quality import QualityMeter, judge
from nsff.datasets.registry import open_source
from nsff.datasets.sensor_depth import SensorDepth
from nsff.errors import InputError
from nsff.io import atomic_directory, write_image, write_json, write_npz
from nsff.scene import Scene, write_flow


def run_ingest(scene: Scene, config: InputConfig) -> None:
    """Reads the source that ``config`` names and writes manifest.json, frames/, given/ and the summary ``ingest``.

    Raises InputError (missing, empty, unreadable or truncated source, range beyond its end, sizes that differ, cameras
    or priors that do not fit), and leaves the scene as it was.
    """
    source = open_source(Path(config.path), config.kind)
    priors = TruthPriors(Path(config.truth_priors).expanduser()) if config.truth_priors else source
    depth = SensorDepth(config.depth, source) if config.depth else priors
    meter = QualityMeter()
    with atomic_directory(scene.frames_dir) as frames_dir, atomic_directory(scene.given_dir) as given_dir:
        frames, size, source_size = _write_frames(source, config, frames_dir, meter)
        indices = [frame["index"] for frame in frames]
        given = _write_cameras(source, config, indices, size, source_size, given_dir)
        given |= _write_priors(source, depth, priors, indices, size, given_dir)
        # From here to the new manifest the folders may be of two runs: without a manifest nobody uses them.
        scene.manifest_path.unlink(missing_ok=True)
    height, width = size
    manifest = {
        "n_frames": len(frames), "width": width, "height": height,
        "source": {"path": config.path, "kind": source.kind, "width": source_size[1], "height": source_size[0]},
        "frames": frames,
        "frame_rate": source.frame_rate or FOLDER_FRAME_RATE, "frame_rate_known": source.frame_rate is not None,
        "focal_guess": None if source.focal_guess is None else source.focal_guess * float(np.hypot(height, width)),
        "given": given, "rotation": source.rotation, "alpha": source.alpha, "notes": source.notes,
    }  # fmt: skip
    write_json(scene.manifest_path, manifest)
    scene.__dict__.pop("manifest", None)
    _summarise(scene, source, manifest, meter)


def _write_frames(
    source: Source, config: InputConfig, folder: Path, meter: QualityMeter
) -> tuple[list[dict[str, Any]], tuple[int, int], tuple[int, int]]:
    """Frame list of the manifest, ingested (height, width), and (height, width) before the reduction."""
    expected = None
    if source.count:
        expected = len(range(config.start, min(source.count, config.end or source.count), config.stride))
        # A video's declared count may be a little off; the exact test follows below.
        if expected > config.max_frames + (3 if source.kind == "video" else 0):
            _too_many(source, expected, config)
    frames: list[dict[str, Any]] = []
    first: Frame | None = None
    size = source_size = (0, 0)
    stream = source.frames(config.start, config.end, config.stride)
    for frame in tqdm(stream, desc="ingest", total=expected, unit="frame", leave=False):
        if first is None:
            first, source_size = frame, frame.image.shape[:2]
        elif frame.image.shape[:2] != source_size:
            raise InputError(
                source.path, f"{frame.name} is {_size(frame.image.shape)}, but {first.name} is {_size(source_size)}",
                "all frames need one size: leave the odd ones out, or resize them",
            )  # fmt: skip
        if len(frames) >= config.max_frames:
            _too_many(source, f"more than {config.max_frames}", config)
        image = limit_height(frame.image, config.max_height)
        size = image.shape[:2]
        meter.add(image)
        write_image(folder / f"{len(frames):05d}.png", image)
        frames.append({"index": frame.index, "name": frame.name, "time": round(frame.time, 6)})
    if size != source_size:
        source.note(f"frames were reduced from {_size(source_size)} to {_size(size)} (input.max_height)")
    return frames, size, source_size


def _too_many(source: Source, count: int | str, config: InputConfig) -> None:
    raise InputError(
        source.path, f"{count} frames would be taken, input.max_frames is {config.max_frames}",
        "choose a part by input.start and input.end, a larger input.stride, or raise input.max_frames",
    )  # fmt: skip


def _write_cameras(
    source: Source,
    config: InputConfig,
    indices: list[int],
    size: tuple[int, int],
    source_size: tuple[int, int],
    folder: Path,
) -> dict[str, bool]:
    given = None if config.cameras == "estimate" else source.cameras()
    if given is None:
        if config.cameras == "given":
            raise InputError(
                source.path,
                f"brings no cameras (kind {source.kind}), but input.cameras is given",
                "set it to auto or estimate",
            )
        return {"cameras": False, "points": False}
    missing = sorted(set(indices) - set(given.frames))
    if missing:
        problem = f"{len(missing)} of {len(indices)} frames have no given camera (source frames {missing[:5]})"
        if config.cameras == "given":
            raise InputError(source.path, problem, "take other frames, or set input.cameras: estimate")
        source.note(f"{problem}; cameras will be estimated")
        return {"cameras": False, "points": False}
    cameras = given.cameras
    if not same_aspect((cameras.height, cameras.width), source_size, 0.01):
        problem = f"given cameras are for {cameras.width}x{cameras.height}, the frames are {_size(source_size)}"
        raise InputError(source.path, problem, "give cameras for these images, or set input.cameras: estimate")
    rows = [given.frames.index(index) for index in indices]
    cameras[rows].resized(*size).save(folder / "cameras.json")
    points = _selected_points(given, rows)
    if points is not None:
        points.save(folder / "points.npz")
    return {"cameras": True, "points": points is not None}


def _selected_points(given: GivenCameras, rows: list[int]) -> Any:
    points = given.points.selected(rows) if given.points is not None else None
    return points if points is not None and len(points) else None


def _write_priors(
    source: Source,
    depth: Source | TruthPriors | SensorDepth,
    priors: Source | TruthPriors,
    indices: list[int],
    size: tuple[int, int],
    folder: Path,
) -> dict[str, bool]:
    given = {"depth": depth.has_depth, "flow": priors.has_flow}
    if depth.has_depth:
        where = depth.path if isinstance(depth, Source) else depth.folder
        for i, index in enumerate(tqdm(indices, desc="given depth", leave=False)):
            disparity = depth.disparity(index)
            _check_shape(where, f"given depth of source frame {index}", disparity, size)
            arrays = {"disparity": disparity}
            trust = None if isinstance(depth, TruthPriors) else depth.confidence(index)
            if trust is not None:
                arrays["confidence"] = trust
            write_npz(folder / "depth" / f"{i:05d}.npz", **arrays)
    if priors.has_flow and any(b - a != 1 for a, b in pairwise(indices)):
        source.note("given flow is left out: it joins neighbouring source frames, and input.stride is not 1")
        given["flow"] = False
    if given["flow"]:
        for i, index in enumerate(tqdm(indices, desc="given flow", leave=False)):
            for direction, there in (("fwd", i + 1 < len(indices)), ("bwd", i > 0)):
                if there:
                    flow, mask = priors.flow(index, direction)
                    _check_shape(source.path, f"given flow of source frame {index}", mask, size)
                    write_flow(folder / "flow" / Scene.flow_name(i, direction), flow, mask)
    if source.has_masks:
        given["masks"] = True
        for i, index in enumerate(tqdm(indices, desc="given masks", leave=False)):
            mask = source.motion_mask(index)
            _check_shape(source.path, f"given mask of source frame {index}", mask, size)
            write_image(folder / "motion_masks" / f"{i:05d}.png", mask.astype(np.uint8) * 255)
    return given


def _check_shape(where: Path, what: str, array: np.ndarray, size: tuple[int, int]) -> None:
    if not same_aspect(array.shape[:2], size):
        problem = f"{what} is {_size(array.shape)}, the frames are {_size(size)}: another aspect"
        raise InputError(where, problem, "give priors of the same field of view as the frames, or take them away")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _summarise(scene: Scene, source: Source, manifest: dict[str, Any], meter: QualityMeter) -> None:
    times = np.array([frame["time"] for frame in manifest["frames"]])
    gaps = np.diff(times)
    duration = float(times[-1] - times[0] + np.median(gaps))
    found = meter.values()
    if (gaps <= 0).any():
        source.note("some timestamps do not increase")
    variable = bool(gaps.max() > 1.5 * np.median(gaps))
    verdict, complaints = judge(manifest["n_frames"], manifest["height"], found)
    given = [name for name, there in manifest["given"].items() if there]
    words = f"{manifest['n_frames']} frames of {manifest['width']}x{manifest['height']}"
    words += f", {duration:.1f} s" if manifest["frame_rate_known"] else ""
    words += f"; given: {', '.join(given)}" if given else ""
    words += "; " + "; ".join(complaints) if complaints else "; no frozen, blurred or badly exposed frames"
    scene.write_summary("ingest", {
        "n_frames": manifest["n_frames"], "width": manifest["width"], "height": manifest["height"],
        "duration": duration if manifest["frame_rate_known"] else None, "frame_rate": manifest["frame_rate"],
        "variable_frame_rate": variable, "kind": source.kind, "given": manifest["given"], **found,
        "sharpness": meter.sharpness, "luminance": meter.luminance, "difference": meter.difference,
        "notes": source.notes, "verdict": verdict, "words": words + ".",
    })  # fmt: skip
