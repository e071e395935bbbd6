"""How far scenes are, told from the files of a run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from nsff.cli import main
from nsff.config import resolve_scene
from nsff.workflow.folder_runs import runs_of_folder, start_time
from nsff.workflow.progress import last_error, read_progress, stages_of, summary_text

STAGES = stages_of(resolve_scene("a", {"input": {"path": "a.mp4"}, "render": {"paths": ["view"]}}, "demo_planes", {}))


def finish(scene: Path, stages: list[str], seconds: float = 10.0, verdict: str = "good", frames: int = 10) -> None:
    """What stages leave behind that ended well."""
    for folder in ("summaries", "logs", "benchmarks"):
        (scene / folder).mkdir(parents=True, exist_ok=True)
    (scene / "manifest.json").write_text(json.dumps({"n_frames": frames}))
    for stage in stages:
        if stage == "report":
            (scene / "report.html").touch()
        else:
            (scene / "summaries" / f"{stage}.json").write_text(json.dumps({"verdict": verdict, "message": "."}))
        (scene / "logs" / f"{stage}.log").write_text("done\n")
        (scene / "benchmarks" / f"{stage}.tsv").write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:10\t1.0\n")


def mark(folder: Path, output: str) -> Path:
    """A job that makes ``output`` has begun."""
    from base64 import urlsafe_b64encode

    path = folder / ".snakemake" / "incomplete" / urlsafe_b64encode(output.encode()).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Five scenes: done, failed in sfm, training, killed in training, not begun."""
    results = tmp_path / "results"
    finish(results / "done", STAGES)
    finish(results / "slow", STAGES, seconds=30.0, verdict="doubtful")
    finish(results / "failed", ["ingest", "flow", "coarse_masks"])
    (results / "failed" / "logs" / "sfm.log").write_text(
        "pictures 1%\rpictures 2%\nerror: results/failed/sfm: hardly moves\n  what to do: film again\n"
    )
    for name in ("training", "killed"):
        finish(results / name, STAGES[: STAGES.index("train")], frames=20)
        mark(tmp_path, f"results/{name}/summaries/train.json")
    (results / "training" / "logs" / "train.log").write_text("train:  25%|##  | 5/20 [00:10<01:30, 2step/s]\r")
    (tmp_path / "a.mp4").touch()
    names = ("done", "slow", "failed", "training", "new")
    scenes = {name: {"input": {"path": "a.mp4"}, "render": {"paths": ["view"]}} for name in names}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"preset": "demo_planes", "scenes": scenes}))
    return tmp_path


def progress(folder: Path, *names: str):
    return read_progress({name: STAGES for name in names}, folder)


def test_states(results):
    run = runs_of_folder(results).register()
    done, failed, training, new = progress(results, "done", "failed", "training", "new")
    assert [scene.state for scene in (done, failed, training, new)] == ["done", "failed", "running", "waiting"]
    assert (failed.current.name, failed.current.error) == ("sfm", "error: results/failed/sfm: hardly moves")
    assert (training.current.name, training.current.percent) == ("train", 25)
    assert new.current.name == "ingest"
    runs_of_folder(results).leave(run)


def test_a_killed_run_runs_no_more(results):
    assert progress(results, "killed")[0].state == "stopped"
    run = runs_of_folder(results).register()
    assert progress(results, "killed")[0].state == "running"
    runs_of_folder(results).leave(run)


def test_time_left_is_what_bars_and_other_scenes_say(results):
    run = runs_of_folder(results).register()
    scenes = {scene.name: scene for scene in progress(results, "done", "slow", "failed", "training", "new")}
    runs_of_folder(results).leave(run)
    assert scenes["done"].remaining == (0, True)
    stages = {stage.name: stage.seconds_left for stage in scenes["training"].stages if stage.state != "done"}
    assert 80 <= stages["train"] <= 90
    # 10 and 30 s for 10 frames: 40 s for 20, without the log of a bar
    assert {value for name, value in stages.items() if name != "train"} == {40.0}
    assert scenes["training"].remaining[1]
    alone = progress(results, "failed")[0]
    assert alone.remaining == (0, False)  # nothing is known of what no scene has been through


def test_the_worst_verdict_is_named(results):
    done, slow = progress(results, "done", "slow")
    assert done.worst.verdict == "good"
    assert (slow.worst.verdict, slow.worst.name) == ("doubtful", "ingest")


def test_damaged_files_stop_nothing(results):
    scene = results / "results" / "done"
    for path in (scene / "summaries" / "flow.json", scene / "benchmarks" / "flow.tsv", scene / "manifest.json"):
        path.write_bytes(b"\xff[" * 20)
    found = progress(results, "done")[0]
    assert found.state == "done"
    assert {stage.name: stage.verdict for stage in found.stages}["flow"] is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\nerror: a: b\n  what to do: c\nmore\n", "error: a: b"),
        ('Traceback (most recent call last):\n  File "x"\nValueError: 3\n', "ValueError: 3"),
        ("step 1\rstep 2\r", "step 2"),
        ("", ""),
    ],
)
def test_last_error(tmp_path, text, line):
    (tmp_path / "log").write_text("x" * 10_000 + "\n" + text if text else "")
    assert last_error(tmp_path / "log") == line


def test_the_summary_says_who_failed_where_and_how_to_go_on(results):
    text = summary_text(progress(results, "done", "slow", "failed"))
    assert text.startswith("2 of 3 scenes are complete, 1 failed:\n")
    words = ("failed: sfm failed", "hardly moves", "what to do: film again", "results/failed/logs/sfm.log")
    for word in (*words, "same\ncommand again"):
        assert word in text
    assert summary_text(progress(results, "done")) == "1 of 1 scene is complete."


def test_marks_lie_where_snakemake_puts_them(tmp_path):
    from snakemake.persistence.file import FilePersistence

    for name in ("results/a/summaries/train.json", f"results/{'long' * 70}/summaries/train.json"):
        folder = str(tmp_path / ".snakemake" / "incomplete")
        here = SimpleNamespace(_fetch_max_len=lambda _: 255)
        path = Path(FilePersistence._record_path(here, folder, name))
        assert start_time(tmp_path, Path(name)) is None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert start_time(tmp_path, Path(name)) == pytest.approx(time.time(), abs=60)


def test_status(results, capsys):
    run = runs_of_folder(results).register()
    assert main(["status", str(results)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    runs_of_folder(results).leave(run)
    assert set(lines) == {"scene", "done", "slow", "failed", "training", "new", "2"}
    assert "doubtful (ingest)" in lines["slow"]
    assert "sfm failed" in lines["failed"]
    assert "hardly moves" in lines["failed"]
    assert "logs/sfm.log" in lines["failed"]
    assert "train 25 %" in lines["training"]
    assert "min" in lines["training"]
    assert "not begun" in lines["new"]
    assert lines["2"] == "2 of 5 scenes are complete, 1 failed"


def test_status_as_json(results, capsys):
    assert main(["status", str(results), "--json"]) == 0
    found = {scene["scene"]: scene for scene in json.loads(capsys.readouterr().out)}
    assert found["failed"]["state"] == "failed"
    assert found["failed"]["stage"] == "sfm"
    assert [stage["name"] for stage in found["done"]["stages"]] == STAGES
    assert found["training"]["state"] == "stopped"  # no run is alive


def test_status_of_two_hundred_scenes_looks_at_each_file_once(tmp_path, capsys, monkeypatch):
    """What keeps it fast: a few look-ups a stage, whatever the number of scenes."""
    (tmp_path / "a.mp4").touch()
    scenes = {f"s{i:03}": {"input": {"path": "a.mp4"}, "render": {"paths": ["view"]}} for i in range(200)}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"preset": "demo_planes", "scenes": scenes}))
    finish(tmp_path / "results" / "s000", STAGES)
    looks, stat = [], os.stat
    monkeypatch.setattr(os, "stat", lambda *a, **k: looks.append(a[0]) or stat(*a, **k))
    assert main(["status", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 202
    assert len(looks) < 5 * 200 * len(STAGES)


def test_status_without_a_configuration_says_so(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 1
    assert "config.yaml" in capsys.readouterr().err


def test_status_of_what_nsff_run_wrote(tmp_path, capsys):
    """The files NAME.yaml of single scenes are read, and no others, beside config.yaml or without one."""
    (tmp_path / "a.mp4").touch()
    for name in ("walk", "dance"):
        scene = {"input": {"path": "a.mp4"}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"preset": "demo", "scenes": {name: scene}}))
    (tmp_path / "shopping.yaml").write_text("milk: 2\n")
    assert main(["status", str(tmp_path)]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {"scene", "walk", "dance", "0"}
    shop = {"preset": "demo", "scenes": {"walk": {"input": {"path": "a.mp4"}}, "shop": {"input": {"path": "a.mp4"}}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(shop))
    assert main(["status", str(tmp_path)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][1:-1] == ["dance", "walk", "shop"]
