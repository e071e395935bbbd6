"""Videos are as large as the source where that costs little, and never smaller than they were."""

from __future__ import annotations

import pytest

from nsff.config import RenderConfig, resolve_scene
from nsff.files.io import write_json
from nsff.rendering.videos import route_of
from nsff.scene import Scene
from nsff.workflow.costs import costs_of
from nsff.workflow.video_size import LONGEST, enlargement, sized

OWN = (180, 320)


@pytest.mark.parametrize(
    ("options", "rows", "megapixel", "expected"),
    [
        ({}, 180, 0.001, 1.0),  # the demo: its source is no larger
        ({}, 120, 0.001, 1.0),
        ({}, 240, 0.001, 240 / 180),
        ({}, 2160, 0.001, 2.0),
        ({}, 2160, 1e6, 1.0),  # no time
        ({"render_factor": 2}, 2160, 0.001, 1.0),
        ({"size": "canonical"}, 2160, 0.001, 1.0),
        ({"size": "source"}, 2160, 1e6, 12.0),
    ],
)
def test_enlargement(options, rows, megapixel, expected):
    assert enlargement(RenderConfig(**options), OWN, rows, megapixel) == pytest.approx(expected)


def test_auto_takes_the_time_that_it_may():
    larger = enlargement(RenderConfig(frames=96), OWN, 1080, 1.7)
    assert 1 < larger < 2
    assert 96 * 0.0576 * larger**2 * 1.7 == pytest.approx(LONGEST)


def test_videos_of_a_scene_have_that_size(tiny_scene):
    """The frames that were taken in are three times as large as those that the model is trained on."""
    scene = tiny_scene(3)
    height, width = scene.size
    write_json(scene.manifest_path, scene.manifest | {"height": 3 * height, "width": 3 * width})
    render = sized(Scene(scene.root), RenderConfig(size="source"), 1.0)
    assert route_of(scene, render, "time")[1:] == (3 * height, 3 * width)


def test_costs_know_of_it():
    """Of a source no larger than the demo nothing changes; videos of others take longer, by half a minute at most."""
    settings = resolve_scene("s", {"input": {"path": "x"}}, "demo", {})
    small, large = (
        costs_of(settings, 24, size, False, 2).seconds["render_time"] for size in ((180, 320), (1080, 1920))
    )
    assert small + 10 < large < 6 + LONGEST + 1
    published = resolve_scene("s", {"input": {"path": "x"}}, "saff", {})
    assert published.render.size == "canonical"
