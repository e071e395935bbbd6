"""Sections of what comes before cameras are known: input, flow, masks of what moves."""

from __future__ import annotations

import numpy as np

from nsff.report.charts import Series, line_chart
from nsff.report.content import Drawing, Part, Picture, Section, Strip, facts
from nsff.report.gather import Material, Parts
from nsff.report.pictures import embed, flow_picture, flow_wheel, shade, tint
from nsff.report.tracks import flow_tracks, tracks_picture
from nsff.report.verdicts import value_text
from nsff.scene import Scene

TRACKS_WIDTH = 960


def input_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    parts.strip(
        material, "Frames", scene.frame, "input frame", "ingest", scene.frames_dir, "As ingested, before undistortion."
    )
    parts.add("Facts about the source", lambda: facts("Source", _source_facts(scene)))
    parts.add(
        "Sharpness of each frame",
        lambda: _per_frame(scene, "ingest", "sharpness", "Sharpness", "variance of the Laplacian"),
    )
    return Section("input", "Input", material.of("ingest"), "", parts.parts)


def _source_facts(scene: Scene) -> list[tuple[str, str]]:
    manifest = scene.manifest
    source = manifest.get("source") or {}
    rate = manifest.get("frame_rate")
    given = [name for name, there in (manifest.get("given") or {}).items() if there]
    pairs = [
        ("source", str(source.get("path", "not known"))),
        ("kind", str(source.get("kind", "not known"))),
        ("frames", f"{scene.n_frames} of {manifest.get('width')}×{manifest.get('height')} pixels"),
        ("frame rate", value_text("frame_rate", rate) if manifest.get("frame_rate_known") else "not known"),
        ("came with the source", ", ".join(given) or "pictures only"),
    ]
    indices = [entry["index"] for entry in manifest.get("frames") or [] if "index" in entry]
    if indices:
        pairs.insert(3, ("taken from the source", f"frames {indices[0]} to {indices[-1]}"))
    if manifest.get("rotation"):
        pairs.append(("rotated upright by", f"{manifest['rotation']} degrees"))
    pairs += [("note", str(note)) for note in manifest.get("notes") or []]
    return pairs


def _per_frame(scene: Scene, stage: str, key: str, title: str, label: str, percent: bool = False) -> list[Part]:
    values = (scene.summary(stage) or {}).get(key)
    if not isinstance(values, list) or len(values) < 2:
        return []
    numbers = [100 * v if percent else v for v in values]
    drawing = line_chart(title, [Series(title, range(len(numbers)), numbers)], "frame", label, (640, 170))
    return [Drawing(f"{title} of each frame", drawing)] if drawing else []


def flow_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    canonical = scene.flow_dir.exists()
    folder = scene.flow_dir if canonical else scene.raw_flow_dir
    read = scene.flow if canonical else scene.raw_flow

    def shown() -> list[int]:
        return list(dict.fromkeys(min(i, scene.n_frames - 2) for i in material.frames))

    largest = 1.0
    if folder.exists():

        def measure() -> list[Part]:
            nonlocal largest
            lengths = [np.linalg.norm(read(i, "fwd")[0], axis=2) for i in shown()]
            largest = max(0.5, float(np.percentile(np.stack(lengths), 99)))
            return [_wheel(largest)]

        parts.add("Key to the colours of flow", measure)
    parts.strip(
        material,
        "Flow to the next frame",
        lambda i: flow_picture(read(i, "fwd")[0], largest),
        "optical flow to the next frame as colours",
        "flow",
        folder,
        frames=shown,
    )

    def consistent(i: int) -> np.ndarray:
        flow, mask = read(i, "fwd")
        return shade(flow_picture(flow, largest), mask)

    parts.strip(
        material,
        "Where flow agrees with its return",
        consistent,
        "optical flow with inconsistent pixels hatched",
        "flow",
        folder,
        "Hatched pixels do not come back to where they started: covered in the next frame, or flow is wrong there. "
        "They count nowhere.",
        frames=shown,
    )
    return Section("flow", "Optical flow", material.of("flow"), "", parts.parts)


def _wheel(largest: float) -> Strip:
    wheel: Picture = embed(
        flow_wheel(),
        "Colour wheel: red is motion to the right, yellow-green down, cyan left, violet up; pale is slow",
        f"full colour: {largest:.1f} px a frame and more",
        quality=95,
    )
    return Strip("Key: direction as colour, speed as its strength", [wheel])


def _tracks(scene: Scene) -> list[Part]:
    tracks = flow_tracks(scene)
    if tracks is None:
        return []
    what = f"frame {tracks.first} with {tracks.pixels.shape[1]} tracks of what moves, blue at first, red at last"
    picture = embed(tracks_picture(scene, tracks), what, "", TRACKS_WIDTH)
    note = (
        f"From frame {tracks.first} (blue) to frame {tracks.first + len(tracks.pixels) - 1} (red), followed by optical "
        "flow until it no longer agrees with its return: each line should follow one point of the thing that moves."
    )
    return [Strip(f"Tracks of what moves, over frame {tracks.first}", [picture], note, wide=True)]


def masks_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    from nsff.files.io import read_mask

    def coarse(i: int) -> np.ndarray:
        frame = scene.frame(i)
        return tint(frame, read_mask(scene.coarse_mask_path(i), frame.shape[:2]) > 127)

    parts.strip(
        material,
        "Coarse masks, before cameras are known",
        coarse,
        "frame with the coarse motion mask tinted red",
        "coarse_masks",
        scene.coarse_masks_dir,
        "What is tinted is left out of structure from motion. Rather too much than too little.",
    )
    parts.strip(
        material,
        "Motion masks, from the cameras",
        lambda i: tint(scene.image(i), scene.motion_mask(i)),
        "frame with the motion mask tinted red",
        "motion",
        scene.motion_dir,
        "What is tinted moves against the scene; training draws more rays there.",
    )
    if scene.motion_dir.exists():
        parts.add("Tracks of what moves", lambda: _tracks(scene))
    parts.add(
        "Covered part of each frame",
        lambda: _per_frame(scene, "motion", "per_frame", "Covered by the motion mask", "%", percent=True),
    )
    return Section("masks", "What moves", material.of("coarse_masks", "motion"), "", parts.parts)
