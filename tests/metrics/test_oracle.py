"""The oracle's choice of clusters: by the first true mask, for all views, and never written into the scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import published_evaluators as published
import pytest
from wall_world import FRAMES, HEIGHT, WIDTH, config, make_scene, own_world, path_of_cameras, rows_of

from nsff.decompose.colours import PALETTE
from nsff.files.io import read_json, write_image, write_json
from nsff.metrics.oracle import chosen_labels
from nsff.metrics.score import run_score

POSES = path_of_cameras(FRAMES)


def test_the_fraction_on_the_foreground_decides():
    labels = np.array([[0, 0, 0, 1, 1, 1, 1, 1, 1, 1], [2] * 10])
    foreground = np.zeros((2, 10), bool)
    foreground[0, 2:5] = foreground[1, :3] = True
    # One of three pixels of label 0, two of seven of label 1, three of ten of label 2.
    assert chosen_labels(labels, foreground) == [0, 2]
    assert chosen_labels(labels, foreground, 0.28) == [0, 1, 2]
    assert chosen_labels(labels, ~foreground, 0.7) == [1, 2]


def labels_of(time: int) -> np.ndarray:
    """0 the wall, 1 a block that moves, 2 a block that rests."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[13:25, 8 + 2 * time : 22 + 2 * time] = 1
    labels[24:34, 30:44] = 2
    return labels


def test_variants_of_the_oracle(tmp_path: Path):
    scene = make_scene(tmp_path, own_world(POSES), True, POSES)
    n = scene.n_frames
    write_json(
        scene.maps_dir / "views.json", [{"index": i, "split": "training", "camera": i, "time": i} for i in range(n)]
    )
    write_json(scene.clusters_dir / "clusters.json", {"salient": []})
    for i in range(n):
        labels = labels_of(i)
        write_image(tmp_path / "masks" / f"{i:05d}.png", 255 * (labels == 1).astype(np.uint8))
        write_image(scene.clusters_dir / "merged" / f"{i}.png", labels + 1)
        for folder in (scene.masks_dir, scene.masks_crf_dir):
            write_image(folder / f"{i}.png", np.zeros_like(labels))
        write_image(scene.maps_dir / f"{i}_blend.png", labels)
        shade = np.repeat((60 + 60 * labels)[..., None], 3, 2)
        write_image(scene.maps_dir / f"{i}_rgb.png", shade)
        write_image(scene.maps_dir / f"{i}_depth.png", (20000 + 10000 * labels.astype(np.uint16)))
    settings = {"evaluation": [{"protocol": "masks", "truth": str(tmp_path)}], "decompose": {"min_component": 0.0}}
    run_score(scene, config(**settings))
    assert ("oracle", "full", "jaccard") not in rows_of(scene)
    run_score(scene, config(**settings, score={"oracle": True}, crf={"backend": "own"}))
    rows = rows_of(scene)
    assert rows["crf", "full", "jaccard"] == 0
    assert rows["oracle", "full", "jaccard"] == 1
    assert rows["oracle", "full", "ari"] == 1
    assert rows["oracle_processed", "full", "jaccard"] > 0.95
    assert rows["oracle_crf", "full", "jaccard"] > 0.9
    assert read_json(scene.clusters_dir / "clusters.json") == {"salient": []}


@pytest.mark.parametrize("salient", [[1, 4, 6, 9], [2, 3, 5, 7]])
def test_reference_columns_see_the_colours_of_clusters(tmp_path: Path, salient: list[int]):
    """SAFF's evaluator on SAFF's files: object k has the colour of its cluster, so that 3 and 4 may stay apart, and 1
    and 2 fall together."""
    scene = make_scene(tmp_path, own_world(POSES), True, POSES)
    n = scene.n_frames
    write_json(
        scene.maps_dir / "views.json", [{"index": i, "split": "training", "camera": i, "time": i} for i in range(n)]
    )
    write_json(scene.clusters_dir / "clusters.json", {"salient": salient})
    expected = []
    (tmp_path / "theirs").mkdir()
    for i in range(n):
        objects = np.zeros((HEIGHT, WIDTH), np.uint8)
        for k in range(4):
            objects[5 + i : 20 + i, 10 * k + 2 : 10 * k + 11] = k + 1
        truth = np.where(objects > 2, objects, np.roll(objects, 2, 1))
        write_image(tmp_path / "masks" / f"{i:05d}.png", truth)
        clusters = np.array([-1, *salient])[objects]
        write_image(scene.clusters_dir / "merged" / f"{i}.png", (clusters + 1).astype(np.uint8))
        for folder in (scene.masks_dir, scene.masks_crf_dir):
            write_image(folder / f"{i}.png", objects)
        write_image(scene.maps_dir / f"{i}_blend.png", objects)
        write_image(scene.maps_dir / f"{i}_rgb.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        write_image(scene.maps_dir / f"{i}_depth.png", np.full((HEIGHT, WIDTH), 20000, np.uint16))
        cv2.imwrite(str(tmp_path / "theirs" / "0.png"), PALETTE[clusters])
        expected.append(published.saff_masks(tmp_path / "theirs" / "0.png", tmp_path / "masks" / f"{i:05d}.png"))
    settings = {"evaluation": [{"protocol": "masks", "truth": str(tmp_path)}], "score": {"oracle": True}}
    run_score(scene, config(**settings, crf={"backend": "own"}))
    rows = rows_of(scene)
    for variant in ("clusters", "processed", "crf", "oracle"):
        for metric in ("ari", "fg_ari", "jaccard"):
            mean = np.mean([values[metric] for values in expected])
            assert rows[variant, "full", f"{metric}_reference"] == pytest.approx(mean, abs=1e-9), (variant, metric)


def test_without_a_mask_of_a_training_view_there_is_no_oracle(tmp_path: Path):
    from nsff.decompose.views import View
    from nsff.metrics.oracle import oracle_sources

    scene = make_scene(tmp_path, own_world(POSES), True, POSES)
    assert oracle_sources(scene, config(), [View(0, "training", 0, 0.0)], []) == {}


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_limits(threshold):
    labels = np.array([[0, 1]])
    assert chosen_labels(labels, np.array([[True, False]]), threshold) == ([0, 1] if threshold == 0 else [0])
