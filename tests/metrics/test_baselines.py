"""Baselines without a model: copied training frames, and the region of change that stands in for missing masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from nsff.datasets.truth import TruthView
from nsff.files.io import write_image
from nsff.metrics.baselines import TrainingFrames, carried_by_homography, centre_of
from nsff.metrics.regions import changing_region, changing_regions


def frames(centres: list[list[float]] | None, held_out: tuple[int, ...] = ()) -> TrainingFrames:
    """Frame i is a picture of the number i."""
    n = 6 if centres is None else len(centres)
    kept = [i for i in range(n) if i not in held_out]
    where = None if centres is None else np.array(centres)
    return TrainingFrames(kept, lambda i: np.full((2, 2, 3), i, np.uint8), where)


def chosen(copies: TrainingFrames, time: float, centre: list[float] | None) -> dict[str, int]:
    where = None if centre is None else np.array(centre)
    return {name: int(picture[0, 0, 0]) for name, picture in copies.pictures(time, where).items()}


LINE = [[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]


def test_nearest_in_time_and_in_space() -> None:
    copies = frames(LINE)
    assert chosen(copies, 0, [2.2, 0, 0]) == {"copy": 0, "copy_camera": 2}
    # Between two frames the nearer camera decides.
    assert chosen(copies, 1.5, [9, 0, 0])["copy"] == 2
    assert chosen(copies, 1.5, [0, 0, 0])["copy"] == 1


def test_one_camera_at_several_times() -> None:
    """Camera 0 films frames 0 and 2: the nearer time decides."""
    copies = frames([[0.0, 0, 0], [1, 0, 0], [1e-5, 0, 0], [1, 0, 0]])
    assert chosen(copies, 3, [0, 0, 0])["copy_camera"] == 2
    assert chosen(copies, 0, [0, 0, 0])["copy_camera"] == 0


def test_frames_held_out_are_not_copied() -> None:
    assert chosen(frames(LINE, held_out=(2,)), 2, [2.0, 0, 0]) == {"copy": 1, "copy_camera": 1}


def test_without_cameras() -> None:
    assert chosen(frames(None), 3.2, None) == {"copy": 3}
    assert chosen(frames(LINE), 3, None) == {"copy": 3}


def test_centre() -> None:
    pose = np.array([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]])
    np.testing.assert_allclose(pose @ [*centre_of(pose), 1], 0, atol=1e-12)


def still_camera(count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of a noisy wall with a square that moves by its own width; and its masks."""
    generator = np.random.default_rng(0)
    wall = generator.integers(60, 120, (135, 240, 3))
    pictures, masks = np.zeros((count, 135, 240, 3), np.uint8), np.zeros((count, 135, 240), bool)
    for i in range(count):
        noisy = wall + generator.integers(-3, 4, wall.shape)
        masks[i, 50:80, 10 + 30 * i : 40 + 30 * i] = True
        noisy[masks[i]] = 230
        pictures[i] = noisy
    return pictures, masks


def test_what_changes_is_found() -> None:
    pictures, masks = still_camera()
    found = changing_regions(pictures)
    assert found.shape == masks.shape
    for region, mask in zip(found, masks, strict=True):
        assert region[mask].all()
        # A rim of a few pixels, and nothing elsewhere.
        assert 1.0 <= region.sum() / mask.sum() < 1.5


def test_nothing_changes() -> None:
    pictures, _ = still_camera(1)
    assert not changing_regions(np.repeat(pictures, 4, 0)).any()


def test_a_region_needs_pictures_of_the_same_camera(tmp_path: Path) -> None:
    pictures, masks = still_camera()
    views = []
    for i, image in enumerate(pictures):
        write_image(tmp_path / f"{i}.png", image)
        views.append(TruthView(i, "heldout", float(i), None, 0, tmp_path / f"{i}.png"))
    other = TruthView(9, "heldout", 0.0, None, 1, tmp_path / "0.png")
    region = changing_region(views[2], [*views, other])
    assert region is not None
    assert region[masks[2]].all()
    assert changing_region(other, [*views, other]) is None
    assert changing_region(views[0], views[:2]) is None


def test_regions_agree_with_true_masks(shared: Path) -> None:
    """toss, camera 5 at all times: what changes is what moves."""
    from nsff.datasets.truth_registry import open_truth

    views = [view for view in open_truth("nsff24", shared / "scenes" / "toss").views if view.training_camera == 5]
    overlaps = []
    for view in views[::4]:
        region, mask = changing_region(view, views), view.dynamic_mask()
        assert region is not None
        assert mask is not None
        overlaps.append((region & mask).sum() / mask.sum())
    assert np.mean(overlaps) > 0.8


def test_a_homography_carries_a_plane_over_and_leaves_out_what_moves():
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (72, 128, 3), np.uint8), (0, 0), 2)
    M = np.array([[1.02, 0.01, 3.0], [-0.01, 0.99, -2.0], [1e-4, 0, 1]])
    v, u = np.mgrid[:72, :128] + 0.5
    there = np.stack([u, v, np.ones_like(u)], -1) @ M.T
    flow = (there[..., :2] / there[..., 2:] - np.stack([u, v], -1)).astype(np.float32)
    static = np.ones((72, 128), bool)
    truth = cv2.remap(picture, (u - 0.5).astype(np.float32) + flow[..., 0], (v - 0.5).astype(np.float32) + flow[..., 1],
                      cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    flow[:, :50] = 9
    static[:, :50] = False
    carried = carried_by_homography(picture, flow, static)
    assert np.abs(carried.astype(int) - truth).mean() < 0.5
    np.testing.assert_array_equal(carried_by_homography(picture, flow, ~static & False), picture)
