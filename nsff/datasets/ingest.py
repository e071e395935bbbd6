"""Ingest: any source becomes frames/, given/ and manifest.json of a scene. Frames pass one at a time.

Frames of the scene are source frames start, start + stride, ... without those of input.skip. Given priors keep their
own size; given cameras are scaled to the ingested frames. The manifest is written last, so an interrupted ingest leaves
either the old scene or none.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nsff.config import InputConfig
from nsff.datasets.base import FOLDER_FRAME_RATE, Frame, Source, check_range, limit_height
from nsff.datasets.frames import FrameFolder
from nsff.datasets.given import Priors, choose_cameras, size_text, write_cameras
from nsff.datasets.odd_frames import FrameKinds
from nsff.datasets.quality import QualityMeter, judge
from nsff.datasets.registry import open_source
from nsff.datasets.unused import unused_priors
from nsff.errors import InputError
from nsff.files.checksums import seal
from nsff.files.io import atomic_directory, write_image, write_json
from nsff.layout import frame_name
from nsff.scene import Scene


def run_ingest(scene: Scene, config: InputConfig) -> None:
    """Reads the source that ``config`` names and writes manifest.json, frames/, given/ and the summary ``ingest``.

    Raises InputError (missing, empty, unreadable or truncated source, range beyond its end, sizes that differ, cameras
    or priors that do not fit), and leaves the scene as it was.
    """
    source = open_source(Path(config.path), config.kind)
    source.skip = frozenset(config.skip)
    priors = Priors(source, config)
    meter, kinds = QualityMeter(), FrameKinds()
    # Frames of a folder are known before they are read: what cannot fit them stops here.
    planned = None
    if source.frame_names() is not None and source.count is not None:
        check_range(source.path, source.count, config.start, config.end, config.stride, config.skip)
        planned = taken(source.count, config)
        priors.match(planned, source.count)
    cameras = choose_cameras(source, config, planned or [])
    source.use_cameras(cameras)
    _tell_unused(source, config)
    with (
        atomic_directory(scene.frames_dir, sealed=True) as frames_dir,
        atomic_directory(scene.given_dir, sealed=True) as given_dir,
    ):
        frames, size, source_size = _write_frames(source, config, frames_dir, meter, kinds)
        indices = [frame["index"] for frame in frames]
        kinds.check(source.path, series=source.frame_names() is not None)
        _check_times(source, frames)
        if source.alpha:
            source.note("transparent parts of the pictures were laid over white")
        if planned is None:
            # Read to its end a video has been counted; else what it declares was compared before.
            priors.match(indices, source.count if source.about == [source.count] else None)
        if source.turned_unseen and (priors.has_depth or priors.has_flow or source.has_masks or priors.tracks):
            problem = "has EXIF orientations, and nobody can know whether given depth and flow are of turned pictures"
            raise InputError(
                source.path, problem, "turn the pixels (`magick mogrify -auto-orient`) and make both again"
            )
        given = {"cameras": cameras is not None, "points": False}
        if cameras is not None:
            given["points"] = write_cameras(cameras, source, size, source_size, frames_dir, given_dir)
        given |= priors.write(indices, size, given_dir)
        given |= priors.write_tracks(indices, size, source_size, given_dir)
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
    seal(scene.manifest_path)
    for name in ("manifest", "ingest_result"):
        scene.__dict__.pop(name, None)
    _summarise(scene, source, manifest, meter, config.stride)


def _tell_unused(source: Source, config: InputConfig) -> None:
    if isinstance(source, FrameFolder):
        notes, complaints = unused_priors(source, config.depth is not None)
        for said in notes:
            source.note(said)
        for said in complaints:
            source.complain(said)


def _check_times(source: Source, frames: list[dict[str, Any]]) -> None:
    wrong = [b["index"] for a, b in pairwise(frames) if b["time"] <= a["time"]]
    if wrong:
        some = ", ".join(map(str, wrong[:4])) + (", ..." if len(wrong) > 4 else "")
        source.complain(
            f"timestamps do not increase at {len(wrong)} frames (source frames {some}): encode the video again"
        )


def taken(count: int, config: InputConfig) -> list[int]:
    """The source frames, of ``count``, that the settings take."""
    skip = set(config.skip)
    return [i for i in range(config.start, config.end or count, config.stride) if i not in skip]


def _write_frames(
    source: Source, config: InputConfig, folder: Path, meter: QualityMeter, kinds: FrameKinds
) -> tuple[list[dict[str, Any]], tuple[int, int], tuple[int, int]]:
    """Frame list of the manifest, ingested (height, width), and (height, width) before the reduction."""
    expected = None
    if source.count:
        expected = len([i for i in taken(source.count, config) if i < source.count])
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
                source.path,
                f"{frame.name} is {size_text(frame.image.shape)}, but {first.name} is {size_text(source_size)}",
                "all frames need one size: leave the odd ones out (input.skip), or resize them",
            )  # fmt: skip
        if len(frames) >= config.max_frames:
            _too_many(source, f"more than {config.max_frames}", config)
        image = limit_height(frame.image, config.max_height)
        size = image.shape[:2]
        meter.add(image)
        kinds.add(frame.name, image)
        write_image(folder / frame_name(len(frames)), image)
        frames.append({"index": frame.index, "name": frame.name, "time": round(frame.time, 6)})
    if size != source_size:
        source.note(f"frames were reduced from {size_text(source_size)} to {size_text(size)} (input.max_height)")
    return frames, size, source_size


def _too_many(source: Source, count: int | str, config: InputConfig) -> None:
    raise InputError(
        source.path, f"{count} frames would be taken, input.max_frames is {config.max_frames}",
        "choose a part by input.start and input.end, a larger input.stride, or raise input.max_frames",
    )  # fmt: skip


def _called(frame: dict[str, Any], kind: str) -> str:
    """A frame as input.skip counts it, with its name where it is a file."""
    return f"{frame['index']}" if kind == "video" else f"{frame['index']} ({frame['name']})"


def _summarise(scene: Scene, source: Source, manifest: dict[str, Any], meter: QualityMeter, stride: int) -> None:
    times = np.array([frame["time"] for frame in manifest["frames"]])
    gaps = np.diff(times)
    duration = float(times[-1] - times[0] + np.median(gaps))
    found = meter.values()
    variable = bool(gaps.max() > 1.5 * np.median(gaps))
    verdict, complaints = judge(
        manifest["n_frames"], manifest["height"], found, lambda i: _called(manifest["frames"][i], source.kind), stride
    )
    found.pop("moving_difference")  # words a complaint alone: the summary's figures are those of this stage's version
    if source.complaints:
        verdict, complaints = "poor" if verdict == "poor" else "doubtful", [*complaints, *source.complaints]
    given = [name for name, there in manifest["given"].items() if there]
    message = f"{manifest['n_frames']} frames of {manifest['width']}x{manifest['height']}"
    message += f", {duration:.1f} s" if manifest["frame_rate_known"] else ""
    message += f"; given: {', '.join(given)}" if given else ""
    message += "; " + "; ".join(complaints) if complaints else "; no frozen, blurred or badly exposed frames"
    scene.write_summary("ingest", {
        "n_frames": manifest["n_frames"], "width": manifest["width"], "height": manifest["height"],
        "duration": duration if manifest["frame_rate_known"] else None, "frame_rate": manifest["frame_rate"],
        "variable_frame_rate": variable, "kind": source.kind, "given": manifest["given"], **found,
        "sharpness": meter.sharpness, "luminance": meter.luminance, "difference": meter.difference,
        "notes": source.notes, "verdict": verdict, "message": message + ".",
    })  # fmt: skip
