"""Pictures for the pages: embedding, and what arrays of the pipeline look like in colour.

Notation. Images (H,W,3) uint8 RGB; maps (H,W) float; masks (H,W) bool; flow (H,W,2) pixels, (right, down).
Photographs are embedded as JPEG, since the pages would not fit into a message otherwise.
"""

from __future__ import annotations

import base64

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from nsff.errors import StageError
from nsff.report.content import Picture

QUALITY = 82
Image = UInt8[np.ndarray, "H W 3"]


def embed(image: Image, alt: str, caption: str = "", width: int = 320, quality: int = QUALITY) -> Picture:
    """A picture of at most ``width`` pixels across, JPEG, as a data address. Pictures are never enlarged."""
    height, own = image.shape[:2]
    if own > width:
        height = max(1, round(height * width / own))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    # Colour at full resolution: thin tinted outlines would fade otherwise.
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling]
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not ok:
        raise StageError("report", f"a picture of shape {image.shape} cannot be encoded", "report this")
    uri = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
    return Picture(uri, image.shape[1], image.shape[0], alt, caption)


def flow_picture(flow: Float[np.ndarray, "H W 2"], largest: float) -> Image:
    """Direction as hue, length as saturation, white where nothing moves; ``largest`` pixels and more are full colour.

    The idea of the colour wheel is Baker et al., A Database and Evaluation Methodology for Optical Flow, IJCV 2011.
    """
    angle = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360
    strength = np.clip(np.linalg.norm(flow, axis=2) / max(largest, 1e-6), 0, 1)
    hsv = np.stack([angle, strength, np.ones_like(strength)], axis=2).astype(np.float32)
    return np.round(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)


def flow_wheel(size: int = 96) -> Image:
    """The key to ``flow_picture``: each direction in its colour, from the middle outwards."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    flow = np.stack(np.meshgrid(axis, axis), axis=2)
    picture = flow_picture(flow, 1.0)
    picture[np.linalg.norm(flow, axis=2) > 1] = 255
    return picture


def shade(image: Image, keep: Bool[np.ndarray, "H W"]) -> Image:
    """Hatching in dark grey where ``keep`` is false."""
    height, width = keep.shape
    rows, columns = np.mgrid[:height, :width]
    stripes = (rows + columns) % 6 < 3
    tone = np.where(stripes, 40, 90).astype(np.uint8)[..., None]
    return np.where(keep[..., None], image, tone)


def tint(image: Image, mask: Bool[np.ndarray, "H W"], colour: tuple[int, int, int] = (230, 40, 90)) -> Image:
    """The image with a mask tinted and outlined."""
    result = image.copy()
    result[mask] = np.round(0.45 * image[mask] + 0.55 * np.array(colour)).astype(np.uint8)
    edge = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    result[edge] = colour
    return result


def colour_map(values: Float[np.ndarray, "H W"], low: float, high: float, name: str = "turbo") -> Image:
    """Values between ``low`` and ``high`` in OpenCV's colour map of that name (turbo, viridis, gray)."""
    level = np.clip((np.nan_to_num(values) - low) / max(high - low, 1e-12), 0, 1)
    grey = np.round(level * 255).astype(np.uint8)
    # OpenCV 5 dies of an empty picture (SIGFPE).
    if name == "gray" or not grey.size:
        return np.repeat(grey[..., None], 3, axis=2)
    table = {"turbo": cv2.COLORMAP_TURBO, "viridis": cv2.COLORMAP_VIRIDIS}[name]
    return cv2.cvtColor(cv2.applyColorMap(grey, table), cv2.COLOR_BGR2RGB)


def colour_key(low: float, high: float, name: str, colours: str, words: str) -> Picture:
    """A bar with the colours of ``colour_map``, from ``low`` to ``high``; ``words`` stand below it."""
    ramp = np.linspace(low, high, 240)[None].repeat(24, axis=0)
    return embed(colour_map(ramp, low, high, name), f"Colour scale from {colours}", words, quality=95)


def colour_range(values: Float[np.ndarray, "..."], low: float = 1, high: float = 99) -> tuple[float, float]:
    """Percentiles between which a colour map shows values; never empty."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    a, b = (float(v) for v in np.percentile(finite, [low, high]))
    return (a, b) if b > a else (a, a + 1.0)


def feature_range(features: Float[np.ndarray, "... C"]) -> Float[np.ndarray, "2 3"]:
    """Percentiles of the first three components, so that pictures of one scene share their colours."""
    first = np.asarray(features[..., :3], np.float32).reshape(-1, min(3, features.shape[-1]))
    bounds = np.percentile(first, [1, 99], axis=0)
    if bounds.shape[1] < 3:
        bounds = np.pad(bounds, ((0, 0), (0, 3 - bounds.shape[1])), mode="edge")
    return bounds


def feature_picture(features: Float[np.ndarray, "h w C"], bounds: Float[np.ndarray, "2 3"]) -> Image:
    """The first three components as red, green and blue (fewer repeat the last)."""
    first = np.asarray(features[..., :3], np.float32)
    if first.shape[-1] < 3:
        first = np.pad(first, ((0, 0), (0, 0), (0, 3 - first.shape[-1])), mode="edge")
    level = (first - bounds[0]) / np.maximum(bounds[1] - bounds[0], 1e-6)
    return np.round(np.clip(np.nan_to_num(level), 0, 1) * 255).astype(np.uint8)
