"""The variant of the released masks: raw clusters go into the CRF, with its first parameters."""

import numpy as np

from nsff.config import resolve_scene
from nsff.decompose import crf as crf_module
from nsff.decompose.clustering import run_cluster
from nsff.decompose.clusters import salient_labels
from nsff.decompose.crf import run_crf, sigmas
from nsff.decompose.postprocess import read_objects, run_postprocess
from nsff.decompose.views import read_views
from nsff.files.io import read_mask


def test_raw_clusters_reach_the_crf(fake_scene, monkeypatch):
    scene = fake_scene(n=4)
    config = resolve_scene("a", {"input": {"path": "x"}, "overlays": ["released_masks"]}, "saff", {})
    run_cluster(scene, config.decompose)
    run_postprocess(scene, config.decompose)
    for view in read_views(scene):
        raw = read_objects(scene, view, salient_labels(scene))
        np.testing.assert_array_equal(read_mask(scene.masks_dir / f"{view.index}.png"), raw)
    seen = []

    def marginals(index, n_labels, rgb, depth, crf):
        seen.append(crf)
        return np.eye(n_labels)[index.ravel()]

    monkeypatch.setitem(crf_module.BACKENDS, "own", marginals)
    run_crf(scene, config.crf.model_copy(update={"backend": "own"}))
    assert (seen[0].depth_weight, seen[0].rgb_weight, seen[0].gaussian_weight) == (30, 20, 15)
    assert sigmas(seen[0], 288) == (3, 40, 20)
    assert (seen[0].iterations, seen[0].ground_truth_probability, seen[0].channel_sigma) == (5, 0.7, 13)
