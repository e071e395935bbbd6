"""How stages get their settings: in a file, written as a run starts and in no dry run; logs show no page of JSON."""

from __future__ import annotations

import json

import pytest

TARGET = "results/clip/manifest.json"


@pytest.fixture
def clip(project, tiny_clip):
    project.folder.mkdir(parents=True)
    (project.folder / "clip").symlink_to(tiny_clip.frames_dir)
    project.configure({"clip": {"input": {"path": "clip"}}})
    return project


def handed(project) -> dict:
    """The settings files of the scene, by stage."""
    folder = project.scene("clip") / "settings"
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*")}


def test_a_run_writes_the_files_of_its_jobs_alone(clip):
    planned = clip.snakemake(TARGET, "--dry-run", "--printshellcmds")
    assert planned.status == 0, planned.text
    assert not (clip.folder / "results").exists()
    ended = clip.snakemake(TARGET, "--printshellcmds")
    assert ended.status == 0, ended.text
    assert set(handed(clip)) == {"ingest"}
    assert handed(clip)["ingest"]["input"]["max_frames"] == 500
    for text in (planned.text, ended.text):
        assert "--options results/clip/settings/ingest.json" in text
        assert "max_height" not in text
    # A setting that changes no result re-runs nothing, so that the file says what the stage was run with.
    clip.configure({"clip": {"input": {"path": "clip", "max_frames": 400}}})
    assert clip.changed(TARGET) == set()
    clip.snakemake(TARGET)
    assert handed(clip)["ingest"]["input"]["max_frames"] == 500
    # One that does is told by its key, and handed over anew.
    clip.configure({"clip": {"input": {"path": "clip", "max_frames": 400, "stride": 2}}})
    assert clip.changed(TARGET) == {"ingest"}
    ended = clip.snakemake(TARGET)
    assert ended.status == 0, ended.text
    assert "Params have changed since last execution: input.stride: 1 -> 2" in ended.text
    assert "max_height" not in ended.text
    assert handed(clip)["ingest"]["input"]["stride"] == 2


def test_a_run_without_hooks(clip):
    planned = clip.snakemake(TARGET, "--dry-run", "--no-hooks")
    assert planned.status == 0, planned.text
    assert not (clip.folder / "results").exists()
    ended = clip.snakemake(TARGET, "--no-hooks")
    assert ended.status == 0, ended.text
    assert "ingest" in handed(clip)


def test_a_failing_job_shows_a_short_command(clip):
    (clip.folder / "clip").unlink()
    (clip.folder / "clip").mkdir()
    (clip.folder / "clip" / "a.txt").touch()
    ended = clip.snakemake(TARGET)
    assert ended.status != 0
    assert "ingest.py --scene results/clip --options results/clip/settings/ingest.json" in ended.text
    assert "max_height" not in ended.text
