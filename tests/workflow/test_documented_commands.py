"""Every command that the documents name is run, on a small scene that the whole workflow made."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from nsff.cli import main

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_site import commands, documents

ELSEWHERE = {"build-rasteriser": "tests/building/test_compile.py", "bench": "tests/training/test_bench.py"}
"""Commands that need other means, and the tests that run each of their calls in the documents."""
CLIPS = re.compile(r"videos/\S+\.mp4|demo/video\.mp4|captures/\S+")


def documented(repo: Path) -> list[list[str]]:
    """The words of each command, once, without nsff itself."""
    found = {command.split("#")[0].strip() for path in documents(repo) for command in commands(path.read_text())}
    return [words for words in (shlex.split(command)[1:] for command in sorted(found)) if words[0] not in ELSEWHERE]


@pytest.fixture
def folder(finished, repo, tmp_path, monkeypatch):
    """A folder with the finished scene and a clip; nothing waits for a person, no browser opens."""
    assert finished.ended.status == 0, finished.ended.text[-4000:]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").symlink_to(repo / "demo" / "video.mp4")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "scene").symlink_to(finished.copy(tmp_path / "copy").scene(finished.scene))
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    monkeypatch.setattr("nsff.viewer.live_server.LiveServer.wait", lambda self: None)
    return tmp_path


def test_every_command_of_the_documents_runs(folder, repo, capsys):
    wrong, seen = [], set()
    for words in documented(repo):
        own = [re.sub(r"^results/\w+$", "results/scene", CLIPS.sub("clip.mp4", word)) for word in words]
        if own[0] in ("run", "init"):
            own = [*own, "--name", "another", "--dry-run"][: -1 if own[0] == "init" else None]
        if own[0] == "export":  # the small scene has this video alone
            own = ["spacetime" if word == "view" else word for word in own]
        status = main(own)
        said = capsys.readouterr()
        seen.add(" ".join(own[:2]) if own[0] == "export" else own[0])
        # The small scene is one of planes, which has no Gaussians.
        if status and not (own[:2] == ["export", "splats"] and "kind: gaussians" in said.err):
            wrong.append((" ".join(own), said.err))
    assert wrong == []
    kinds = ("cameras", "depth", "tracks", "masks", "objects", "video", "splats", "comparison")
    assert {"run", "init", "view", "doctor", *(f"export {kind}" for kind in kinds)} <= seen
    assert {path.name for path in (folder / "results" / "scene" / "exports").iterdir()} == set(kinds) - {"splats"}
