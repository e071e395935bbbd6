"""Long tracks of a point tracker: both formats, their pixels, which frames they are of, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nsff.config import InputConfig
from nsff.datasets.given_tracks import read_tracks
from nsff.datasets.ingest import run_ingest
from nsff.errors import InputError, StageError
from nsff.files.io import write_npz
from nsff.long_tracks import LongTracks
from nsff.scene import Scene

T, P = 8, 5
"""Frames of tiny_clip, 64x48 pixels, and tracks."""
# Positions with pixel centres at +0.5, all inside the picture; some of them are not seen.
POSITIONS = np.random.default_rng(0).uniform([1, 1], [63, 47], (T, P, 2)).astype(np.float32)
VISIBLE = np.random.default_rng(1).random((T, P)) > 0.3


def logits(share):
    return np.log(share / (1 - share)).astype(np.float32)


FORMATS = {
    "CoTracker": {"tracks": POSITIONS - 0.5, "visibility": VISIBLE},
    "CoTracker, a batch of one": {"pred_tracks": POSITIONS[None] - 0.5, "pred_visibility": VISIBLE[None, ..., None]},
    "CoTracker, shares": {"tracks": POSITIONS - 0.5, "visibility": np.where(VISIBLE, 0.7, 0.4)},
    # Seen where (1 - .2)(1 - .3) = .56, not where (1 - .2)(1 - .45) = .44 though each alone is above .5.
    "TAPIR": {
        "tracks": POSITIONS.swapaxes(0, 1),
        "occlusions": logits(np.full((P, T), 0.2)),
        "expected_dist": logits(np.where(VISIBLE.T, 0.3, 0.45)),
    },
    "TAPIR, a batch of one": {
        "tracks": POSITIONS.swapaxes(0, 1)[None],
        "occlusion": logits(np.where(VISIBLE.T, 0.1, 0.9))[None],
        "expected_dist": logits(np.full((1, P, T), 0.1)),
    },
    "TAPIR, truth values": {"tracks": POSITIONS.swapaxes(0, 1), "visibles": VISIBLE.T},
}


@pytest.mark.parametrize("arrays", FORMATS.values(), ids=list(FORMATS))
def test_every_format_is_the_same_tracks(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    tracks = read_tracks(tmp_path / "a.npz")
    np.testing.assert_array_equal(tracks.visible, VISIBLE)
    np.testing.assert_allclose(tracks.positions[VISIBLE], POSITIONS[VISIBLE], atol=1e-5)


def ingested(tmp_path: Path, source: Path, arrays: dict[str, np.ndarray], size=None, **settings) -> Scene:
    np.savez(tmp_path / "tracks.npz", **arrays)
    scene = Scene(tmp_path / "scene")
    tracks = {"path": str(tmp_path / "tracks.npz"), "size": size}
    run_ingest(scene, InputConfig(path=str(source), tracks=tracks, **settings))
    return scene


@pytest.mark.parametrize("source", ["video", "frames_dir"])
def test_frames_that_are_taken(tmp_path, tiny_clip, source):
    scene = ingested(tmp_path, getattr(tiny_clip, source), FORMATS["CoTracker"], start=1, end=6, skip=[3])
    assert scene.manifest["given"]["tracks"] is True
    tracks, rows = LongTracks.load(scene.given.tracks_path), [1, 2, 4, 5]
    np.testing.assert_array_equal(tracks.visible, VISIBLE[rows])
    np.testing.assert_allclose(tracks.positions[VISIBLE[rows]], POSITIONS[rows][VISIBLE[rows]], atol=1e-4)
    # Tracks of exactly the frames that are taken.
    some = {name: values[rows] for name, values in FORMATS["CoTracker"].items()}
    other = ingested(tmp_path, getattr(tiny_clip, source), some, start=1, end=6, skip=[3])
    np.testing.assert_array_equal(LongTracks.load(other.given.tracks_path).positions, tracks.positions)


def test_pictures_that_the_tracker_saw_smaller_and_frames_that_are_reduced(tmp_path, tiny_clip):
    # The tracker saw 256x256, frames of 64x48 become 32x24: a position scales with each side.
    seen = {**FORMATS["TAPIR"], "tracks": (POSITIONS * [256 / 64, 256 / 48]).swapaxes(0, 1)}
    scene = ingested(tmp_path, tiny_clip.frames_dir, seen, [256, 256], max_height=24)
    np.testing.assert_allclose(
        LongTracks.load(scene.given.tracks_path).positions[VISIBLE], POSITIONS[VISIBLE] / 2, atol=1e-4
    )
    with pytest.raises(InputError, match=r"(?s)outside 64x48 pictures .*set input\.tracks\.size"):
        ingested(tmp_path, tiny_clip.frames_dir, seen)
    small = {**FORMATS["CoTracker"], "tracks": POSITIONS / 2 - 0.5}
    scene = ingested(tmp_path, tiny_clip.frames_dir, small)
    assert scene.summary("ingest")["verdict"] != "good"
    assert any("set input.tracks.size" in note for note in scene.manifest["notes"])


NAN = POSITIONS.copy()
NAN[2, 1] = np.nan
BROKEN = {
    "other arrays": ({"tracks": POSITIONS}, "has none of visibility"),
    "axes the other way round": ({"tracks": POSITIONS, "visibility": VISIBLE.T}, r"visibility has shape \(5, 8\)"),
    "three coordinates": ({"tracks": np.zeros((T, P, 3)), "visibility": VISIBLE}, r"shape \(8, 5, 3\)"),
    "two clips": ({"tracks": np.zeros((2, T, P, 2)), "visibility": VISIBLE}, r"shape \(2, 8, 5, 2\)"),
    "not finite": ({"tracks": NAN, "visibility": VISIBLE | True}, r"1 positions .*track 1, frame 2"),
    "nothing seen twice": ({"tracks": POSITIONS, "visibility": VISIBLE & False}, "seen in two frames"),
    "objects": ({"tracks": np.array([None]), "visibility": VISIBLE}, "Python objects"),
    "frames": ({"tracks": POSITIONS[:7], "visibility": VISIBLE[:7]}, "through 7 frames; the source has 8, 8 are taken"),
}


@pytest.mark.parametrize(("arrays", "message"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_refused(tmp_path, tiny_clip, arrays, message):
    with pytest.raises(InputError, match=message):
        ingested(tmp_path, tiny_clip.frames_dir, arrays)


def test_what_is_not_seen_may_be_anything(tmp_path):
    hidden = VISIBLE.copy()
    hidden[2, 1] = False
    np.savez(tmp_path / "a.npz", tracks=NAN, visibility=hidden)
    tracks = read_tracks(tmp_path / "a.npz")
    assert np.isfinite(tracks.positions).all() and not tracks.visible[2, 1]


def test_a_scene_tells_tracks_of_another_clip(tmp_path):
    scene = Scene(tmp_path)
    (tmp_path / "manifest.json").write_text('{"n_frames": 7}')
    assert scene.tracks() is None
    LongTracks(POSITIONS, VISIBLE).save(scene.tracks_path)
    with pytest.raises(StageError, match="through 8 frames, the manifest has 7"):
        scene.tracks()
    write_npz(scene.tracks_path, positions=POSITIONS[..., 0], visible=VISIBLE)
    with pytest.raises(StageError, match="holds no long tracks"):
        scene.tracks()
