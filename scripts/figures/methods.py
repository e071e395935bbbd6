"""Draws the figures of docs/methods.md into docs/images/: python scripts/figures/methods.py [FOLDER]

Everything in them is made up for the purpose; the curves of the second follow the equations of the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle

INK, GREY, STATIC, DYNAMIC, PRIOR, OUTPUT = "#222222", "#8a8a8a", "#3b6ea5", "#c8553d", "#6a8f4e", "#8d6a9f"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nsff",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "mathtext.fontset": "dejavusans",
}


def canvas(width: float, height: float) -> tuple[plt.Figure, Axes]:
    """An empty picture whose units are tenths of an inch."""
    figure = plt.figure(figsize=(width / 10, height / 10))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK, **style: object) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "lw": 1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8, **style}
    axes.annotate("", end, start, arrowprops=style)


def label(axes: Axes, x: float, y: float, text: str, colour: str = INK, **style: object) -> None:
    axes.text(x, y, text, **{"ha": "center", "va": "center", "color": colour, **style})


def box(axes: Axes, x: float, y: float, text: str, colour: str, width: float = 8.6, height: float = 4) -> None:
    """A named box around (x, y)."""
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.8", fc="white", ec=colour
    )
    shape.set_linewidth(1.4)
    axes.add_patch(shape)
    label(axes, x, y, text, fontsize=8.5)


# --- figures ---------------------------------------------------------------------------------------------------------
def pipeline() -> plt.Figure:
    """The stages from left to right, coloured by what they are."""
    figure, axes = canvas(90, 32)
    places = {
        "ingest": (6, 16, GREY), "flow": (17, 16, PRIOR), "coarse\nmasks": (28, 16, PRIOR), "sfm": (28, 9, PRIOR),
        "cameras": (39, 9, PRIOR), "depth": (50, 22, PRIOR), "motion": (50, 16, PRIOR), "features": (50, 10, PRIOR),
        "train": (61, 16, STATIC), "render": (72, 27, OUTPUT), "maps": (72, 19, OUTPUT), "cluster": (72, 12, DYNAMIC),
        "postprocess": (83, 12, DYNAMIC), "crf": (83, 19, DYNAMIC), "score": (72, 5, OUTPUT), "report": (83, 5, OUTPUT),
    }  # fmt: skip
    for name, (x, y, colour) in places.items():
        box(axes, x, y, name, colour)

    def link(first: str, second: str, *bends: tuple[float, float]) -> None:
        (x0, y0, _), (x1, y1, _) = places[first], places[second]
        vertical = not bends and abs(x1 - x0) < 1
        start = (x0, y0 + np.sign(y1 - y0) * 2) if vertical else (x0 + 4.3, y0)
        end = (x1, y1 - np.sign(y1 - y0) * 2) if vertical else (x1 - 4.3, y1)
        points = [start, *bends, end]
        axes.plot(*zip(*points[:-1], strict=True), color=INK, lw=1)
        arrow(axes, points[-2], points[-1])

    for first, second in (("ingest", "flow"), ("flow", "coarse\nmasks"), ("coarse\nmasks", "sfm"), ("sfm", "cameras"),
                          ("motion", "train"), ("maps", "cluster"), ("cluster", "postprocess"), ("postprocess", "crf"),
                          ("score", "report")):  # fmt: skip
        link(first, second)
    for name in ("depth", "motion", "features"):
        link("cameras", name, (44.5, 9), (44.5, places[name][1]))
    for name in ("depth", "features"):
        link(name, "train", (55.5, places[name][1]), (55.5, 16))
    for name in ("render", "maps", "score"):
        link("train", name, (66.5, 16), (66.5, places[name][1]))
    for x, text, colour in ((6, "input", GREY), (33.5, "priors", PRIOR), (61, "scene model", STATIC),
                            (77.5, "pictures, objects, scores", OUTPUT)):  # fmt: skip
        label(axes, x, 30.8, text, colour, style="italic")
    return figure


def two_fields() -> plt.Figure:
    """A ray with its samples, and what both fields say along it, composited with blending."""
    figure = plt.figure(figsize=(7.6, 4.4))
    scene = figure.add_axes((0.08, 0.60, 0.90, 0.38))
    s = np.linspace(0, 1, 33)
    scene.set(xlim=(-0.06, 1.04), ylim=(-0.4, 0.4))
    scene.axis("off")
    scene.add_patch(Polygon([(-0.05, 0.06), (-0.05, -0.06), (-0.012, 0)], fc="white", ec=INK))
    scene.add_patch(Circle((0.45, 0.02), 0.11, fc=DYNAMIC, alpha=0.35, transform=scene.transData))
    scene.add_patch(Rectangle((0.78, -0.36), 0.12, 0.72, fc=STATIC, alpha=0.35))
    scene.plot([0, 1.02], [0, 0], color=GREY, lw=0.8)
    scene.scatter(s, 0 * s, s=9, color=INK, zorder=3)
    label(scene, -0.03, 0.13, "camera")
    label(scene, 0.2, 0.08, "samples $x_k = x(s_k)$")
    label(scene, 0.45, 0.3, "moving object", DYNAMIC)
    label(scene, 0.84, -0.4, "static wall", STATIC)
    delta = np.diff(s, append=s[-1] + 10)
    bump = lambda middle, width, height: height / (1 + np.exp((np.abs(s - middle) - width) * 120))  # noqa: E731
    v = bump(0.45, 0.13, 1.0)
    a_static = (1 - v) * (1 - np.exp(-bump(0.84, 0.06, 40) * np.minimum(delta, 1)))
    a_dynamic = v * (1 - np.exp(-bump(0.45, 0.1, 4) * np.minimum(delta, 1)))
    T = np.cumprod(np.append(1, (1 - a_static) * (1 - a_dynamic)))[:-1]
    below = figure.add_axes((0.08, 0.12, 0.90, 0.42))
    width = 0.4 * (s[1] - s[0])
    below.bar(s - width / 2, T * a_static, width, color=STATIC, label=r"weights of the static field $w^s = T a^s$")
    below.bar(s + width / 2, T * a_dynamic, width, color=DYNAMIC, label=r"weights of the dynamic field $w^d = T a^d$")
    below.plot(s, T, color=INK, lw=1.2, label="transmittance $T$")
    below.plot(s, v, color=GREY, lw=1.2, ls="--", label="blending weight $v$")
    below.set(xlim=(-0.06, 1.04), ylim=(0, 1.08), xlabel="ray parameter $s$", yticks=(0, 0.5, 1))
    below.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(0.99, 1.02))
    below.spines[["top", "right"]].set_visible(False)
    return figure


def warping() -> plt.Figure:
    """A ray at frame k, its samples moved to frame k + 1, and where they are rendered."""
    figure, axes = canvas(80, 36)
    along = np.linspace(0.12, 0.98, 9)
    start, end = np.array([6.0, 9.0]), np.array([33.0, 24.0])
    ray = start + along[:, None] * (end - start)
    for left, title in ((0, "frame $k$"), (42, "frame $k+1$")):
        axes.add_patch(Rectangle((left + 1.5, 2), 36, 30, fc="none", ec=GREY, lw=0.8))
        label(axes, left + 19.5, 34, title)
    object_here, shift, right = np.array([22.5, 18.2]), np.array([4.0, -5.0]), np.array([42.0, 0.0])
    for centre, alpha in ((object_here, 0.35), (object_here + right, 0.1), (object_here + right + shift, 0.35)):
        axes.add_patch(Circle(centre, 5.2, fc=DYNAMIC, alpha=alpha))
    axes.plot(*zip(start, end, strict=True), color=INK, lw=0.9)
    axes.plot(*zip(start + right, end + right, strict=True), color=GREY, lw=0.9, ls="--")
    axes.add_patch(Polygon([(3, 10.3), (3, 7.7), (6, 9)], fc="white", ec=INK))
    moves = np.exp(-(((ray - object_here) ** 2).sum(1)) / 60)[:, None] * shift
    axes.scatter(*ray.T, s=14, color=INK, zorder=3)
    there = ray + moves + right
    axes.scatter(*(ray + right).T, s=14, fc="white", ec=GREY, zorder=3)
    for before, after in zip(ray + right, there, strict=True):
        if np.hypot(*(after - before)) > 1.5:
            arrow(axes, tuple(before), tuple(after), DYNAMIC)
    axes.scatter(*there.T, s=14, color=DYNAMIC, zorder=4)
    label(axes, 11.5, 19.5, "samples $x$", fontsize=8.5)
    label(axes, 26, 8, "the dynamic field says\nscene flow $f^+(x)$", DYNAMIC, fontsize=8.5)
    label(axes, 55, 27.5, "asked at $x + f^+(x)$ and\ntime $t + 1$: $\\sigma^+$, $c^+$", DYNAMIC, fontsize=8.5)
    label(axes, 61, 5.6, "rendered along the distances of the ray at $k$:\n"
          r"$\hat{c}^+ = \Sigma\, w^+ c^+$, compared with the pixel at $k$", fontsize=8)  # fmt: skip
    arrow(axes, (36, 17), (45, 17), GREY)
    return figure


def planes() -> plt.Figure:
    """From a position to what a plane field says about it."""
    figure, axes = canvas(88, 37)
    for shift, alpha in ((2.4, 0.4), (1.2, 0.5), (0, 1.0)):
        for row, (name, point) in enumerate((("xy", (0.62, 0.3)), ("xz", (0.62, 0.7)), ("yz", (0.3, 0.7)))):
            x, y, side = 15 + shift, 23.4 - 9.6 * row + 0.5 * shift, 7.0
            colour = DYNAMIC if alpha < 1 else INK
            axes.add_patch(Rectangle((x, y), side, side, fc="white", ec=colour, lw=1, alpha=alpha))
            if alpha == 1.0:
                for cell in np.linspace(0, side, 8)[1:-1]:
                    axes.plot([x, x + side], [y + cell] * 2, color=GREY, lw=0.3)
                    axes.plot([x + cell] * 2, [y, y + side], color=GREY, lw=0.3)
                axes.scatter(x + point[0] * side, y + point[1] * side, s=22, color=STATIC, zorder=4)
                label(axes, x - 2.6, y + 0.9, f"$P^{{{name}}}_r$", fontsize=9)
                arrow(axes, (8.5, 17), (x - 1.2, y + 4.2), GREY)
                arrow(axes, (x + side + 3.6, y + 3.5), (33.4, 17 + (y - 13.8) * 0.1), GREY)
    label(axes, 5, 17, "position\n$x, y, z$\n(time $t$)", fontsize=8.5)
    label(axes, 21, 34.5, "a slice for each frame\nin the dynamic field", DYNAMIC, fontsize=7.5)
    axes.add_patch(Circle((35.2, 17), 1.8, fc="white", ec=INK))
    label(axes, 35.2, 17, r"$\odot$", fontsize=11)
    label(axes, 35.2, 12.8, "product,\nchannel by\nchannel", fontsize=7.5)
    arrow(axes, (37, 17), (41.5, 17))
    for k, height in enumerate((2.6, 2.6, 2.6)):
        axes.add_patch(Rectangle((41.7, 13.1 + 2.6 * k), 2.6, height, fc=STATIC, alpha=0.25 + 0.2 * k, ec=INK, lw=0.6))
    label(axes, 43, 23.2, "$F(x)$:\nall resolutions $r$", fontsize=7.5)
    arrow(axes, (44.5, 17), (48.4, 17))
    box(axes, 53, 17, "small\nnetwork", STATIC)
    outputs = (
        ("density $\\sigma$", 29, INK),
        ("colour $c$ (with the view direction)", 24.5, INK),
        ("features, saliency", 20, INK),
        ("static field: blending $v$", 13, STATIC),
        ("dynamic field: flow $f^\\pm$, disocclusion $p^\\pm$", 7, DYNAMIC),
    )
    for text, y, colour in outputs:
        arrow(axes, (57.5, 17), (61.5, y), GREY)
        label(axes, 62, y, text, colour, ha="left", fontsize=8)
    label(axes, 62, 4, "(from coarse planes of their own)", GREY, ha="left", fontsize=7.5)
    return figure


FIGURES = {"pipeline": pipeline, "two_fields": two_fields, "warping": warping, "planes": planes}


def main(folder: Path) -> None:
    with mpl.rc_context(STYLE):
        for name, draw in FIGURES.items():
            figure = draw()
            figure.savefig(folder / f"{name}.svg", facecolor="white", metadata={"Date": None, "Creator": None})
            plt.close(figure)


if __name__ == "__main__":
    mpl.use("svg")
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "docs" / "images")
