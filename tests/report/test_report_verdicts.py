"""Verdicts on the page that stages cannot give alone."""

from __future__ import annotations

import pytest

from nsff.config import SceneConfig
from nsff.report.stages import STAGES
from nsff.report.verdicts import outcome, read_verdicts, troubles
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


SETTLED = "The result is good by the scores; what was in doubt on the way was found good later."


def all_good(scene: Scene, set_verdict, **others: str) -> None:
    for stage in STAGES:
        if (scene.summaries_dir / f"{stage.name}.json").exists():
            set_verdict(scene, stage.name, others.get(stage.name, "good"))


@pytest.mark.parametrize(
    ("others", "troubled", "words"),
    [
        ({}, [], "The result is good by the scores, and no stage is in doubt."),
        ({"coarse_masks": "doubtful"}, [], SETTLED),
        ({"coarse_masks": "doubtful", "motion": "doubtful", "score": "doubtful"}, ["motion", "score"],
         "The result is doubtful by the scores: begin with Motion masks."),
        ({"coarse_masks": "doubtful", "cameras": "doubtful"}, [], SETTLED),
        ({"coarse_masks": "doubtful", "cameras": "poor"}, ["coarse_masks", "cameras"],
         "The result is good by the scores, but look at Cameras and canonical frames, which is poor."),
        ({"depth": "poor"}, ["depth"], "The result is good by the scores, but look at Depth, which is poor."),
    ],
)  # fmt: skip
def test_a_doubt_that_later_stages_settle_is_no_headline(
    scene: Scene, config: SceneConfig, set_verdict, others: dict[str, str], troubled: list[str], words: str
):
    all_good(scene, set_verdict, **others)
    found = read_verdicts(scene, config)
    assert [
        verdict.stage.name for verdict in troubles(found) if not verdict.stage.name.startswith("render")
    ] == troubled
    assert outcome(found) == words
    assert "Coarse motion masks" not in [title for one in found for title in one.first] or "coarse_masks" in troubled


def test_without_a_score_a_doubt_stays(scene: Scene, config: SceneConfig, set_verdict):
    all_good(scene, set_verdict, motion="doubtful")
    (scene.summaries_dir / "score.json").unlink()
    found = read_verdicts(scene, config)
    assert "motion" in [verdict.stage.name for verdict in troubles(found)]
    assert outcome(found).startswith("The result is good by the training, but look at")
