"""Clusterers are files of a folder; the one of docs/extending.md is tried as it stands there."""

from __future__ import annotations

import importlib
import json
import re
import sys
from typing import get_args

import numpy as np
import pytest

from nsff.config import DecomposeConfig
from nsff.config.module_names import module_names
from nsff.decompose import clusterers
from nsff.decompose.clusterer import open_clusterer
from nsff.decompose.clustering import run_cluster
from nsff.decompose.kmeans import fit
from nsff.decompose.views import read_views
from nsff.files.io import read_mask


def test_every_file_is_allowed_and_clusters():
    names = module_names("decompose/clusterers")
    assert names == get_args(DecomposeConfig.model_fields["clusterer"].annotation)
    for name in names:
        assert callable(importlib.import_module(f"nsff.decompose.clusterers.{name}").cluster)


def test_k_means_is_the_default():
    assert open_clusterer(DecomposeConfig()) is fit


@pytest.fixture
def farthest(repo, tmp_path, monkeypatch):
    """Settings of the clusterer of the walk-through, written from the page into a folder of its own."""
    section = (repo / "docs" / "extending.md").read_text().split("## A clusterer\n")[1].split("\n## ")[0]
    (tmp_path / "farthest.py").write_text(re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)[0])
    monkeypatch.setattr(clusterers, "__path__", [*clusterers.__path__, str(tmp_path)])
    yield DecomposeConfig().model_copy(update={"clusterer": "farthest"})
    sys.modules.pop("nsff.decompose.clusterers.farthest", None)


def test_the_clusterer_of_the_documents_finds_the_planted_object(farthest, fake_scene, moving_square):
    scene = fake_scene()
    run_cluster(scene, farthest)
    clusters = json.loads((scene.clusters_dir / "clusters.json").read_text())
    (label,) = clusters["salient"]
    assert len(clusters["objectives"]) == clusters["K"]
    assert clusters["objectives"][-1] < 0.1 < clusters["objectives"][0]
    for view in read_views(scene):
        merged = read_mask(scene.clusters_dir / "merged" / f"{view.index}.png", scene.size)
        np.testing.assert_array_equal(merged == label + 1, moving_square(int(view.time)))
