"""Results that stages hand each other, of this version and by the summaries of earlier ones."""

import re
from pathlib import Path

import pytest

from nsff.errors import StageError
from nsff.files.io import write_json
from nsff.results import DepthResult
from nsff.scene import Scene

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("depth", "share"),
    [
        ({"metric": True}, 0.0),  # measured
        ({"metric": True, "aligned": False}, 0.0),
        ({"metric": True, "aligned": True, "least_motion_fraction": 0.0}, 1.0),  # a network's
        ({"metric": True, "aligned": True, "least_motion_fraction": 0.25}, 0.75),
        ({"metric": True, "grounded_fraction": 0.1, "least_motion_fraction": 0.99}, 0.01),  # classical
        ({"metric": True, "grounded_fraction": 0.1, "least_motion_fraction": None}, 1.0),
        ({"metric": False, "aligned": False}, 1.0),  # without a unit
        ({}, 1.0),
    ],
)
def test_how_much_depth_is_a_guess(depth, share):
    assert DepthResult.from_summary(depth).guessed_share == pytest.approx(share)


def test_the_file_goes_before_the_summary(tmp_path: Path):
    scene = Scene(tmp_path)
    assert not scene.depth_result().metric and scene.depth_result().guessed_share == 1
    scene.write_summary("depth", {"backend": "given", "metric": True, "verdict": "good", "message": "As before."})
    assert scene.depth_result() == DepthResult(backend="given", metric=True)
    new = DepthResult(backend="midas21", metric=True, aligned=True, placed_by_motion=0.5)
    write_json(scene.depth_result_path, new.model_dump())
    assert scene.depth_result() == new and new.guessed_share == 0.5


@pytest.mark.parametrize(
    "content", [[], {"backend": "given"}, {"backend": "given", "metric": True, "placed_by_motion": 2}]
)
def test_a_damaged_result_is_named(tmp_path: Path, content):
    scene = Scene(tmp_path)
    write_json(scene.depth_result_path, content)
    with pytest.raises(StageError, match=r"result\.json: is no result of the stage depth"):
        scene.depth_result()


def test_how_a_model_came_about(tmp_path: Path):
    scene = Scene(tmp_path)
    scene.write_summary("train", {"preset": "fast", "steps": 3000})
    assert scene.train_result().origin == "preset fast, 3000 steps"
    scene.write_summary("train", {"preset": "nsff", "steps": 360000, "checkpoint": "360000.tar"})
    assert scene.train_result().origin == "360000.tar, 360000 steps"
    write_json(scene.model_config_path, {"preset": "nsff", "steps": 5, "checkpoint": {"file": "5.tar", "sha256": "0"}})
    assert scene.train_result().origin == "5.tar, 5 steps"


def test_what_stages_read_of_the_manifest(tmp_path: Path):
    scene = Scene(tmp_path)
    frames = [{"index": 3, "name": "c.png", "time": 0.5}, {"index": 5, "name": "e.png", "time": 0.75}]
    given = {"cameras": True, "points": False, "depth": False, "flow": False}
    source = {"path": "clip", "kind": "frames", "width": 64, "height": 48}
    values = {"n_frames": 2, "width": 32, "height": 24, "source": source, "frames": frames, "given": given}
    write_json(scene.manifest_path, values | {"notes": ["of no use to a stage"], "focal_guess": None})
    found = scene.ingest_result
    assert [(frame.index, frame.time) for frame in found.frames] == [(3, 0.5), (5, 0.75)]
    assert (found.height, found.width, found.source.kind, found.focal_guess) == (24, 32, "frames", None)
    assert found.given.cameras and not found.given.masks
    write_json(scene.manifest_path, values | {"frames": [{"name": "no number"}]})
    with pytest.raises(StageError, match=r"manifest\.json: is no result of the stage ingest.*frames\.0\.index"):
        Scene(tmp_path).ingest_result  # noqa: B018


READERS = ("nsff/report/", "nsff/commands/", "nsff/workflow/", "nsff/scene.py", "nsff/layout.py")
"""Pages, lists and messages for people; and Scene, which falls back on summaries of earlier runs."""


def test_only_what_people_read_reads_summaries():
    pattern = re.compile(r"\.summary\(|summary_path|summaries_dir|[\"']summaries[\"'/]")
    found = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "nsff").rglob("*.py"))
        if pattern.search(path.read_text()) and not str(path.relative_to(ROOT)).startswith(READERS)
    ]
    assert found == []
