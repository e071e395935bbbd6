"""The cluster stage on maps with planted clusters."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nsff.config import DecomposeConfig
from nsff.decompose.clustering import run_cluster, sample_pixels, verdict
from nsff.decompose.clusters import Clusters, objects_of
from nsff.decompose.descriptors import Descriptors
from nsff.decompose.views import read_views
from nsff.errors import StageError
from nsff.files.io import read_mask


def test_planted_object_is_found_in_all_views(fake_scene, moving_square):
    scene = fake_scene(extra=2)
    run_cluster(scene, DecomposeConfig(restarts=3))
    clusters = json.loads((scene.clusters_dir / "clusters.json").read_text())
    assert len(clusters["salient"]) == 1
    assert clusters["passed_vote"]
    assert clusters["needed_votes"] == 5
    assert 3 <= clusters["K"] <= 5
    assert len(clusters["objectives"]) == clusters["K"]
    label = clusters["salient"][0]
    for view in read_views(scene):
        merged = read_mask(scene.clusters_dir / "merged" / f"{view.index}.png", scene.size)
        raw = read_mask(scene.clusters_dir / "raw" / f"{view.index}.png", scene.size)
        np.testing.assert_array_equal(merged, np.array(clusters["merge_map"])[raw.astype(int) - 1] + 1)
        np.testing.assert_array_equal(merged == label + 1, moving_square(int(view.time)))
    summary = scene.summary("cluster")
    assert summary["verdict"] == "good"
    assert summary["n_objects"] == 1
    assert summary["warped_overlap"] > 0.9


def test_an_object_that_swallowed_what_is_not_salient_is_doubtful(fake_scene):
    """The square fills a sixteenth of the picture with a saliency of 0.9; merged with all the rest, 0.06 are left."""
    scene = fake_scene(salient=0.9)
    run_cluster(scene, DecomposeConfig(restarts=3, merge_similarity=-1.0, saliency_threshold=0.03))
    summary = scene.summary("cluster")
    assert summary["passed_vote"]
    assert summary["object_saliency"] < 0.2
    assert summary["verdict"] == "doubtful"
    assert "Raise decompose.merge_similarity" in summary["message"]
    run_cluster(scene, DecomposeConfig(restarts=3))
    assert scene.summary("cluster")["object_saliency"] > 0.8
    assert scene.summary("cluster")["verdict"] == "good"


def test_nothing_salient_keeps_the_best_or_nothing(fake_scene, moving_square):
    scene = fake_scene(salient=0.04)  # below the threshold of 0.07
    run_cluster(scene, DecomposeConfig(restarts=2))
    clusters = json.loads((scene.clusters_dir / "clusters.json").read_text())
    assert not clusters["passed_vote"]
    assert len(clusters["salient"]) == 1
    assert scene.summary("cluster")["verdict"] == "doubtful"
    assert "votes" in scene.summary("cluster")["message"]
    run_cluster(scene, DecomposeConfig(restarts=2, keep_best=False))
    assert json.loads((scene.clusters_dir / "clusters.json").read_text())["salient"] == []
    assert scene.summary("cluster")["verdict"] == "poor"
    assert "none salient" in scene.summary("cluster")["message"]


@pytest.mark.parametrize(
    ("share", "passed", "level"), [(0.5, False, "poor"), (0.1, False, "doubtful"), (0.5, True, "good")]
)
def test_an_object_of_half_the_picture_without_a_vote_is_poor(share: float, passed: bool, level: str):
    numbers = {
        "K": 8, "labels_after_merging": 3, "salient_labels": 1, "passed_vote": passed, "needed_votes": 3,
        "foreground_fraction": share, "area_fractions": {"1": share}, "area_jitter": {"1": 0.0}, "warped_overlap": 0.9,
    }  # fmt: skip
    assert verdict(numbers)["verdict"] == level


def test_zero_saliency_keeps_nothing_even_with_keep_best(fake_scene):
    scene = fake_scene(salient=0.0)
    run_cluster(scene, DecomposeConfig(restarts=1))
    assert scene.summary("cluster")["verdict"] == "poor"


def test_features_at_half_resolution(fake_scene, moving_square):
    scene = fake_scene(n=3)
    for i in range(3):
        path = scene.maps_dir / f"{i}_features.npy"
        np.save(path, np.load(path)[::2, ::2])
    run_cluster(scene, DecomposeConfig(restarts=2))
    label = json.loads((scene.clusters_dir / "clusters.json").read_text())["salient"][0]
    found = read_mask(scene.clusters_dir / "merged" / "0.png", scene.size) == label + 1
    truth = moving_square(0)
    assert (found & truth).sum() / (found | truth).sum() > 0.8


def test_sampling_interval_runs_through_the_list_of_all_pixels(fake_scene):
    scene = fake_scene(n=3)
    views = read_views(scene)
    whole = np.concatenate([np.load(scene.maps_dir / f"{i}_features.npy").reshape(-1, 16) for i in range(3)])
    sampled = sample_pixels(Descriptors(scene, DecomposeConfig()), views, 7)
    expected = whole[::7].astype(np.float32)
    np.testing.assert_allclose(sampled, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)


def test_features_are_interpolated_for_labels(fake_scene):
    scene = fake_scene(n=1)
    np.save(scene.maps_dir / "0_features.npy", np.array([[[1.0, 0.0], [0.0, 1.0]]], np.float16))
    values = Descriptors(scene, DecomposeConfig()).of_view(read_views(scene)[0], (1, 4))
    raw, _ = Clusters(np.eye(2, dtype=np.float32), np.arange(2)).labels(values[0])
    assert raw.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(np.linalg.norm(values, axis=2), 1, rtol=1e-5)


def test_objects_are_numbered_in_the_order_of_labels():
    merged = np.array([[0, 2, 5], [5, 3, 2]])
    assert objects_of(merged, [5, 2]).tolist() == [[0, 1, 2], [2, 0, 1]]
    assert objects_of(merged, []).max() == 0


def test_errors_name_the_file(fake_scene):
    scene = fake_scene(n=3)
    (scene.maps_dir / "1_features.npy").unlink()
    with pytest.raises(StageError, match=r"1_features\.npy: missing"):
        run_cluster(scene, DecomposeConfig())
    np.save(scene.maps_dir / "1_features.npy", np.full((48, 64, 16), np.nan, np.float16))
    with pytest.raises(StageError, match="not finite"):
        run_cluster(scene, DecomposeConfig())
    np.save(scene.maps_dir / "1_features.npy", np.ones((48, 64, 5), np.float16))
    with pytest.raises(StageError, match="5 feature channels"):
        run_cluster(scene, DecomposeConfig())
    (scene.maps_dir / "views.json").write_text('[{"index": 0, "split": "nv_static", "camera": 0, "time": 0}]')
    with pytest.raises(StageError, match="no view of split 'training'"):
        run_cluster(scene, DecomposeConfig())
    assert not scene.clusters_dir.exists()
