"""One HTML file from a scene of Gaussians, the input frames and the parts of the program in assets/.

Everything is within the file: arrays and pictures in base64, style and program as text. See docs/scene_page.md.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import cv2
import jinja2
import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup

from nsff.cameras import Cameras
from nsff.decompose.colours import N_COLOURS, PALETTE
from nsff.errors import StageError
from nsff.splats.compact import encode
from nsff.splats.scene import SplatScene
from nsff.viewer.shadows import SHADOWS

WORKER = ("sorting.js", "assembler.js", "kernel.js", "splatting.js", "worker.js")
PROGRAM = (
    "maths.js", "decode.js", "packing.js", "sorting.js", "ranges.js", "shaders.js", "renderer.js", "software.js",
    "viewpoint.js", "player.js", "lines.js", "keyframes.js", "compare.js", "controls.js", "panel.js", "measure.js",
    "app.js", "main.js",
)  # fmt: skip
"""In this order: a file uses what those before it define."""
LAYERS = (
    ("all", "All"), ("still", "Static"), ("moving", "Moving"), ("depth", "Depth"), ("flow", "Scene flow"),
    ("features", "Features"), ("objects", "Objects"),
)  # fmt: skip
SPEEDS = (("0.1", "1/10"), ("0.25", "1/4"), ("0.5", "1/2"), ("1", "1×"), ("2", "2×"), ("4", "4×"))
HELP = (
    ("drag, one finger", "turn about what lies ahead"),
    ("right button or Shift + drag, two fingers", "move sideways, up and down"),
    ("wheel, pinch", "nearer or farther; with Ctrl, or + and −, the lens zooms"),
    ("Alt + drag", "look around from where one is"),
    ("W A S D, Q E", "fly forward, left, back, right, down, up; with Shift faster"),
    ("double click, C", "back to the camera that filmed the clip"),
    (", and .", "camera of the frame before, of the next frame"),
    ("O", "overview, with the path of the camera"),
    ("space", "play or pause"),
    ("← →, ↑ ↓", "a frame back or on; faster or slower"),
    ("1 to 7", "layers: all, static, moving, depth, scene flow, features, objects"),
    ("I", "input frame: wiped over the rendering, beside it, off"),
    ("X, T", "path of the camera, tracks of what moves"),
    ("K, P", "add a key frame, save a screenshot"),
)
BLUR = 0.3
"""Variance in pixels that the rasterisers add to every Gaussian (Kerbl et al. 2023)."""


@dataclass(frozen=True)
class PageContent:
    """The content of a page. ``cameras``: one for each frame of the clip."""

    name: str
    splats: SplatScene
    cameras: Cameras
    pictures: Sequence[bytes] = ()
    """JPEG files of the input frames, one a frame, or none."""
    notes: Sequence[str] = field(default_factory=list)
    """Sentences at the foot of the panel."""


def scene_page(content: PageContent) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nsff.viewer", "assets"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = page_data(content)
    packed = gzip.compress(encode(content.splats), compresslevel=9, mtime=0)
    # "<" is escaped, so that no text within the data ends the script element.
    data = json.dumps(page, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    layers = [layer for layer in LAYERS if layer[0] != "features" or _has_features(content.splats)]
    return environment.get_template("page.html.j2").render(
        page=page, facts=facts(content), layers=layers, speeds=SPEEDS, help=HELP, style=Markup(asset("style.css")),
        data=Markup(data), splats=base64.b64encode(packed).decode("ascii"), worker=Markup(_joined(WORKER)),
        program=Markup(_joined(PROGRAM)),
    )  # fmt: skip


def page_data(content: PageContent) -> dict[str, Any]:
    """All that the program knows of the scene beside its Gaussians."""
    splats, cameras = content.splats, content.cameras
    near, far = (float(v) for v in (np.percentile(cameras.near_far[:, 0], 5), np.median(cameras.near_far[:, 1])))
    return {
        "name": content.name,
        "frames": splats.n_frames,
        "frame_rate": splats.frame_rate,
        "width": cameras.width,
        "height": cameras.height,
        "near": near,
        "far": far,
        "blur": BLUR,
        "compensate": False,
        "cameras": [
            {"lens": [K[0, 0], K[1, 1], K[0, 2], K[1, 2]], "rows": E.tolist()}
            for K, E in zip(cameras.intrinsics, cameras.world_to_camera, strict=True)
        ],
        "objects": [
            {
                "number": n,
                "name": splats.object_names.get(n) or f"Object {n}",
                "colour": colour_of(n) if n < SHADOWS else [round(0.5 * v, 4) for v in colour_of(n - SHADOWS)],
                "caster": n - SHADOWS if n > SHADOWS else None,
            }
            for n in splats.object_numbers
        ],
        "pictures": [base64.b64encode(picture).decode("ascii") for picture in content.pictures],
        "notes": list(content.notes),
    }


def colour_of(number: int) -> list[float]:
    """The colour of an object in masks and pictures of labels (nsff.decompose.colours), in [0, 1]."""
    return [round(float(v) / 255, 4) for v in PALETTE[(number - 1) % N_COLOURS]]


def facts(content: PageContent) -> str:
    """The scene in a line."""
    splats = content.splats
    return (
        f"{splats.n_frames} frames at {splats.frame_rate:g} a second; {len(splats.static):,} Gaussians that rest, "
        f"{len(splats.moving):,} that move"
    )


def jpeg(image: UInt8[np.ndarray, "H W 3"], width: int, quality: int = 82) -> bytes:
    """A JPEG file of an RGB picture, at most ``width`` pixels across."""
    height, own = image.shape[:2]
    if own > width:
        image = cv2.resize(image, (width, max(1, round(height * width / own))), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise StageError("page", f"a picture of shape {image.shape} cannot be encoded", "report this")
    return data.tobytes()


def asset(name: str) -> str:
    """The text of a file of assets/."""
    return files("nsff.viewer").joinpath("assets", name).read_text(encoding="utf-8")


def _joined(names: Sequence[str]) -> str:
    return "\n".join(asset(name) for name in names)


def _has_features(splats: SplatScene) -> bool:
    return any(len(part) and part.feature_colours is not None for part in (splats.static, splats.moving))
