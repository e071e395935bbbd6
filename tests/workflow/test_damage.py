"""Damaged files between stages: every stage names the file and says what to do, and leaves nothing half-made."""

import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from nsff.config import load_config
from nsff.errors import NsffError
from nsff.scene import Scene

# Stage: where it is, what it is given of the settings, and what it writes.
STAGES = {
    "flow": ("nsff.priors.flow.stage:run_flow", lambda c: (c.flow, c.canonical.resize_height), "raw_flow"),
    "coarse_masks": ("nsff.priors.motion.stage:run_coarse_masks", lambda c: (c.motion,), "coarse_masks"),
    "sfm": ("nsff.priors.sfm.stage:run_sfm", lambda c: (c.sfm,), "sfm"),
    "cameras": ("nsff.priors.canonical.stage:run_canonical", lambda c: (c.canonical,), "images"),
    "motion": ("nsff.priors.motion.stage:run_motion", lambda c: (c.motion,), "motion_masks"),
    "depth": ("nsff.priors.depth.stage:run_depth", lambda c: (c.depth,), "depth"),
    "features": ("nsff.priors.features.stage:run_features", lambda c: (c.features,), "features"),
    "train": ("nsff.training.run:run_train", lambda c: (c,), "model"),
    "render": ("nsff.rendering.videos:run_render", lambda c: (c.render, "time"), "renders/time.mp4"),
    "maps": ("nsff.rendering.maps:run_maps", lambda c: (c.render,), "maps"),
    "cluster": (
        "nsff.decompose.clustering:run_cluster",
        lambda c: (c.decompose.model_copy(update={"method": "clusters"}),),
        "clusters",
    ),
    "postprocess": ("nsff.decompose.postprocess:run_postprocess", lambda c: (c.decompose,), "masks"),
    "crf": ("nsff.decompose.crf:run_crf", lambda c: (c.crf,), "masks_crf"),
    "score": ("nsff.metrics.score:run_score", lambda c: (c,), "scores.csv"),
}


@pytest.fixture
def stage(finished, tmp_path, monkeypatch):
    """A copy of the finished scene, and a function that runs one stage on it after its output was taken away."""
    project = finished.copy(tmp_path)
    monkeypatch.chdir(project.folder)
    config = load_config(project.config, project.folder)[finished.scene]
    scene = Scene(Path("results") / finished.scene)

    def run(name):
        place, arguments, output = STAGES[name]
        module, function = place.split(":")
        target = scene.root / output
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        shutil.rmtree(scene.root / "state") if name == "train" else None
        getattr(importlib.import_module(module), function)(Scene(scene.root), *arguments(config))

    return scene.root, run


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path):
    path.write_bytes(b"")


def removed(path):
    path.unlink()


def not_finite(path):
    """One value of every array of floats becomes NaN."""
    if path.suffix == ".npy":
        array = np.load(path)
        array.flat[7] = np.nan
        np.save(path, array)
        return
    arrays = dict(np.load(path))
    for array in arrays.values():
        if array.dtype.kind == "f":
            array.flat[7] = np.nan
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("name", "file", "damage"),
    [
        ("flow", "frames/00002.png", truncated),
        ("coarse_masks", "raw_flow/00002_fwd.npz", truncated),
        ("coarse_masks", "raw_flow/00002_fwd.npz", not_finite),
        ("sfm", "given/cameras.json", truncated),
        ("cameras", "given/cameras.json", truncated),
        ("cameras", "frames/00003.png", truncated),
        ("cameras", "raw_flow/00003_bwd.npz", emptied),
        ("motion", "cameras.json", truncated),
        ("motion", "flow/00002_fwd.npz", truncated),
        ("motion", "flow/00002_fwd.npz", not_finite),
        ("motion", "flow/00002_bwd.npz", removed),
        ("depth", "points.npz", truncated),
        ("depth", "motion_masks/00002.png", emptied),
        ("features", "images/00004.png", truncated),
        ("train", "depth/00004.npz", truncated),
        ("train", "depth/00004.npz", not_finite),
        ("train", "features/features.npy", truncated),
        ("train", "features/features.npy", not_finite),
        ("render", "model/model.safetensors", truncated),
        ("maps", "model/model.json", truncated),
        ("maps", "model/model.safetensors", emptied),
        ("cluster", "maps/3_features.npy", truncated),
        ("cluster", "maps/3_features.npy", not_finite),
        ("cluster", "maps/views.json", removed),
        ("postprocess", "clusters/merged/3.png", truncated),
        ("postprocess", "clusters/clusters.json", truncated),
        ("crf", "masks/3.png", truncated),
        ("crf", "images/00003.png", truncated),
        ("score", "pixel_map.npz", truncated),
        ("score", "masks_crf/3.png", emptied),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_damaged_file_is_named(stage, name, file, damage):
    scene, run = stage
    damage(scene / file)
    with pytest.raises(NsffError) as caught:
        run(name)
    # Features are one array that is read as a whole; a model is one folder.
    assert Path(file).name in str(caught.value) or str(Path(file).parent) in caught.value.subject
    assert caught.value.remedy
    assert not (scene / STAGES[name][2]).exists()
    assert [path for path in scene.rglob(".tmp*")] == []


def test_what_the_error_says_repairs_it(finished, tmp_path):
    """Under Snakemake: the failed run names the file and the folder; deleting that folder and running again works."""
    project = finished.copy(tmp_path)
    scene = project.scene(finished.scene)
    target = f"results/{finished.scene}/motion_masks"
    shutil.rmtree(scene / "motion_masks")
    truncated(scene / "flow" / "00002_fwd.npz")
    ended = project.snakemake(target)
    assert ended.status != 0
    assert "flow/00002_fwd.npz: corrupt" in ended.text
    assert f"delete the whole folder results/{finished.scene}/flow and run again" in ended.text
    assert not (scene / "motion_masks").exists()
    shutil.rmtree(scene / "flow")
    assert project.snakemake(target).status == 0
    assert (scene / "motion_masks" / "00006.png").exists()
