"""Shadows go with those who cast them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nsff.decompose.cast_shadows import CastShadows
from nsff.viewer.html import page_data, scene_page
from nsff.viewer.shadows import SHADOWS, numbered

sys.path.insert(0, str(Path(__file__).parent))
from browser import Browser, chromium
from scenes import FRAMES, HEIGHT, WIDTH, cameras, content

SPLATS = content().splats
"""All that moves is the red ball."""


def masks(number: int, frames=range(FRAMES)) -> dict[int, np.ndarray]:
    """At some frames a shadow of ``number`` in the right half of the picture."""
    half = np.zeros((HEIGHT, WIDTH), np.uint8)
    half[:, WIDTH // 2 :] = number
    return {frame: half if frame in frames else 0 * half for frame in range(FRAMES)}


def moving(objects: int, reference: float):
    own = SPLATS.moving
    return replace(own, objects=np.full(len(own), objects), reference=np.full(len(own), reference))


@pytest.mark.parametrize(
    ("objects", "reference", "given", "expected"),
    [
        (0, 6.0, masks(3), SHADOWS + 3),  # in the right half then
        (0, 1.0, masks(3), 0),  # in the left one
        (1, 6.0, masks(3), 1),  # an object is no shadow
        (0, 6.0, masks(3, frames=[2]), 0),
        (0, 6.0, masks(3, frames=[6]), 0),  # at one frame of three
        (0, 20.0, masks(3), 0),  # no such frame
    ],
)
def test_what_lies_in_a_shadow_has_the_number_of_its_caster(objects, reference, given, expected):
    assert set(numbered(moving(objects, reference), CastShadows.of(given, cameras())).tolist()) == {expected}


@pytest.mark.skipif(chromium() is None, reason="no Chromium here: install it, or name it in NSFF_CHROMIUM")
def test_a_shadow_is_hidden_with_its_caster(tmp_path):
    """Object 2 casts a shadow here, the red ball: hidden with it, shown alone with it, or hidden by itself."""
    own = content()
    ball = replace(own.splats.moving, objects=np.full(len(own.splats.moving), SHADOWS + 2))
    own = replace(own, splats=replace(own.splats, moving=ball, object_names={SHADOWS + 2: "Shadow of object 2"}))
    caster, shadow = page_data(own)["objects"]
    assert (caster["number"], caster["caster"]) == (2, None)
    assert (shadow["name"], shadow["caster"]) == ("Shadow of object 2", 2)
    path = tmp_path / "scene.html"
    path.write_text(scene_page(own), encoding="utf-8")
    browser = Browser(tmp_path / "profile", 600, 300)
    try:
        browser.open(path)
        shown = lambda code: browser.run(f"scenePage.{code}; scenePage.shown")  # noqa: E731
        assert shown("setShown(2, true)") == [1, 1, 1, 1]
        assert shown("setShown(3, false)") == [1, 1, 1, 0]
        assert shown("setShown(3, true)") == [1, 1, 1, 1]
        assert shown("setShown(2, false)") == [1, 1, 0, 0]
        assert browser.run("document.querySelectorAll('#objects input:disabled').length") == 1
        assert shown("isolate(2)") == [0, 0, 1, 1]
        assert shown("isolate(3)") == [0, 0, 0, 1]
    finally:
        browser.close()
