"""Sections of cameras and depth."""

from __future__ import annotations

import math

import cv2
import numpy as np

from nsff.cameras.points import SparsePoints
from nsff.files.io import read_npz
from nsff.priors.depth.anchors import of_points
from nsff.report.charts import Series, camera_plot, line_chart, path_length, scatter_chart
from nsff.report.content import Absent, Drawing, Drawings, Part, Section, Space, Strip, facts
from nsff.report.gather import Material, Parts
from nsff.report.pictures import colour_key, colour_map, colour_range
from nsff.report.space import space_data
from nsff.report.tracks import flow_tracks, in_space
from nsff.report.verdicts import plain_number, value_text
from nsff.scene import Scene


def cameras_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    reason = material.why_no("cameras", scene.cameras_path)
    if reason:
        parts.parts.append(Absent("Camera path", reason))
    else:
        parts.add("Camera path", lambda: _plots(scene))
        parts.add("Facts about the cameras", lambda: facts("Cameras", _camera_facts(scene)))
        parts.add("Points in the frames", lambda: _points_in_frames(material))
    intro = (
        "The path of the camera with what it looks at in some frames, and the points that structure from motion found, "
        "in their colours. A smooth path with points in the shape of the scene is what to look for."
    )
    return Section("cameras", "Cameras", material.of("sfm", "cameras"), intro, parts.parts)


def _plots(scene: Scene) -> list[Part]:
    parts: list[Part] = []
    points, colours = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    if scene.points_path.exists():
        arrays = read_npz(scene.points_path, ["xyz", "rgb"])
        points, colours = arrays["xyz"].astype(np.float64), arrays["rgb"].astype(np.uint8)
    parts.append(_in_space(scene, points, colours))
    views = (("top", "From above"), ("side", "From behind and above"))
    drawings = [Drawing(title, camera_plot(title, scene.cameras, points, colours, view)) for view, title in views]
    if len(points):
        # Beside the scene a short path is a dot.
        title = "The path alone, from above"
        drawings.append(Drawing(title, camera_plot(title, scene.cameras, points[:0], colours[:0])))
    parts.append(Drawings("Camera path", drawings))
    if not len(points):
        why = "points.npz is empty" if scene.points_path.exists() else "points.npz is missing"
        if (scene.manifest.get("given") or {}).get("cameras"):
            why += ": cameras came with the source, without points"
        parts.append(Absent("Points of the scene", why))
    return parts


def _in_space(scene: Scene, points: np.ndarray, colours: np.ndarray) -> Part:
    """Cameras, points and, where depth has a unit, tracks of what moves, to be turned."""
    tracks, moved = None, None
    if scene.motion_dir.exists() and scene.depth_dir.exists() and (scene.summary("depth") or {}).get("metric"):
        tracks = flow_tracks(scene)
        moved = in_space(scene, tracks) if tracks is not None else None
    data = space_data(scene.cameras, points, colours, moved)
    count = len(data["tracks"])
    alt = f"{len(data['points'])} points, the path of the camera, and {count} tracks of what moves, in space"
    note = "Drag to turn, + and − come nearer. Blue: the path of the camera; orange: where it looks."
    if data["tracks"]:
        note += " Tracks of what moves go from blue (first frame) to red (last), as far as flow and depth follow them."
    return Space("In space", data, alt, note)


def _points_in_frames(material: Material) -> list[Part]:
    """Frames with the points that structure from motion saw in each, near ones red, far ones blue."""
    scene = material.scene
    if not scene.points_path.exists():
        return []
    points = SparsePoints.load(scene.points_path)
    if not len(points):
        return []
    low, high = 1 / scene.cameras.near_far[:, 1].max(), 1 / scene.cameras.near_far[:, 0].min()
    pictures = []
    for i in material.frames:
        image = scene.image(i)
        seen = points.xyz[points.seen_in(i)]
        uv, depth = scene.cameras[[i]].project(seen)
        at, colours = uv[0], colour_map(1 / np.maximum(depth[0], 1e-9)[None], low, high)[0]
        radius = max(1, round(scene.size[0] / 150))
        for (u, v), z, colour in zip(at, depth[0], colours, strict=True):
            if z > 0 and abs(u) < 1e5 and abs(v) < 1e5:
                # Pixel centres at +0.5; OpenCV draws at whole numbers.
                cv2.circle(image, (round(u - 0.5), round(v - 0.5)), radius, colour.tolist(), -1, cv2.LINE_AA)
        alt = f"frame with {len(seen)} points, red near, blue far, frame {i}"
        pictures.append(material.embed(image, alt, f"frame {i}: {len(seen)} points"))
    note = "Near points are red, far ones blue. They should lie on all that stands still, on nothing that moves."
    return [Strip("Points in the frames", pictures, note)]


def _camera_facts(scene: Scene) -> list[tuple[str, str]]:
    cameras = scene.cameras
    fov = np.degrees(2 * np.arctan(cameras.width / (2 * cameras.intrinsics[:, 0, 0].mean())))
    near, far = cameras.near_far[:, 0].min(), cameras.near_far[:, 1].max()
    origin = "came with the source" if (scene.manifest.get("given") or {}).get("cameras") else "structure from motion"
    return [
        ("cameras", f"{len(cameras)}, {origin}"),
        *_sfm_facts(scene),
        ("canonical size", f"{cameras.width}×{cameras.height} pixels"),
        ("focal length", f"{cameras.focal:.1f} px: {fov:.1f} degrees across"),
        ("length of the path", f"{plain_number(path_length(cameras))} scene units"),
        ("depth of the visible scene", f"{plain_number(float(near))} to {plain_number(float(far))} scene units"),
    ]


def _sfm_facts(scene: Scene) -> list[tuple[str, str]]:
    """Figures of structure from motion by name, from its summary; figures that the summary lacks are left out."""
    summary = scene.summary("sfm") or {}
    pairs = []
    if "registered" in summary:
        pairs.append(("registered", f"{summary['registered']} of {summary.get('n_frames', scene.n_frames)} frames"))
    for key in ("points", "reprojection_error", "triangulation_angle"):
        if summary.get(key) is not None:
            pairs.append((key.replace("_", " "), value_text(key, summary[key])))
    if summary.get("focal") and summary.get("focal_guess"):
        ratio = summary["focal"] / summary["focal_guess"]
        pairs.append(
            ("focal length by the source's metadata", f"{summary['focal_guess']:.0f} px; found {ratio:.2f} of it")
        )
    return pairs


def depth_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    low, high = 0.0, 1.0
    if scene.depth_dir.exists():

        def measure() -> list[Part]:
            nonlocal low, high
            low, high = colour_range(np.stack([scene.disparity(i)[0] for i in material.frames]))
            return [_key(scene, low, high)]

        parts.add("Key to the colours of depth", measure)
    parts.strip(
        material,
        "Inverse depth",
        lambda i: colour_map(scene.disparity(i)[0], low, high),
        "inverse depth as colours, red near, blue far",
        "depth",
        scene.depth_dir,
    )
    parts.strip(
        material,
        "Confidence",
        lambda i: colour_map(scene.disparity(i)[1], 0, 1, "gray"),
        "confidence of the depth, white is sure",
        "depth",
        scene.depth_dir,
        "White is measured and sure, black is filled in from the surroundings. A network is trusted as far as its "
        "error at known points allows, and half of that where things move.",
    )
    if scene.depth_dir.exists():
        parts.add("Depth against what is known", lambda: _against_known(material))
        parts.add("Facts about the depth", lambda: facts("Depth", _depth_facts(scene)))
    intro = (
        "How near things are in each frame, and how far that can be believed. Outlines should follow those of things, "
        "and colours should not jump from frame to frame."
    )
    return Section("depth", "Depth", material.of("depth"), intro, parts.parts)


def _against_known(material: Material) -> list[Part]:
    """Disparity where the depth is known from elsewhere, and the error of each frame that was aligned."""
    scene, title = material.scene, "Depth against what is known"
    summary = scene.summary("depth") or {}
    record = scene.alignment_path
    if record.exists():
        arrays = read_npz(record, ["inverse_depth", "aligned"])
        known, found = arrays["inverse_depth"], arrays["aligned"]
        note = "After alignment, at static points that the alignment was fitted to: the closer to the line the better."
    elif summary.get("metric"):
        points = SparsePoints.load(scene.points_path)
        seen = [of_points(scene, points, i, scene.disparity(i)[0], ~scene.motion_mask(i)) for i in material.frames]
        known = np.concatenate([one.inverse_depth for one in seen])
        found = np.concatenate([one.disparity for one in seen])
        note = "At the static points of structure from motion that these frames see: the closer to the line the better."
    else:
        return [Absent(title, "the disparity has no unit, so nothing can be laid beside it")]
    if not len(known):
        return [Absent(title, "there are no sparse points, and nothing was aligned")]
    labels = ("known inverse depth", "inverse depth of the maps")
    drawings = [Drawing("Inverse depth, 1/scene units", scatter_chart(title, known, found, *labels))]
    errors = summary.get("frame_error")
    if errors:
        line = Series("error", list(range(len(errors))), [math.nan if e is None else 100 * e for e in errors])
        chart = line_chart("Error of depth", [line], "frame", "median error of depth, %", (420, 260))
        drawings.append(Drawing("Error of each frame after alignment", chart))
    return [Drawings(title, drawings, note)]


def _depth_facts(scene: Scene) -> list[tuple[str, str]]:
    """Figures of the depth stage by name, from its summary; figures that the summary lacks are left out."""
    summary = scene.summary("depth") or {}
    pairs = [("backend", str(summary.get("backend", "not known")))]
    pairs.append(("unit", "1/scene units" if summary.get("metric") else "none: relative"))
    names = {
        "alignment_error_before": "error with one scale for all frames (median)",
        "alignment_error_affine": "error with scales and shifts alone (median)",
        "alignment_error": "error of depth at known points (median)",
        "points_depth_error": "error of depth at sparse points (median)",
        "frames_fitted_to_points": "frames fitted to sparse points",
        "frames_fitted_to_triangulation": "frames fitted to triangulation along flow",
        "frames_interpolated": "frames that take after their neighbours",
        "triangulated_fraction": "static pixels triangulated",
        "moving_fraction": "pixels that move",
        "grounded_fraction": "of these, standing on something",
        "least_motion_fraction": "of these, placed where they move most evenly",
    }
    for key, name in names.items():
        value = summary.get(key)
        if value is not None:
            pairs.append((name, f"{value:.1%}" if "error" in key or "fraction" in key else value_text(key, value)))
    return pairs


def _key(scene: Scene, low: float, high: float) -> Strip:
    unit = "1/scene units" if (scene.summary("depth") or {}).get("metric") else "relative, no unit"
    words = f"far {plain_number(low)} to near {plain_number(high)} ({unit})"
    return Strip("Key: inverse depth", [colour_key(low, high, "turbo", "blue, far, to red, near", words)])
