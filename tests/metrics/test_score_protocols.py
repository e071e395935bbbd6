"""The score stage under the rig's protocols (nsff24, dynnerf12, saff), and truth that goes through the pixel map.

The rig: camera c stands still at pose c, frame t is filmed by camera t (mod 12), N = 5 frames.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from wall_world import (
    FRAMES,
    HEIGHT,
    WIDTH,
    WallRenderer,
    config,
    make_scene,
    own_world,
    path_of_cameras,
    picture,
    rows_of,
)

from nsff.cameras import Cameras
from nsff.files.io import read_image, write_image, write_json, write_npz
from nsff.metrics.alignment import moved
from nsff.metrics.folder import score_folder
from nsff.metrics.score import run_score
from nsff.scene import Scene

POSES = path_of_cameras(FRAMES)


def patch_mask(time: int) -> np.ndarray:
    """Roughly where the patch is: left to right with time."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[13:23, 14 + 2 * time : 26 + 2 * time] = 1
    return mask


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mv_images and mv_masks of all cameras at all times, gt_masks and DynamicNeRF's gt/ and images/."""
    root = tmp_path_factory.mktemp("rig")
    for time in range(FRAMES):
        for camera in range(FRAMES):
            image = picture(POSES[camera], time)
            write_image(root / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.png", image)
            write_image(root / "mv_masks" / f"{time:05d}" / f"cam{camera + 1:02d}.png", 255 * patch_mask(time))
            if camera == 0:
                write_image(root / "dynnerf" / "gt" / f"v000_t{time:03d}.png", image)
            if camera == time:
                write_image(root / "dynnerf" / "images" / f"{time:03d}.png", image)
        for camera in range(FRAMES, 12):
            write_image(root / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.png", picture(POSES[0], time))
    names = [(f"training_{t:2d}", t) for t in range(FRAMES)]
    names += [(f"nv_spatial_{FRAMES + t:2d}", t) for t in range(1, FRAMES)]
    names += [(f"nv_static_{2 * FRAMES + c:2d}", 0) for c in range(1, FRAMES)]
    for name, time in names:
        write_image(root / "gt_masks" / f"{name}.png", 100 * patch_mask(time))
    return root


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path, own_world(POSES), True, POSES)


def dim_renderer() -> WallRenderer:
    """Right but for its brightness, so that no score is that of identical pictures."""
    renderer = WallRenderer(2.0)
    renderer.brightness.data *= 0.99
    return renderer


def bent_scene(root: Path) -> Scene:
    """Cameras that were estimated, and wrong by a pixel or two."""
    ours = own_world(POSES)
    bent = ours.world_to_camera.copy()
    for i in range(FRAMES):
        bend = torch.tensor([0.02 * (-1) ** i, 0.015, 0.01, 0, 0, 0]).double()
        bent[i] = moved(torch.from_numpy(bent[i]), bend, 1.0).numpy()
    return make_scene(root, Cameras(ours.intrinsics, bent, ours.near_far, WIDTH, HEIGHT), False, POSES)


def test_nsff24(scene: Scene, rig: Path) -> None:
    """Every time from every camera but the one that filmed it, dynamic-only inside mv_masks."""
    summary = run_score(scene, config(evaluation=[{"protocol": "nsff24", "truth": str(rig)}]), WallRenderer(2.0))
    rows = rows_of(scene)
    assert rows["raw", "full", "count"] == rows["raw", "dynamic", "count"] == FRAMES * (FRAMES - 1)
    assert rows["raw", "full", "psnr"] > 55
    assert rows["static", "dynamic", "psnr"] < rows["static", "full", "psnr"] < 40
    assert rows["copy", "dynamic", "psnr"] < rows["raw", "dynamic", "psnr"] - 10
    assert rows["copy_camera", "full", "psnr"] < rows["raw", "full", "psnr"] - 10
    assert rows["raw", "dynamic", "ssim_reference"] >= rows["raw", "dynamic", "ssim"]
    assert not any(variant == "aligned" for variant, _, _ in rows)
    assert summary["verdict"] == "good"
    assert "Where it moves" in summary["message"]
    assert "film none of the frames" in summary["message"]


def test_estimated_cameras_of_a_rig_are_refined(tmp_path: Path, rig: Path) -> None:
    """A held-out view is at our camera of the frame that its camera filmed; refinement mends what is wrong with it."""
    scene = bent_scene(tmp_path)
    settings = config(
        evaluation=[{"protocol": "dynnerf12", "truth": str(rig / "dynnerf")}],
        score={"refine_steps": 45, "refine_rays": 200, "refine_learning_rate": 4e-3},
    )
    run_score(scene, settings, WallRenderer(2.0))
    rows = rows_of(scene)
    assert rows["aligned", "heldout/full", "psnr"] > rows["raw", "heldout/full", "psnr"] + 5
    # The training view v000_t000 keeps its camera.
    assert rows["aligned", "training/full", "psnr"] == rows["raw", "training/full", "psnr"]


def test_dynnerf12(scene: Scene, rig: Path) -> None:
    """Camera 0 at all times; the mean holds the training view, copies do not; what changes is the dynamic region."""
    settings = config(evaluation=[{"protocol": "dynnerf12", "truth": str(rig / "dynnerf")}])
    summary = run_score(scene, settings, dim_renderer())
    rows = rows_of(scene)
    assert rows["raw", "full", "count"] == FRAMES
    assert rows["raw", "heldout/full", "count"] == rows["copy", "full", "count"] == FRAMES - 1
    held, training = rows["raw", "heldout/full", "psnr"], rows["raw", "training/full", "psnr"]
    assert rows["raw", "full", "psnr"] == pytest.approx(((FRAMES - 1) * held + training) / FRAMES)
    # OpenCV's PSNR of 8 bits is ours but for identical pictures.
    assert rows["raw", "heldout/full", "psnr_reference"] == pytest.approx(held, abs=0.01)
    assert rows["static", "dynamic", "psnr"] < rows["static", "full", "psnr"] - 3
    assert f"over {FRAMES - 1} held-out views (raw)" in summary["message"]
    # The pictures written are the ones scored: the command says the same.
    again, _, _ = score_folder(scene.root / "score_pictures" / "dynnerf12", rig / "dynnerf", "dynnerf12")
    value = {(row.variant, row.split, row.metric): row.value for row in again}
    for split in ("full", "heldout/full", "dynamic"):
        for metric in ("psnr", "ssim") if split == "dynamic" else ("psnr", "ssim", "psnr_reference", "ssim_reference"):
            assert value["prediction", split, metric] == pytest.approx(rows["raw", split, metric], abs=1e-4)
        assert value["static", split, "psnr"] == pytest.approx(rows["static", split, "psnr"], abs=1e-4)
    # The frames lie beside the truth: the same copies in both.
    assert value["copy", "full", "psnr"] == pytest.approx(rows["copy", "full", "psnr"], abs=1e-4)


def test_saff(scene: Scene, rig: Path) -> None:
    """Pictures and masks of three splits, the mean over splits; the published evaluator is off by one on two."""
    views = [{"index": i, "split": "training", "camera": i, "time": i} for i in range(FRAMES)]
    views += [{"index": FRAMES + t, "split": "nv_spatial", "camera": 0, "time": t} for t in range(FRAMES)]
    views += [{"index": 2 * FRAMES + c, "split": "nv_static", "camera": c, "time": 0} for c in range(FRAMES)]
    write_json(scene.maps_dir / "views.json", views)
    write_json(scene.clusters_dir / "clusters.json", {"salient": [0]})
    for view in views:
        i, labels = view["index"], patch_mask(view["time"])
        write_image(scene.masks_crf_dir / f"{i}.png", labels)
        write_image(scene.masks_dir / f"{i}.png", labels)
        write_image(scene.clusters_dir / "merged" / f"{i}.png", labels + 1)
        write_image(scene.maps_dir / f"{i}_blend.png", 255 * labels)
        write_image(scene.maps_dir / f"{i}_rgb.png", picture(POSES[view["camera"]], view["time"]))
    summary = run_score(scene, config(evaluation=[{"protocol": "saff", "truth": str(rig)}]), dim_renderer())
    rows = rows_of(scene)
    counts = {split: rows["raw", f"{split}/full", "count"] for split in ("training", "nv_spatial", "nv_static")}
    assert counts == {"training": FRAMES, "nv_spatial": FRAMES - 1, "nv_static": FRAMES - 1}
    means = [rows["raw", f"{split}/full", "psnr"] for split in counts]
    assert rows["raw", "full", "psnr"] == pytest.approx(sum(means) / 3)
    for split in ("nv_spatial", "nv_static"):
        assert rows["raw", f"{split}/full", "psnr_reference"] < rows["raw", f"{split}/full", "psnr"] - 5
    assert rows["raw", "training/full", "psnr_reference"] == pytest.approx(rows["raw", "training/full", "psnr"])
    assert rows["crf", "full", "jaccard"] == rows["crf", "full", "ari"] == 1.0
    assert rows["crf", "nv_static/full", "count_masks"] == FRAMES - 1
    assert ("raw", "dynamic", "psnr_reference") not in rows
    assert ("copy", "training/full", "psnr") not in rows
    assert summary["verdict"] == "good", summary["message"]


def test_saff_is_refined_where_cameras_were_estimated(tmp_path: Path, rig: Path) -> None:
    scene = bent_scene(tmp_path)
    colours_only = tmp_path / "rig"
    shutil.copytree(rig, colours_only)
    settings = config(
        evaluation=[{"protocol": "saff", "truth": str(colours_only)}],
        score={"refine_steps": 36, "refine_rays": 200, "refine_learning_rate": 4e-3},
        field={"features": False, "saliency": False},
        losses={"w_features": 0.0, "w_saliency": 0.0},
    )
    summary = run_score(scene, settings, WallRenderer(2.0))
    rows = rows_of(scene)
    for split in ("nv_spatial", "nv_static"):
        assert rows["aligned", f"{split}/full", "psnr"] > rows["raw", f"{split}/full", "psnr"] + 5
    assert rows["aligned", "training/full", "psnr"] == rows["raw", "training/full", "psnr"]
    assert "no masks are scored, since field.features is false" in summary["message"]


# --- the pixel map ---------------------------------------------------------------------------------------------------
def cropped(scene: Scene, left: int, top: int) -> None:
    """Declares the scene's frames to be cut out of larger ones, from (left, top) on."""
    u, v = np.meshgrid(np.arange(WIDTH) + left + 0.5, np.arange(HEIGHT) + top + 0.5)
    size = np.array([HEIGHT + 2 * top, WIDTH + 2 * left])
    write_npz(scene.pixel_map_path, map=np.stack([u, v], -1).astype(np.float32), frame_size=size)


def test_true_pictures_go_through_the_pixel_map(scene: Scene, tmp_path: Path) -> None:
    """Truth has the pixels of the input frames, here twice as large and with a border that canonical frames lack."""
    cropped(scene, 4, 3)
    for time in range(FRAMES):
        frame = np.zeros((HEIGHT + 6, WIDTH + 8, 3), np.uint8)
        frame[3:-3, 4:-4] = picture(POSES[0], time)
        large = np.repeat(np.repeat(frame, 2, 0), 2, 1)
        write_image(tmp_path / "gt" / f"v000_t{time:03d}.png", large)
    run_score(scene, config(evaluation=[{"protocol": "dynnerf12", "truth": str(tmp_path)}]), WallRenderer(2.0))
    rows = rows_of(scene)
    assert rows["raw", "full", "psnr"] > 50
    made = scene.root / "score_pictures" / "dynnerf12" / "1_rgb.png"
    assert read_image(made).shape == (HEIGHT, WIDTH, 3)


def test_true_masks_go_through_the_pixel_map(scene: Scene, tmp_path: Path) -> None:
    """By nearest neighbour: labels stay labels, also 100 and 200."""
    cropped(scene, 4, 3)
    write_json(
        scene.maps_dir / "views.json",
        [{"index": i, "split": "training", "camera": i, "time": i} for i in range(FRAMES)],
    )
    write_json(scene.clusters_dir / "clusters.json", {"salient": [0]})
    for i in range(FRAMES):
        labels = patch_mask(i)
        labels[26:34, 5:20] = 2
        frame = np.zeros((HEIGHT + 6, WIDTH + 8), np.uint8)
        frame[3:-3, 4:-4] = 100 * labels
        write_image(tmp_path / "masks" / f"{i:05d}.png", np.kron(frame, np.ones((3, 3), np.uint8)))
        for folder in (scene.masks_dir, scene.masks_crf_dir, scene.clusters_dir / "merged"):
            write_image(folder / f"{i}.png", labels + (folder.name == "merged"))
        write_image(scene.maps_dir / f"{i}_blend.png", labels)
        write_image(scene.maps_dir / f"{i}_rgb.png", scene.image(i))
    run_score(scene, config(evaluation=[{"protocol": "masks", "truth": str(tmp_path)}]))
    rows = rows_of(scene)
    assert [rows["crf", "full", metric] for metric in ("ari", "fg_ari", "jaccard")] == [1.0, 1.0, 1.0]
