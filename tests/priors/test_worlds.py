"""Which world structure from motion takes: made-up outcomes of the attempts, no mapping."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from nsff.config import SfmConfig
from nsff.errors import StageError
from nsff.files.io import write_image, write_json
from nsff.geometry.static_world import WorldCheck
from nsff.priors.sfm import worlds
from nsff.priors.sfm.acceptance import LittleParallaxError
from nsff.priors.sfm.worlds import Outcome, choose_world, judged, world_figures
from nsff.scene import Scene


@pytest.fixture
def scene(tmp_path, monkeypatch) -> Scene:
    """Coarse masks cover a quarter of two frames."""
    monkeypatch.setattr(Scene, "n_frames", 2)
    monkeypatch.setattr(worlds, "World", lambda scene, model: SimpleNamespace(moving=f"moves in {model}"))
    found = Scene(tmp_path)
    mask = np.zeros((8, 8), np.uint8)
    mask[:4, :4] = 255
    for i in range(2):
        write_image(found.coarse_masks_dir / f"{i:05d}.png", mask)
        write_image(found.frames_dir / f"{i:05d}.png", mask)
    return found


def outcome(masks: str, static: float, border: float = 0.9, order: float = 0.5, worst: float = 1.0) -> Outcome:
    check = WorldCheck(static, min(static, worst), border, order, 4.0)
    return Outcome(masks, cast(Any, None), f"model {masks}", None, [], cast(Any, None), check)


def climbing(outcomes: list):
    """Gives made-up outcomes, or raises them, in their order; the list of what was asked for."""
    asked: list = []

    def climb(masks, moving):
        asked.append(masks)
        found = outcomes[len(asked) - 1]
        if isinstance(found, Exception):
            raise found
        return outcome(masks, *found)

    return climb, asked


def test_the_first_sound_world_is_taken_at_once(scene):
    climb, asked = climbing([(0.8,)])
    assert choose_world(scene, SfmConfig(), climb).masks == "outside the coarse masks"
    assert len(asked) == 1
    assert judged(outcome("", 0.8), "good", "Found.")[0] == "good"


def test_a_world_that_follows_the_mover_is_left_for_another(scene):
    climb, asked = climbing([(0.3, 0.1), (0.8,)])
    assert choose_world(scene, SfmConfig(), climb).masks == "everywhere"
    assert asked == ["outside the coarse masks", "everywhere"]
    climb, asked = climbing([StageError("sfm", "few features", "wait"), (0.2, 0.2), (0.9,)])
    assert choose_world(scene, SfmConfig(), climb).masks == "on the coarse masks"


def test_the_best_of_unsound_worlds_is_bettered_by_its_own_masks(scene):
    climb, asked = climbing([(0.3, 0.5), (0.5, 0.5), (0.2, 0.1), (0.55, 0.8)])
    chosen = choose_world(scene, SfmConfig(), climb)
    assert chosen.masks == asked[-1] == "without what moves in the best world"
    verdict, message = judged(chosen, "good", "Found.")
    assert verdict == "poor"
    assert "55% of the picture" in message


def test_where_no_world_stands_still_the_reason_is_told(scene):
    write_json(scene.path("summaries", "flow.json"), {"backend": "dis"})
    climb, _ = climbing([(0.3, 0.1), (0.2, 0.1), (0.25, 0.1), (0.3, 0.1)])
    with pytest.raises(StageError, match=r"(?s)no still world: in the best one 30%.*nsff weights get"):
        choose_world(scene, SfmConfig(), climb)


def test_a_camera_that_turns_has_no_world_but_a_sound_one(scene):
    """The world that the mover makes is never asked for, nor is one with inverted depth taken."""
    turns = LittleParallaxError("sfm", "the camera only turns", "move")
    climb, asked = climbing([turns, (0.9, 0.9, -0.9)])
    with pytest.raises(LittleParallaxError, match="only turns"):
        choose_world(scene, SfmConfig(), climb)
    assert asked == ["outside the coarse masks", "everywhere"]
    climb, _ = climbing([turns, (0.9,)])
    assert choose_world(scene, SfmConfig(), climb).masks == "everywhere"


@pytest.mark.parametrize(
    ("figures", "said"), [((0.9, 0.9, -0.9), "inverted"), ((0.7, 0.7, 0.2, 0.2), "20% in the worst")]
)
def test_depth_upside_down_and_a_part_of_the_clip_that_moves_are_not_believed(scene, figures, said):
    climb, _ = climbing([figures] * 4)
    with pytest.raises(StageError, match=said):
        choose_world(scene, SfmConfig(), climb)


def test_what_fails_everywhere_fails_with_its_first_reason(scene):
    climb, _ = climbing([StageError("sfm", reason, "wait") for reason in ("first", "second", "third")])
    with pytest.raises(StageError, match="first"):
        choose_world(scene, SfmConfig(), climb)


def test_depth_upside_down_is_poor_and_figures_are_written():
    verdict, message = judged(outcome("", 0.8, 0.9, -0.6), "good", "Found.")
    assert verdict == "poor"
    assert "depth may be inverted" in message
    assert world_figures(WorldCheck(0.5, 0.4, float("nan"), 0.1, 3.0))["border"] is None
    assert world_figures(None) == {}
