"""The page stage: scene.html, the scene in one file that a browser opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nsff.config import SceneConfig
from nsff.files.io import write_text
from nsff.scene import Scene
from nsff.splats.scene import SplatScene
from nsff.viewer.gather import pruned, splats_for_page
from nsff.viewer.html import PageContent, jpeg, scene_page
from nsff.viewer.shadows import SHADOWS

SMALL, LARGE = (24, 10.0), (200, 40.0)
"""Frames of a clip, and the most megabytes of its page; between them in a straight line."""


def run_page(scene: Scene, config: SceneConfig) -> dict[str, Any]:
    """Writes scene.html; returns the summary. Raises StageError where the model or the frames are missing or damaged.

    Gaussians that matter least are left out until the page is no larger than ``size_limit`` says: those of a model of
    Gaussians before they are fitted, so that the others make up for them.
    """
    page = config.page
    pictures = [jpeg(scene.image(i), page.picture_width) for i in range(scene.n_frames)] if page.picture_width else []
    limit = page.megabytes or size_limit(scene.n_frames)

    def content_of(splats: SplatScene, notes: Sequence[str] = ()) -> PageContent:
        return PageContent(scene.name, splats, scene.cameras, pictures, notes)

    def room(splats: SplatScene) -> float:
        program = size_of(content_of(pruned(splats, 0, 0)))
        return max(limit - program, 0.0) / max(size_of(content_of(splats)) - program, 1e-9)

    content = content_of(*splats_for_page(scene, page, room))
    while True:
        text = scene_page(content)
        megabytes = len(text.encode()) / 1e6
        count = len(content.splats.static), len(content.splats.moving)
        if megabytes <= limit or sum(count) < 1000:
            break
        share = max(0.5, 0.9 * limit / megabytes)
        fewer = pruned(content.splats, int(count[0] * share), int(count[1] * share))
        content = replace(content, splats=fewer)
    write_text(scene.page_path, text)
    verdict, message = "good", f"{count[0]:,} Gaussians that rest and {count[1]:,} that move, {megabytes:.1f} MB."
    if megabytes > limit:
        verdict = "doubtful"
        message += f" That is more than {limit:.0f} MB: set page.picture_width lower."
    if not sum(count):
        verdict, message = "poor", "There is nothing to show: the model has no surfaces that the cameras see."
    summary = {
        "static": count[0],
        "moving": count[1],
        "objects": sum(number < SHADOWS for number in content.splats.object_numbers),
        "megabytes": round(megabytes, 2),
        "verdict": verdict,
        "message": message,
    }
    scene.write_summary("page", summary)
    return summary


def size_of(content: PageContent) -> float:
    """Megabytes of a page."""
    return len(scene_page(content).encode()) / 1e6


def size_limit(frames: int) -> float:
    """Megabytes that the page of a clip may have.

    >>> [size_limit(frames) for frames in (12, 24, 112, 200, 999)]
    [10.0, 10.0, 25.0, 40.0, 40.0]
    """
    share = min(max((frames - SMALL[0]) / (LARGE[0] - SMALL[0]), 0.0), 1.0)
    return SMALL[1] + share * (LARGE[1] - SMALL[1])
