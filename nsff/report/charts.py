"""Line charts and camera plots as inline SVG that follows the page's colours; no outside references.

They say all without a script; templates/chart.js adds the values under the pointer.

Positions inside a drawing are in its own units (pixels at full size), x to the right, y down. Titles and descriptions
are read aloud by screen readers.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from markupsafe import Markup, escape

from nsff.cameras import Cameras
from nsff.report.verdicts import plain_number

MARGIN = (14.0, 12.0, 34.0, 56.0)
"""Top, right, bottom, left."""
MOST_POINTS = 1200


@dataclass(frozen=True)
class Series:
    name: str
    x: Sequence[float]
    y: Sequence[float]


def line_chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    size: tuple[int, int] = (640, 260),
    logarithmic: bool = False,
) -> Markup:
    """Lines over a common axis. Values that are not finite (or not positive where ``logarithmic``) are left out."""
    width, height = size
    top, right, bottom, left = MARGIN
    lines = [(s.name, _usable(s, logarithmic)) for s in series]
    points = [point for _, line in lines for point in line]
    if not points:
        return Markup("")
    low_x, high_x = _extent([x for x, _ in points])
    low_y, high_y = _extent([y for _, y in points], pad=0.05)
    if not logarithmic and min(y for _, y in points) >= 0:
        low_y = max(0.0, low_y)

    def to_picture(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - low_x) / (high_x - low_x) * (width - left - right),
            height - bottom - (y - low_y) / (high_y - low_y) * (height - top - bottom),
        )

    body = []
    ticks = log_ticks(low_y, high_y) if logarithmic else nice_ticks(low_y, high_y, max(3, height // 45))
    for tick in ticks:
        y = to_picture(low_x, tick)[1]
        text = f"{10**tick:.3g}" if logarithmic else plain_number(tick)
        body.append(f'<line class="grid" x1="{left:.1f}" x2="{width - right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(f'<text class="tick end" x="{left - 6:.1f}" y="{y + 3.5:.1f}">{text}</text>')
    for tick in nice_ticks(low_x, high_x, max(2, width // 95)):
        x = to_picture(tick, low_y)[0]
        body.append(f'<text class="tick middle" x="{x:.1f}" y="{height - bottom + 15:.1f}">{plain_number(tick)}</text>')
    for number, (name, line) in enumerate(lines):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in itertools.starmap(to_picture, line))
        values = [[float(f"{v:.6g}") for v in column] for column in zip(*line, strict=True)] or [[], []]
        values[1] = [float(f"{10**v:.4g}") for v in values[1]] if logarithmic else values[1]
        data = f'data-name="{escape(name)}" data-x="{json.dumps(values[0])}" data-y="{json.dumps(values[1])}"'
        held = data if line else ""
        body.append(
            f'<polyline class="line c{number % 6}" points="{path}" {held}><title>{escape(name)}</title></polyline>'
        )
        if len(line) == 1:
            x, y = to_picture(*line[0])
            body.append(f'<circle class="dot c{number % 6}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    body.append(
        f'<text class="label middle" x="{(left + width - right) / 2:.1f}" y="{height - 4:.1f}">{escape(x_label)}</text>'
        f'<text class="label" x="{left:.1f}" y="{top - 3:.1f}">{escape(y_label)}</text>'
    )
    said = "; ".join(_described(name, line, logarithmic) for name, line in lines if line)
    axes = {"left": left, "right": width - right, "top": top, "bottom": height - bottom, "low": low_x, "high": high_x}
    return _svg(title, said, size, body, f"data-over=\"{escape(x_label)}\" data-axes='{json.dumps(axes)}'")


def scatter_chart(
    title: str,
    x: Float[np.ndarray, " P"],
    y: Float[np.ndarray, " P"],
    x_label: str,
    y_label: str,
    size: tuple[int, int] = (380, 340),
) -> Markup:
    """Points over two axes of one scale, and the diagonal on which they would be equal.

    Both axes end at the 99.5th percentile of all values, with a little beside; what lies beyond is left out. Empty
    without finite points.
    """
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x, float)[keep], np.asarray(y, float)[keep]
    if not len(x):
        return Markup("")
    low, high = _extent(np.percentile(np.concatenate([x, y]), [0.5, 99.5]).tolist(), pad=0.08)
    inside = (np.minimum(x, y) >= low) & (np.maximum(x, y) <= high)
    count, x, y = len(x), x[inside], y[inside]
    if len(x) > MOST_POINTS:
        chosen = np.random.default_rng(0).choice(len(x), MOST_POINTS, replace=False)
        x, y = x[chosen], y[chosen]
    top, right, bottom, left = MARGIN
    side = min(size[0] - left - right, size[1] - top - bottom)

    def to_picture(value_x: float, value_y: float) -> tuple[float, float]:
        unit = side / (high - low)
        return left + (value_x - low) * unit, top + side - (value_y - low) * unit

    body = []
    for tick in nice_ticks(low, high, 5):
        across, up = to_picture(tick, tick)
        text = plain_number(tick)
        body.append(f'<line class="grid" x1="{left:.1f}" x2="{left + side:.1f}" y1="{up:.1f}" y2="{up:.1f}"/>')
        body.append(f'<text class="tick end" x="{left - 6:.1f}" y="{up + 3.5:.1f}">{text}</text>')
        body.append(f'<text class="tick middle" x="{across:.1f}" y="{top + side + 15:.1f}">{text}</text>')
    for one in itertools.starmap(to_picture, zip(x.tolist(), y.tolist(), strict=True)):
        body.append(f'<circle class="dot c0" cx="{one[0]:.1f}" cy="{one[1]:.1f}" r="1.3"/>')
    (x1, y1), (x2, y2) = to_picture(low, low), to_picture(high, high)
    body.append(f'<polyline class="line c1" points="{x1:.1f},{y1:.1f} {x2:.1f},{y2:.1f}"/>')
    body.append(
        f'<text class="label middle" x="{left + side / 2:.1f}" y="{top + side + 30:.1f}">{escape(x_label)}</text>'
        f'<text class="label" x="{left:.1f}" y="{top - 3:.1f}">{escape(y_label)}</text>'
    )
    said = f"{count} points, and the line on which {y_label} equals {x_label}"
    return _svg(title, said, (round(left + side + right), round(top + side + bottom)), body)


def _usable(series: Series, logarithmic: bool) -> list[tuple[float, float]]:
    pairs = [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return [(x, math.log10(y)) for x, y in pairs if y > 0] if logarithmic else pairs


def _described(name: str, line: Sequence[tuple[float, float]], logarithmic: bool) -> str:
    first, last = (10**y if logarithmic else y for y in (line[0][1], line[-1][1]))
    start, end = plain_number(line[0][0]), plain_number(line[-1][0])
    return f"{name}: from {plain_number(first)} at {start} to {plain_number(last)} at {end}"


def _extent(values: Sequence[float], pad: float = 0.0) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    extra = pad * (high - low)
    return low - extra, high + extra


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` + 1 round numbers between ``low`` and ``high``, 1, 2 or 5 times a power of ten apart."""
    step = 10 ** math.floor(math.log10((high - low) / most))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Decimal logarithms of round numbers between 10**low and 10**high: tens alone, or also twos and fives, or more
    where the range is short; at least two."""
    for factors in ((1,), (1, 2, 5), tuple(range(1, 10)), tuple(k / 10 for k in range(10, 100))):
        exponents = range(math.floor(low), math.ceil(high) + 1)
        ticks = sorted(k + math.log10(f) for k in exponents for f in factors)
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 2:
            return ticks[:: -(-len(ticks) // most)]
    return [low, high]


def camera_plot(
    title: str,
    cameras: Cameras,
    points: Float[np.ndarray, "P 3"],
    colours: UInt8[np.ndarray, "P 3"],
    view: str = "top",
    size: tuple[int, int] = (460, 380),
) -> Markup:
    """The path of the cameras with what each looks at, and the scene's points.

    ``view`` is ``top`` (from above: right is right, away is up) or ``side`` (oblique from behind and above). Above,
    right and away are those of the mean camera. Points far outside are left out, so that the path stays visible.
    """
    local, directions, corners = _mean_frame(cameras)
    axes = local_axes(cameras)
    cloud = (points - cameras.centres.mean(0)) @ axes.T if len(points) else np.zeros((0, 3))
    reach = float(np.median(cameras.near_far[:, 0]))
    spread = float(np.linalg.norm(np.ptp(local, axis=0)))
    length = max(0.25 * spread, 0.12 * reach, 1e-6)
    kept = within(cloud)
    cloud, colours = cloud[kept], colours[kept]
    if len(cloud) > MOST_POINTS:
        chosen = np.random.default_rng(0).choice(len(cloud), MOST_POINTS, replace=False)
        cloud, colours = cloud[chosen], colours[chosen]
    if view == "side":
        # Nearer points hide farther ones.
        order = np.argsort(-cloud[:, 2])
        cloud, colours = cloud[order], colours[order]
    flat = _top if view == "top" else _oblique
    tips = local[:, None] + length * corners
    everything = np.concatenate([flat(cloud), flat(local), flat(tips.reshape(-1, 3))])
    low, high = everything.min(0), everything.max(0)
    scale = min((size[0] - 60) / max(high[0] - low[0], 1e-9), (size[1] - 64) / max(high[1] - low[1], 1e-9))
    middle = (low + high) / 2
    size = (size[0], round(max(140, (high[1] - low[1]) * scale + 64)))

    def to_picture(p: np.ndarray) -> np.ndarray:
        return (flat(p) - middle) * scale * [1, -1] + [size[0] / 2, size[1] / 2 - 8]

    body = []
    for (x, y), (r, g, b) in zip(to_picture(cloud), colours.tolist(), strict=True):
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="#{r:02x}{g:02x}{b:02x}"/>')
    every = max(1, len(local) // 12)
    for i in range(0, len(local), every):
        c, t = to_picture(local[i : i + 1])[0], to_picture(tips[i])
        edges = [f"M{c[0]:.1f},{c[1]:.1f}L{x:.1f},{y:.1f}" for x, y in t]
        edges.append("M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in t) + "Z")
        body.append(f'<path class="frustum" d="{"".join(edges)}"><title>camera of frame {i}</title></path>')
    path = to_picture(local)
    body.append(f'<polyline class="line c0" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in path)}"/>')
    spacing = float(np.median(np.linalg.norm(np.diff(path, axis=0), axis=1))) if len(path) > 1 else 9.0
    radius = min(2.2, max(0.5, 0.35 * spacing))
    for i, (x, y) in enumerate(path):
        body.append(
            f'<circle class="dot c0" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>frame {i}</title></circle>'
        )
    for i, text in ((0, "first"), (len(path) - 1, "last")):
        # Below the path, where no frustum is.
        body.append(f'<text class="tick middle" x="{path[i][0]:.1f}" y="{path[i][1] + 15:.1f}">{text}</text>')
    bar = _round_length(0.25 * (size[0] - 60) / scale)
    if view == "top":
        end = 16 + bar * scale
        y = size[1] - 14
        body.append(f'<path class="bar" d="M16,{y - 4}V{y}H{end:.1f}V{y - 4}"/>')
        body.append(f'<text class="tick" x="{end + 6:.1f}" y="{y:.1f}">{plain_number(bar)} scene units</text>')
    turn = math.degrees(math.acos(float(np.clip((directions @ directions[0]).min(), -1, 1))))
    said = (
        f"{len(local)} cameras over a path of {plain_number(path_length(cameras))} scene units, turning by up to "
        f"{turn:.1f} degrees, and {len(cloud)} points"
    )
    return _svg(title, said, size, body)


def path_length(cameras: Cameras) -> float:
    """Scene units from first to last camera along the path."""
    return float(np.linalg.norm(np.diff(cameras.centres, axis=0), axis=1).sum())


def local_axes(cameras: Cameras) -> Float[np.ndarray, "3 3"]:
    """Right, up and away of the mean camera, as rows in world axes."""
    u, _, v = np.linalg.svd(cameras.world_to_camera[:, :, :3].mean(0))
    R = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    return np.stack([R[0], -R[1], R[2]])


def _mean_frame(cameras: Cameras) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (N,3), viewing directions (N,3) and image corners at depth 1 (N,4,3), in right, up, away."""
    axes = local_axes(cameras)
    corners = np.array([[0, 0, 1], [cameras.width, 0, 1], [cameras.width, cameras.height, 1], [0, cameras.height, 1]])
    rays = np.einsum("nij,cj->nci", np.linalg.inv(cameras.intrinsics), corners)
    rotation = cameras.world_to_camera[:, :, :3]
    world = np.einsum("nji,ncj->nci", rotation, rays)
    return (cameras.centres - cameras.centres.mean(0)) @ axes.T, rotation[:, 2] @ axes.T, world @ axes.T


def within(cloud: Float[np.ndarray, "P 3"]) -> np.ndarray:
    """Points no further than 1.5 interpercentile ranges outside the 5th and 95th percentile of each axis."""
    if not len(cloud):
        return np.zeros(0, bool)
    low, high = np.percentile(cloud, [5, 95], axis=0)
    slack = 1.5 * (high - low) + 1e-9
    return ((cloud >= low - slack) & (cloud <= high + slack)).all(axis=1)


def _top(p: np.ndarray) -> np.ndarray:
    return p[..., [0, 2]]


def _oblique(p: np.ndarray) -> np.ndarray:
    """Turned by 35 degrees about the vertical, then tilted by 25 degrees, without perspective."""
    a, b = math.radians(35), math.radians(25)
    x = math.cos(a) * p[..., 0] - math.sin(a) * p[..., 2]
    z = math.sin(a) * p[..., 0] + math.cos(a) * p[..., 2]
    return np.stack([x, math.cos(b) * p[..., 1] + math.sin(b) * z], axis=-1)


def _round_length(value: float) -> float:
    power = 10 ** math.floor(math.log10(max(value, 1e-12)))
    return max(power * factor for factor in (1, 2, 5) if power * factor <= value * (1 + 1e-9))


def _svg(title: str, description: str, size: tuple[int, int], body: Sequence[str], data: str = "") -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {size[0]} {size[1]}" style="max-width: {size[0]}px" role="img" '
        f'aria-label="{escape(title)}. {escape(description)}." {data}>'
        f"{''.join(map(str, body))}</svg>"
    )
