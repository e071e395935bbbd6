"""The command line of ``nsff``: help, wrong usage, and how little it takes to start."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nsff.cli import command_modules, main
from nsff.commands._scenes import results_folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["scor"], 'Did you mean "score"?'),
        (["score"], "--pred"),
        (["score", "--prd", "a"], "Did you mean --pred instead of --prd?"),
        (["score", "--pred", "a", "--truth", "b", "--protocol", "saf"], "did you mean 'saff'"),
        (["score", "--pred", "a", "--truth", "b", "--protocol", "self"], "self has no truth"),
        (["score", "--pred", "a", "--truth", "b", "--protocol", "saff", "--dilation", "-2"], "--dilation"),
        (["bench", "--steps", "many"], "--steps"),
        (["status", "here", "there"], "not understood: there"),
        (["weights"], "action"),
        (["weights", "lst"], 'Did you mean "list"?'),
        (["weights", "get"], "NAMES"),
        (["explain", "loses"], "losses"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("nsff")
    assert "error: " in said
    assert "Traceback" not in said


def test_help_has_commands_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, module in command_modules().items():
        assert name in text
        assert f"nsff {module.EXAMPLES[0]}" in text
        assert all(example.split()[0] == name for example in module.EXAMPLES)
        assert main([name, "--help"]) == 0
        own = capsys.readouterr().out
        assert all(f"nsff {example}" in own for example in module.EXAMPLES)
        for action in getattr(module, "ACTIONS", {}):
            assert action in own
    assert "snakemake --cores all" in text
    assert "exit status" in text


def test_options_of_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several presets after one option; one setting an option, which may come again."""
    from nsff.cli import parsed

    call = parsed(["bench", "--preset", "fast", "nsff", "--set", "train.rays=2", "--set", "train.steps=-1"])
    assert call.keywords["preset"] == ["fast", "nsff"]
    assert call.keywords["changes"] == ["train.rays=2", "train.steps=-1"]


def test_help_starts_without_heavy_libraries(repo: Path) -> None:
    code = (
        "import sys; from nsff.cli import main; status = main(['--help']);"
        " sys.exit(status or [n for n in ('torch', 'cv2', 'pandas', 'sklearn') if n in sys.modules] or 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("words", [["view"], ["export", "splats"], ["export", "video"], ["export-checkpoint"]])
@pytest.mark.parametrize("named", ["hliday", "results/hliday"])
def test_a_scene_that_is_not_there_is_answered_with_those_there_are(tmp_path, monkeypatch, capsys, words, named):
    """By its folder or by its name alone; a scene that is there is found by either (and has no model here)."""
    monkeypatch.chdir(tmp_path)
    for name in ("holiday", "garden"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "manifest.json").write_text("{}")
    more = ["x.tar"] if words == ["export-checkpoint"] else []
    assert main([*words, named, *more]) == 1
    said = capsys.readouterr().err
    assert "did you mean 'holiday'? There are: garden, holiday" in said and "Traceback" not in said
    assert main([*words, named.replace("hliday", "holiday"), *more]) == 1
    assert "holiday" in (said := capsys.readouterr().err) and "has none of this name" not in said


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EROFS, "cannot be written (Read-only file system)"), (errno.ENOSPC, "no space left on the device")],
)
def test_a_disk_that_takes_nothing_is_no_traceback(tmp_path, monkeypatch, capsys, number, said):
    """Whatever a command was about to write; other errors of the system stay what they are."""
    path = tmp_path / "results" / "walk"

    def fail(*_):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("nsff.workflow.target_names.scene_in_folder", fail)
    assert main(["targets", "walk"]) == 1
    assert f"{path}: {said}" in capsys.readouterr().err
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        main(["targets", "walk"])


def test_a_name_wins_over_a_folder_without_results(tmp_path, monkeypatch):
    """The clip's folder often has the scene's name."""
    monkeypatch.chdir(tmp_path)
    for folder in ("demo", "results/demo"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "results" / "demo" / "manifest.json").write_text("{}")
    assert results_folder(Path("demo")) == Path("results/demo")
    assert results_folder(Path("results/demo")) == Path("results/demo")
    (tmp_path / "demo" / "manifest.json").write_text("{}")
    assert results_folder(Path("demo")) == Path("demo")
