"""The reader of docs/extending.md, as it stands there, reads a clip and refuses a damaged list."""

from __future__ import annotations

import importlib
import re
import sys

import pytest

from nsff import datasets
from nsff.config import InputConfig
from nsff.datasets import detect_kind, run_ingest
from nsff.datasets.registry import READERS, Reader
from nsff.errors import InputError
from nsff.files.io import write_image
from nsff.scene import Scene


@pytest.fixture
def listed(repo, tmp_path, monkeypatch):
    """The module of the walk-through, first among the readers."""
    section = (repo / "docs" / "extending.md").read_text().split("## A reader\n")[1].split("\n## ")[0]
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "listed.py").write_text(re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)[0])
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(folder)])
    module = importlib.import_module("nsff.datasets.listed")
    others = dict(READERS)
    monkeypatch.setattr("nsff.datasets.registry.READERS", READERS)
    READERS.clear()
    READERS.update({"listed": Reader(module.ListedFolder, module.matches, module.files), **others})
    yield module
    READERS.clear()
    READERS.update(others)
    sys.modules.pop("nsff.datasets.listed", None)


@pytest.fixture
def clip_folder(tiny_clip, tmp_path):
    folder = tmp_path / "clip"
    for i, frame in enumerate(tiny_clip.frames[:3]):
        write_image(folder / f"{'cab'[i]}.png", frame)
    (folder / "frames.txt").write_text("b.png\nc.png\n")
    return folder


def test_frames_in_the_order_of_the_list(listed, clip_folder, tmp_path):
    assert detect_kind(clip_folder) == "listed"
    scene = Scene(tmp_path / "scene")
    run_ingest(scene, InputConfig(path=str(clip_folder)))
    manifest = scene.manifest
    assert manifest["source"]["kind"] == "listed"
    assert [frame["name"] for frame in manifest["frames"]] == ["b.png", "c.png"]
    assert listed.files(clip_folder) == [clip_folder / name for name in ("frames.txt", "b.png", "c.png")]


def test_a_list_of_what_is_not_there_is_refused(listed, clip_folder, tmp_path):
    (clip_folder / "frames.txt").write_text("a.png\nd.png\n")
    with pytest.raises(InputError, match=r"names d\.png, which is not there"):
        run_ingest(Scene(tmp_path / "scene"), InputConfig(path=str(clip_folder)))
