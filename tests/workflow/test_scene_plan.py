"""What the workflow knows of a scene before any job, without Snakemake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nsff.config import resolve_scene
from nsff.errors import ConfigError
from nsff.workflow import recorded
from nsff.workflow.scene_plan import ScenePlan, checked_plans, files_of_all
from nsff.workflow.stage_settings import stage_settings

SOURCE = {"input": {"path": "clip.mp4"}}


def plan(**sections) -> ScenePlan:
    return ScenePlan("clip", resolve_scene("clip", {**SOURCE, **sections}, "fast", {}))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_settings_that_change_results_and_those_that_do_not():
    scene = plan()
    assert set(scene.options("flow")) == {"flow", "canonical"}
    assert set(scene.execution("flow")["train"]) == {"device", "memory_gb"}
    assert scene.execution("cameras") == {}
    assert scene.execution("sfm") == {"sfm": {"turning": "accept", "still": "refuse"}}
    assert json.loads(scene.options_text("crf")) == scene.options("crf") == {"crf": scene.whole["crf"]}


def test_auto_without_weights_counts_as_what_it_means():
    """But the stage is told what the file says, and tells why it found none."""
    auto, named = plan(), plan(motion={"instances": "off"})
    assert auto.options_text("motion") == named.options_text("motion")
    assert auto.execution("motion")["motion"] == {"instances": "auto"}
    assert named.execution("motion").get("motion") is None


def test_keys_that_are_added_or_renamed_re_run_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recorded, "ADDED", {"a.added": 1, "new": {"b": 1}})
    settings = {"a": {"first": 0, "added": 1}, "motion": {"temporal_propagation": 4}, "overlays": [], "new": {"b": 1}}
    assert recorded.recorded_text(settings) == '{"a": {"first": 0}, "motion": {"memory": 4}, "overlays": []}'
    settings["a"]["added"] = 3
    assert '"added": 3' in recorded.recorded_text(settings)


def test_keys_with_a_line_for_earlier_versions_exist():
    whole = plan().whole
    for key in recorded.ADDED:
        section, _, name = key.partition(".")
        assert name in whole[section] if name else section in whole, key


def test_videos_depend_on_their_path():
    scene = plan()
    assert "amplitude" in scene.options("render_view")["render"]
    assert "amplitude" not in scene.options("render_time")["render"]


def test_the_page_shows_all_but_truth():
    scene = plan(evaluation=[{"protocol": "views", "truth": "secret"}])
    assert set(scene.options("report")) == set(scene.whole)
    assert "secret" not in scene.options_text("report")
    assert scene.truths() == ["secret"]
    assert scene.execution("report") == {}


def test_settings_are_written_once(here: Path):
    scene = plan()
    scene.write_settings("train")
    path = here / scene.settings_file("train")
    assert path == here / "results" / "clip" / "settings" / "train.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told["losses"] == scene.whole["losses"]
    assert told["train"] == scene.whole["train"]
    before = path.stat()
    scene.write_settings("train")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    plan(train={"log_every": 7}).write_settings("train")
    assert json.loads(path.read_text(encoding="utf-8"))["train"]["log_every"] == 7


def test_a_script_reads_the_same_settings_from_the_file():
    scene = plan(losses={"decay_steps": 9}, train={"device": "cpu"})
    scene.write_settings("train")
    read = stage_settings(Path("results/clip"), None, [scene.settings_file("train")], ["input.path=clip.mp4"])
    assert (read.preset, read.losses, read.train) == (
        scene.settings.preset,
        scene.settings.losses,
        scene.settings.train,
    )


def test_files_follow_from_the_settings():
    scene = plan()
    assert scene.sources() == ["clip.mp4"]
    assert scene.released() == []
    assert scene.for_training("flow") == ["results/clip/flow"]
    assert scene.training_features() == ["results/clip/features"]
    assert scene.object_masks() == [f"results/clip/{name}" for name in ("clusters", "masks", "masks_crf")]
    assert scene.extracted() == []
    assert scene.videos() == [f"results/clip/renders/{path}.mp4" for path in scene.settings.render.paths]
    assert "results/clip/summaries/score.json" in scene.summaries()
    assert plan(decompose={"source": "points"}).clustered("points", "surface_points") == ["results/clip/surface_points"]
    assert scene.clustered("points", "surface_points") == []
    assert scene.left_out_by() == plan(render={"without": "moving"}).left_out_by() == []
    for without in ([1], "objects"):
        assert plan(render={"without": without}).left_out_by() == ["results/clip/clusters", "results/clip/masks"]
    objects = plan(extract={"enabled": True})
    assert files_of_all([scene, objects], ScenePlan.extracted) == ["results/clip/extracted"]


def test_a_released_checkpoint_takes_no_priors():
    scene = plan(preset="saff", checkpoint="360000.tar", train={"gpus": 2})
    assert scene.released() == ["360000.tar"]
    assert scene.for_training("flow") == scene.training_features() == []
    assert scene.training_command() == "python"


def test_processes_gpus_and_minutes(here: Path):
    scene = plan(train={"gpus": 2, "device": "auto", "steps": 150, "steps_for_frames": 10})
    assert (scene.gpus(), scene.training_gpus(), scene.gpus_for("flow")) == (1, 2, 0)
    assert "--nproc-per-node 2 --" in scene.training_command()
    assert plan(train={"gpus": 2, "device": "cpu"}).training_gpus() == 0
    assert scene.training_minutes() == 61
    (here / "results" / "clip").mkdir(parents=True)
    (here / "results" / "clip" / "manifest.json").write_text('{"n_frames": 1000}')
    assert scene.training_minutes() == 210


def test_braces_in_names_are_refused(here: Path):
    (here / "a{b}.mp4").touch()
    with pytest.raises(ConfigError, match="brace"):
        checked_plans({"scenes": {"clip": {"input": {"path": "a{b}.mp4"}}}})


def test_digests_are_of_folders_alone(here: Path):
    assert plan().source_digest() == ""
    assert plan().truth_digest() == ""
