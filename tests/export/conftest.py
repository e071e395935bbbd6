"""The world of boxes of the decomposition's tests: a wall, a resting box (object 1), one that moves before it (2)."""

import numpy as np
import pytest

from nsff.decompose.clusters import Clusters
from nsff.files.io import read_json, write_json
from tests.decompose.conftest import box_world, fake_scene

__all__ = ["box_world", "boxes", "fake_scene"]
RATE = 10
"""Frames a second."""


@pytest.fixture
def boxes(box_world):
    """A function that makes the scene of boxes, with its clusters, and its renderer."""

    def make(composition="blending", n=3):
        scene, renderer = box_world(composition, n=n)
        frames = [{"index": i, "name": "x", "time": i / RATE} for i in range(n)]
        write_json(scene.manifest_path, read_json(scene.manifest_path) | {"frames": frames})
        Clusters(np.eye(4, dtype=np.float32)[:3], np.arange(3), [1, 2]).save(scene.clusters_dir, {})
        return scene, renderer

    return make
