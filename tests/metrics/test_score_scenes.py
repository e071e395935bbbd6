"""``nsff score`` on the folders of all scenes, as SAFF's evaluators take them: every scene, and the mean over scenes.

Three scenes of M = 4 frames: views 0 to 3 train, 5 to 7 are camera 0 at times 1 to 3, 9 to 11 are cameras 1 to 3 at
time 0.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import published_evaluators as published
import pytest

from nsff.cli import main
from nsff.decompose.colours import colour_labels
from nsff.errors import InputError
from nsff.files.io import write_image
from nsff.metrics.scenes import holds_scenes, pair_scenes, score_scenes

SIZE = (32, 44)
SCENES = ("Balloon1-2", "playground", "Umbrella")
VIEWS = {"training": range(4), "nv_spatial": range(5, 8), "nv_static": range(9, 12)}
SHOWN = {5: (1, 0), 6: (2, 0), 7: (3, 0), 9: (0, 1), 10: (0, 2), 11: (0, 3)} | {i: (i, i) for i in range(4)}
"""(time, camera) by view."""


def labels(seed: int) -> np.ndarray:
    field = cv2.resize(np.random.default_rng(seed).random((4, 5)), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    return np.digitize(field, [0.5, 0.75])


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """made/{scene} as SAFF collects results, and SAFF's data: gt_masks/{scene}, nvidia_data_full/{Scene}/dense."""
    for number, scene in enumerate(SCENES):
        for split, views in VIEWS.items():
            for view in views:
                seed = 100 * number + view
                truth = tmp_path / "gt_masks" / scene / f"{split}_{view:2d}.png"
                write_image(truth, (100 * labels(seed)).astype(np.uint8))
                # Objects 3 and 4 share a channel; the third view of each split is one that was got wrong.
                made = np.array([0, 3, 4])[labels(seed + (view % 4 == 2))]
                write_image(
                    tmp_path / "made" / scene / f"{view}.png", np.ascontiguousarray(colour_labels(made)[..., ::-1])
                )
                time, camera = SHOWN[view]
                noise = np.random.default_rng(seed).integers(0, 10 * number + 5, (*SIZE, 3))
                shown = np.clip(picture(1000 * number + 12 * time + camera) + noise, 0, 255).astype(np.uint8)
                write_image(tmp_path / "made" / scene / f"{view}_rgb.png", shown)
        dense = tmp_path / "nvidia_data_full" / scene.capitalize() / "dense"
        for time in range(4):
            for camera in range(12):
                image = picture(1000 * number + 12 * time + camera)
                write_image(dense / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.png", image)
    return tmp_path


def expected_mean(data: Path, metric: str) -> float:
    """Images, then split, then scenes, by the published evaluators."""
    scenes = []
    for scene in SCENES:
        splits = []
        for split, views in VIEWS.items():
            values = []
            for view in views:
                made, truth = data / "made" / scene, data / "gt_masks" / scene / f"{split}_{view:2d}.png"
                if metric in ("psnr", "ssim"):
                    time, camera = SHOWN[view]
                    time, camera = max(time - (split == "nv_spatial"), 0), camera - (split == "nv_static")
                    dense = data / "nvidia_data_full" / scene.capitalize() / "dense"
                    true = dense / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.png"
                    found = published.saff_pictures(made / f"{view}_rgb.png", true, None)[f"full {metric}"]
                else:
                    found = published.saff_masks(made / f"{view}.png", truth)[metric]
                values.append(found)
            splits.append(np.mean(values))
        scenes.append(np.mean(splits))
    return float(np.mean(scenes))


@pytest.mark.parametrize("truth", ["gt_masks", "."])
def test_all_scenes_and_their_mean(data: Path, truth: str) -> None:
    rows, records, notes = score_scenes(data / "made", data / truth, "saff")
    value = {(r.scene, r.variant, r.split, r.metric): r.value for r in rows}
    for metric, tolerance in {"ari": 1e-9, "fg_ari": 1e-9, "jaccard": 1e-9, "psnr": 1e-4, "ssim": 1e-5}.items():
        mean = value["mean", "prediction", "full", f"{metric}_reference"]
        assert mean == pytest.approx(expected_mean(data, metric), abs=tolerance)
        own = [value[scene, "prediction", "full", f"{metric}_reference"] for scene in SCENES]
        assert mean == pytest.approx(np.mean(own), abs=1e-12)
        assert len(set(own)) == 3
    for split, views in VIEWS.items():
        of_split = [value[scene, "prediction", f"{split}/full", "ari"] for scene in SCENES]
        assert value["mean", "prediction", f"{split}/full", "ari"] == pytest.approx(np.mean(of_split))
        assert value["mean", "prediction", f"{split}/full", "count_masks"] == 3 * len(views)
    assert list(records) == list(SCENES)
    assert any("(3: Balloon1-2, playground, Umbrella)" in note for note in notes)


def test_scenes_count_alike_whatever_views_they_have(data: Path) -> None:
    (data / "made" / "Umbrella" / "3.png").unlink()
    rows, _, notes = score_scenes(data / "made", data / "gt_masks", "saff")
    value = {(r.scene, r.split, r.metric): r.value for r in rows if r.variant == "prediction"}
    own = [value[scene, "full", "jaccard"] for scene in SCENES]
    assert value["mean", "full", "jaccard"] == pytest.approx(np.mean(own))
    assert any(note.startswith("Umbrella: masks of 1 of 10 views") for note in notes)


def test_masks_alone_and_pictures_alone(data: Path) -> None:
    """evaluate_fg_ours.py needs no pictures, evaluate_recon_ours.py no masks."""
    pictures, expected = data / "nvidia_data_full", expected_mean(data, "psnr")
    masks = (data / "gt_masks").rename(data / "elsewhere")
    rows, _, _ = score_scenes(data / "made", pictures, "saff")
    value = {(r.scene, r.variant, r.split, r.metric): r.value for r in rows}
    assert ("mean", "prediction", "full", "jaccard") not in value
    assert value["mean", "prediction", "full", "count"] == 30
    masks.rename(data / "gt_masks")
    assert value["mean", "prediction", "full", "psnr_reference"] == pytest.approx(expected, abs=1e-4)
    shutil.rmtree(pictures)
    rows, _, _ = score_scenes(data / "made", data / "gt_masks", "saff")
    value = {(r.scene, r.variant, r.split, r.metric): r.value for r in rows}
    assert value["mean", "prediction", "full", "count_masks"] == 30
    assert ("mean", "prediction", "full", "psnr") not in value


def test_command(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, per_view = data / "out.csv", data / "views.csv"
    arguments = ["score", "--pred", str(data / "made"), "--truth", str(data / "gt_masks"), "--protocol", "saff"]
    assert main([*arguments, "--no-lpips", "--out", str(out), "--per-view", str(per_view)]) == 0
    printed = capsys.readouterr().out
    for scene in (*SCENES, "mean"):
        assert any(line.split()[0] == scene for line in printed.splitlines())
    table = pd.read_csv(out)
    assert list(dict.fromkeys(table["scene"])) == [*SCENES, "mean"]
    views = pd.read_csv(per_view)
    assert set(views["scene"]) == set(SCENES)
    row = table[(table.scene == "mean") & (table.split == "full") & (table.metric == "jaccard_reference")]
    assert float(row["value"].iloc[0]) == pytest.approx(expected_mean(data, "jaccard"), abs=1e-9)


# --- scenes that do not pair -----------------------------------------------------------------------------------------
def test_missing_scenes_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(data / "made" / "playground")
    with pytest.raises(InputError, match=r"lacks scene playground of .*gt_masks") as caught:
        score_scenes(data / "made", data / "gt_masks", "saff")
    assert "one scene at a time" in caught.value.remedy
    shutil.rmtree(data / "gt_masks" / "Umbrella")
    (data / "made" / "playground").mkdir()  # an empty folder is no scene
    with pytest.raises(InputError, match=r"lacks scene playground of .*it has Umbrella, of which .* knows nothing"):
        score_scenes(data / "made", data / "gt_masks", "saff")
    shutil.rmtree(data / "gt_masks" / "playground")
    arguments = ["score", "--pred", str(data / "made"), "--truth", str(data / "gt_masks"), "--protocol", "saff"]
    assert main([*arguments, "--no-lpips"]) == 1
    assert "has no truth of scene Umbrella in" in capsys.readouterr().err
    (data / "nothing").mkdir()
    with pytest.raises(InputError, match="none in the layout of protocol saff"):
        score_scenes(data / "made", data / "nothing", "saff")
    with pytest.raises(InputError, match="no such folder"):
        score_scenes(data / "made", data / "absent", "saff")


def test_spellings(data: Path) -> None:
    """SAFF's README and scripts write scenes with and without capitals and -2."""
    for old, new in (("Umbrella", "Umbrella-2"), ("playground", "Playground"), ("Balloon1-2", "balloon1")):
        (data / "made" / old).rename(data / "made" / new)
    pairs = {pair.name: pair.truth.name for pair in pair_scenes(data / "made", data / "gt_masks", "saff")}
    assert pairs == {"balloon1": "Balloon1-2", "Playground": "playground", "Umbrella-2": "Umbrella"}
    shutil.copytree(data / "made" / "Umbrella-2", data / "made" / "umbrella")
    with pytest.raises(InputError, match="more than once: umbrella, Umbrella-2"):
        pair_scenes(data / "made", data / "gt_masks", "saff")


def test_one_scene_stays_one_scene(data: Path) -> None:
    assert holds_scenes(data / "made")
    assert not holds_scenes(data / "made" / "Umbrella")
    assert not holds_scenes(data / "absent")
    shutil.copytree(data / "made" / "Umbrella", data / "made" / "Umbrella" / "older")
    assert not holds_scenes(data / "made" / "Umbrella")


def test_other_protocols(tmp_path: Path) -> None:
    for scene, shift in (("a", 0), ("b", 1)):
        for i in range(3):
            true = labels(i)
            write_image(tmp_path / "truth" / scene / f"{i:05d}.png", true.astype(np.uint8))
            write_image(tmp_path / "made" / scene / f"{i}.png", labels(i + shift).astype(np.uint8))
    rows, _, _ = score_scenes(tmp_path / "made", tmp_path / "truth", "masks")
    value = {(r.scene, r.metric): r.value for r in rows}
    assert value["a", "jaccard"] == 1.0
    assert value["mean", "jaccard"] == pytest.approx((1 + value["b", "jaccard"]) / 2)
