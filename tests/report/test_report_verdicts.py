"""Verdicts on the page that stages cannot give alone."""

from __future__ import annotations

import pytest

from nsff.config import SceneConfig
from nsff.report.verdicts import read_verdicts
from nsff.scene import Scene


@pytest.mark.parametrize("score", ["good", "doubtful", "poor"])
def test_a_steady_video_is_no_better_than_the_score(scene: Scene, config: SceneConfig, set_verdict, score: str):
    steady = "24 frames of 64x36; the largest change between frames is 1.1 times the median."
    set_verdict(scene, "render_view", "good", steady)
    set_verdict(scene, "score", score)
    found = {verdict.stage.name: verdict for verdict in read_verdicts(scene, config)}
    assert found["render_view"].level == score
    assert ("no truer than the scene" in found["render_view"].message) == (score != "good")


def test_without_a_score_the_training_speaks_for_the_video(scene: Scene, config: SceneConfig, set_verdict):
    set_verdict(scene, "render_view", "good")
    set_verdict(scene, "train", "poor")
    (scene.summaries_dir / "score.json").unlink()
    found = {verdict.stage.name: verdict for verdict in read_verdicts(scene, config)}
    assert found["render_view"].level == "poor"
