"""Flow stage: sizes, consistency by hand, DIS on a known shift, given flow, and errors that name their file."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from nsff.config import PRESETS, FlowConfig
from nsff.errors import StageError
from nsff.files.io import write_image, write_json
from nsff.layout import far_flow_name, far_pairs_in
from nsff.priors.flow.dis import DisFlow
from nsff.priors.flow.registry import for_far_pairs
from nsff.priors.flow.stage import between, consistency, run_flow, working_size
from nsff.scene import Scene, read_flow, write_flow


def texture(seed: int = 0, height: int = 90, width: int = 120) -> np.ndarray:
    small = np.random.default_rng(seed).random((height // 6, width // 6, 3), dtype=np.float32)
    return np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * 255, 0, 255).astype(np.uint8)


def shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    return cv2.warpAffine(
        image, np.float32([[1, 0, dx], [0, 1, dy]]), image.shape[1::-1],
        flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip


def video(tmp_path, frames) -> Scene:
    scene = Scene(tmp_path / "scene")
    write_json(scene.manifest_path, {"n_frames": len(frames)})
    scene.given_dir.mkdir(parents=True)
    for i, frame in enumerate(frames):
        write_image(scene.frames_dir / f"{i:05d}.png", frame)
    return scene


@pytest.mark.parametrize(
    ("size", "height", "expected"),
    [
        ((1080, 1920), 288, (288, 512)),
        ((480, 854), 288, (288, 512)),
        ((180, 320), 288, (180, 320)),
        ((7, 3), 2, (2, 1)),
    ],
)
def test_working_size_keeps_the_aspect_and_never_enlarges(size, height, expected):
    assert working_size(size, height) == expected


def test_consistency_by_hand():
    # Everywhere |f| = |b| = 4, so the bound is 0.5 * 8 + 0.5 = 4.5 where b is read inside.
    flow = np.tile(np.float32([4, 0]), (20, 30, 1))
    for error, expected in ((0.0, True), (4.4, True), (4.6, False)):
        back = np.tile(np.float32([-4, 0]), (20, 30, 1))
        # |f + b| = error with |b| = 4: rotate b by the angle whose chord that is.
        angle = 2 * np.arcsin(error / 8)
        back[:] = -4 * np.cos(angle), -4 * np.sin(angle)
        assert consistency(flow, back, 0.5, 0.5)[10, 10] == expected
    # End points beyond the right border, whose pixel centres end at 29, are never consistent.
    mask = consistency(flow, -flow, 0.5, 0.5)
    assert mask[:, :25].all()
    assert not mask[:, 26:].any()


def test_published_consistency_lets_short_flow_leave_the_picture():
    """NSFF reads zero outside and asks no more: 3/4 px across the border agree with the -0.17 that OpenCV's cubic
    kernel finds there (weights -0.035 and 0.262 of two columns), 4 px do not."""
    flow = np.tile(np.float32([0.75, 0]), (20, 30, 1))
    assert consistency(flow, -flow, 0.5, 0.5, inside=False).all()
    mask = consistency(flow, -flow, 0.5, 0.5)
    assert mask[:, :29].all() and not mask[:, 29].any()
    flow *= 16 / 3
    assert not consistency(flow, -flow, 0.5, 0.5, inside=False)[:, 26:].any()


@pytest.mark.parametrize(("preset", "leaves"), [("fast", False), ("nsff", True), ("saff", True)])
def test_published_presets_let_short_flow_leave_the_picture(preset, leaves):
    config = FlowConfig(**PRESETS[preset].get("flow", {}))
    flow = np.tile(np.float32([0.75, 0]), (20, 30, 1))
    both = iter([flow, -flow])
    estimator = SimpleNamespace(estimate=lambda *_: next(both))
    picture = np.zeros((20, 30, 3), np.uint8)
    (_, forward), (_, backward) = between(estimator, picture, picture, (20, 30), config)
    assert forward[:, :29].all() and backward[:, 1:].all()
    assert forward[:, 29].all() == backward[:, 0].all() == leaves


def test_dis_finds_a_known_shift_within_a_tenth_of_a_pixel():
    image = texture()
    flow = DisFlow("medium", 2.0).estimate(image, shifted(image, 3.0, -1.5))
    assert flow.dtype == np.float32
    assert flow.shape == (90, 120, 2)
    inner = flow[12:-12, 12:-12] - np.float32([3.0, -1.5])
    assert np.linalg.norm(inner, axis=2).mean() < 0.1


def test_run_flow_writes_both_directions_at_the_working_size(tmp_path):
    image = texture()
    scene = video(tmp_path, [shifted(image, 2.0 * i, 0) for i in range(3)])
    run_flow(scene, FlowConfig(), 45)
    assert sorted(p.name for p in scene.raw_flow_dir.iterdir()) == [
        "00000_fwd.npz", "00001_bwd.npz", "00001_fwd.npz", "00002_bwd.npz", "result.json",
    ]  # fmt: skip
    flow, mask = scene.raw_flow(0, "fwd")
    assert flow.shape == (45, 60, 2)
    assert abs(np.median(flow[..., 0]) - 1.0) < 0.05  # two pixels, at half the size
    assert abs(np.median(scene.raw_flow(1, "bwd")[0][..., 0]) + 1.0) < 0.05
    summary = scene.summary("flow")
    assert summary["verdict"] == "good"
    assert summary["files"] == 4
    assert summary["mean_magnitude"] == pytest.approx(1.0, abs=0.1)
    assert mask.mean() > 0.9


@pytest.mark.parametrize("given", [False, True])
def test_further_pairs(tmp_path, given):
    picture = texture()
    scene = video(tmp_path, [shifted(picture, 1.5 * i, 0) for i in range(5)])
    if given:
        for i, way in [(i, "fwd") for i in range(4)] + [(i, "bwd") for i in range(1, 5)]:
            write_flow(scene.given.flow_path(i, way), np.zeros((30, 40, 2)), np.ones((30, 40), bool))
    run_flow(scene, FlowConfig(far=[2, 4]), 45)
    expected = [(0, 2), (0, 4), (1, 3), (2, 0), (2, 4), (3, 1), (4, 0), (4, 2)]
    assert far_pairs_in(scene.raw_flow_dir) == expected
    for i, j in expected:
        flow, mask = read_flow(scene.raw_flow_dir / far_flow_name(i, j), (45, 60))
        inner = (slice(10, 35), slice(15, 45))
        assert mask[inner].mean() > 0.9
        assert np.median(flow[inner][..., 0]) == pytest.approx(0.75 * (j - i), abs=0.15)
    assert scene.summary("flow")["far"]["backend"] == "dis"
    assert scene.summary("flow")["backend"] == ("given" if given else "dis")
    run_flow(scene, FlowConfig(), 45)
    assert far_pairs_in(scene.raw_flow_dir) == []


def test_no_network_for_further_pairs_where_none_was_wanted():
    assert for_far_pairs(FlowConfig(backend="given_or_dis", far=[2])).backend == "dis"
    assert for_far_pairs(FlowConfig(backend="given", far=[2])).backend == "auto"
    assert for_far_pairs(FlowConfig(backend="raft", far=[2])).backend == "raft"


@pytest.mark.parametrize("far", [[1], [2, 2], [0]])
def test_distances_of_further_pairs(far):
    with pytest.raises(ValueError, match="neighbours always have flow"):
        FlowConfig(far=far)


def test_unrelated_frames_are_not_called_good(tmp_path):
    scene = video(tmp_path, [texture(seed) for seed in range(3)])
    run_flow(scene, FlowConfig(), 90)
    assert scene.summary("flow")["verdict"] != "good"


def test_given_flow_is_copied_and_preferred(tmp_path):
    scene = video(tmp_path, [texture()] * 2)
    given = np.full((9, 12, 2), 0.25, np.float32)
    mask = np.ones((9, 12), bool)
    mask[0] = False
    for name in ("00000_fwd.npz", "00001_bwd.npz"):
        write_flow(scene.given_dir / "flow" / name, given, mask)
    run_flow(scene, FlowConfig(), 90)
    flow, valid = scene.raw_flow(1, "bwd")
    assert np.array_equal(flow, given)
    assert np.array_equal(valid, mask)
    assert scene.summary("flow")["backend"] == "given"


@pytest.mark.parametrize("damage", ["missing", "corrupt", "not finite"])
def test_bad_given_flow_is_named_and_nothing_is_left(tmp_path, damage):
    scene = video(tmp_path, [texture()] * 2)
    write_flow(scene.given_dir / "flow" / "00000_fwd.npz", np.zeros((9, 12, 2)), np.ones((9, 12)))
    bad = scene.given_dir / "flow" / "00001_bwd.npz"
    if damage == "corrupt":
        bad.write_bytes(b"PK\x03\x04 nonsense")
    elif damage == "not finite":
        write_flow(bad, np.full((9, 12, 2), np.nan), np.ones((9, 12)))
    with pytest.raises(StageError, match="00001_bwd") as error:
        run_flow(scene, FlowConfig(), 90)
    assert error.value.remedy
    assert not scene.raw_flow_dir.exists()


def test_frames_of_different_sizes_are_refused(tmp_path):
    scene = video(tmp_path, [texture(), texture(height=60)])
    with pytest.raises(StageError, match="00001"):
        run_flow(scene, FlowConfig(), 90)
