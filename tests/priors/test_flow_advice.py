"""Stages in doubt about masks that DIS's flow made say where to get a network; others do not."""

from __future__ import annotations

import pytest

from nsff.config import SfmConfig
from nsff.errors import StageError
from nsff.files.io import write_json
from nsff.priors.flow.advice import COMMAND, advised, with_advice
from nsff.priors.sfm import stage
from nsff.priors.sfm.acceptance import LittleParallaxError
from nsff.results import FlowResult
from nsff.scene import Scene


def scene_with(folder, backend: str) -> Scene:
    """A scene of which only the result of flow exists."""
    scene = Scene(folder)
    write_json(scene.raw_flow_result_path, FlowResult(backend=backend).model_dump())
    return scene


@pytest.mark.parametrize(
    ("backend", "verdict", "said"),
    [("dis", "doubtful", True), ("dis", "poor", True), ("dis", "good", False), ("raft", "poor", False)],
)
def test_masks_in_doubt_ask_for_a_network(tmp_path, backend, verdict, said):
    scene = scene_with(tmp_path, backend)
    assert (COMMAND in advised(scene, {"verdict": verdict, "message": "Masks come and go."})["message"]) is said


@pytest.mark.parametrize(("backend", "said"), [("dis", True), ("raft", False), ("given", False)])
def test_refused_cameras_ask_for_a_network(tmp_path, monkeypatch, backend, said):
    scene = scene_with(tmp_path, backend)

    def refuse(*_):
        raise LittleParallaxError("sfm", "the camera only turns", "move it")

    monkeypatch.setattr(stage, "_estimate", refuse)
    with pytest.raises(LittleParallaxError, match=r"(?s)only turns.*move it") as refused:
        stage.run_sfm(scene, SfmConfig())
    assert (COMMAND in str(refused.value)) is said


def test_a_full_disk_and_a_tripod_ask_for_no_network(tmp_path):
    scene = scene_with(tmp_path, "dis")
    disk = StageError(tmp_path / "00000.png", "no space left on the device", "free some space")
    assert with_advice(scene, disk) is disk
    tripod = LittleParallaxError("sfm", "the camera hardly moves", "film from a moving position")
    tripod.still = True
    assert with_advice(scene, tripod) is tripod


def test_a_command_is_not_told_twice_and_a_scene_without_flow_is_not_advised(tmp_path, monkeypatch):
    scene = scene_with(tmp_path, "dis")
    error = StageError("sfm", "no still world", f"get one by `{COMMAND}`")

    def refuse(*_):
        raise error

    monkeypatch.setattr(stage, "_estimate", refuse)
    with pytest.raises(StageError) as refused:
        stage.run_sfm(scene, SfmConfig())
    assert str(refused.value).count(COMMAND) == 1
    assert advised(Scene(tmp_path / "other"), {"verdict": "poor", "message": ""})["message"] == ""
