"""A quiet run around a stand-in for Snakemake: lines as stages end, failures, and a stop by a signal."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from nsff.workflow.costs import Costs
from nsff.workflow.quiet_run import QuietRun, Teller, command, free_folder

STAND_IN = """
import json, pathlib, sys, time
scene = pathlib.Path("results/clip")
for folder in ("summaries", "benchmarks", "logs"):
    (scene / folder).mkdir(parents=True, exist_ok=True)
for stage, verdict in {stages!r}:
    if verdict == "fails":
        (scene / "logs" / f"{{stage}}.log").write_text("error: no features were found\\n")
        sys.exit(1)
    (scene / "benchmarks" / f"{{stage}}.tsv").write_text("s\\th\\n12.5\\t0:00:12\\n")
    about = {{"verdict": verdict, "message": f"{{stage}} said so."}}
    (scene / "summaries" / f"{{stage}}.json").write_text(json.dumps(about))
time.sleep({wait})
"""
SLEEPER = """
import sys, time
print("here", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("saved", flush=True)
    sys.exit(1)
"""
STAGES = ["ingest", "flow", "sfm"]
EXPECTED = Costs({"ingest": 10.0, "flow": 10.0, "sfm": 40.0}, 1.0, 0.0, 1.0, "cpu")


def run_of(folder: Path, stages: list[tuple[str, str]], wait: float = 0.0) -> tuple[QuietRun, list[str], io.StringIO]:
    script = folder / "stand_in.py"
    script.write_text(STAND_IN.format(stages=stages, wait=wait))
    stream = io.StringIO()
    quiet = QuietRun(folder, "clip", STAGES, EXPECTED, Teller(stream))
    return quiet, [sys.executable, str(script)], stream


def test_one_line_a_stage(tmp_path: Path):
    quiet, arguments, stream = run_of(tmp_path, [("ingest", "good"), ("flow", "doubtful"), ("sfm", "good")])
    assert quiet(arguments) == 0
    lines = stream.getvalue().splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["ingest", "good", "12"],
        ["flow", "doubtful", "12"],
        ["sfm", "good", "12"],
    ]
    assert quiet.complaints() == ["flow is doubtful: flow said so."]
    assert (tmp_path / "results" / "clip" / "logs" / "run.log").read_text().startswith(sys.executable)


def test_what_is_there_is_not_told_again(tmp_path: Path):
    quiet, arguments, _ = run_of(tmp_path, [("ingest", "good")])
    quiet(arguments)
    past = time.time() - 100
    os.utime(tmp_path / "results" / "clip" / "summaries" / "ingest.json", (past, past))
    quiet, arguments, stream = run_of(tmp_path, [])
    quiet(arguments)
    assert stream.getvalue() == "1 of 3 stages are there already: ingest\n"


def test_time_left_follows_what_was_measured(tmp_path: Path):
    """Stages that took a quarter more than expected make those that are left take a quarter more."""
    quiet, arguments, stream = run_of(tmp_path, [("ingest", "good")])
    quiet(arguments)
    assert "about 62 s left" in stream.getvalue()  # (10 + 40) * 1.25
    assert quiet.left(quiet._read()) == pytest.approx(62.5)


def test_a_failure_names_stage_error_and_log(tmp_path: Path):
    quiet, arguments, _ = run_of(tmp_path, [("ingest", "good"), ("flow", "fails")])
    assert quiet(arguments) == 1
    (line,) = quiet.failures()
    assert line.startswith("clip: flow failed: error: no features were found")


def test_a_failure_of_the_workflow_itself_shows_its_words(tmp_path: Path):
    quiet, _, _ = run_of(tmp_path, [])
    assert quiet([sys.executable, "-c", "print('no such rule'); raise SystemExit(3)"]) == 3
    assert "  no such rule" in quiet.failures()


def test_a_signal_stops_what_runs(tmp_path: Path, repo: Path):
    """The child gets an interrupt, may end by itself, and nothing is left behind."""
    child = tmp_path / "child.py"
    child.write_text(SLEEPER)
    code = (
        "import pathlib, sys; from nsff.workflow.costs import Costs;"
        "from nsff.workflow.quiet_run import QuietRun, Teller; costs = Costs({}, 1.0, 0.0, 1.0, 'cpu');"
        f"quiet = QuietRun(pathlib.Path({str(tmp_path)!r}), 'clip', ['ingest'], costs, Teller(sys.stdout));"
        f"quiet([sys.executable, {str(child)!r}]); sys.exit(128 + quiet.stopped)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=repo, stdout=subprocess.PIPE, text=True)
    log = tmp_path / "results" / "clip" / "logs" / "run.log"
    for _ in range(200):
        if log.exists() and "here" in log.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopping" in out
    assert "saved" in log.read_text()


def test_the_workflow_in_the_folder_comes_first(tmp_path: Path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "Snakefile").write_text("")
    line = command(tmp_path, Path("clip.yaml"), ["results/clip/model"], 3, ["--keep-going"])
    assert "--snakefile" not in line
    told = "results/clip/model --configfile clip.yaml --cores 3 --quiet rules progress --keep-going"
    assert " ".join(line[3:]) == told
    assert "--snakefile" in command(tmp_path / "rules", Path("clip.yaml"), [], 3)


def test_locks_of_a_dead_run_are_freed(tmp_path: Path):
    code = "import json; from nsff.files.owners import current; print(json.dumps(current().to_dict()))"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    records, locks = tmp_path / ".snakemake" / "nsff-runs", tmp_path / ".snakemake" / "locks"
    records.mkdir(parents=True)
    locks.mkdir()
    (locks / "0.input.lock").write_text("")
    (records / "1-dead.json").write_text(json.dumps({"owner": json.loads(dead.stdout), "since": "today"}))
    assert len(free_folder(tmp_path)) == 1
    assert not list(locks.iterdir())


@pytest.mark.slow
def test_a_clip_from_file_to_report(new_project, dense_writer, room_film, environment: dict[str, str]):
    """The real thing, on a tiny clip: configuration, run, report; a second run has nothing to do."""
    project = new_project()
    project.configure({})  # for the settings of a tiny scene
    folder, clip = project.folder, "clip"
    dense_writer(folder / clip, room_film)

    def nsff(*arguments: str) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-m", "nsff.cli", *arguments]
        return subprocess.run(
            call, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=900
        )

    begun = nsff("init", clip, "--name", "tiny")
    assert begun.returncode == 0, begun.stderr
    path = folder / "tiny.yaml"
    own = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(project.config | own))
    ended = nsff("run", clip, "--name", "tiny", "--yes", "--cores", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / "results" / "tiny" / "report.html").exists()
    assert len(ended.stdout.splitlines()) < 60
    for stage in ("ingest", "train", "maps", "report"):
        assert f"\n{stage:16} " in ended.stdout
    again = nsff("run", clip, "--name", "tiny", "--yes", "--cores", "2")
    assert again.returncode == 0, again.stdout
    assert f"\n{'train':16} " not in again.stdout
