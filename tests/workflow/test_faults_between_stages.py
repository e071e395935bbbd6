"""Faults of every kind in every kind of file that stages hand on: the next stage names the file and stops.

Where a file changed behind the back of its stage, the record of checksums tells (nsff.files.checksums). Faults that a
stage must see by itself, of an older version's results say, are tried without records.
"""

import importlib
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nsff.config import load_config
from nsff.errors import NsffError
from nsff.files.checksums import CHECKSUM_FOLDER
from nsff.scene import Scene

# Stage: where it is, what it is given of the settings, what it writes, and a file of each kind that it reads.
STAGES = {
    "flow": ("nsff.priors.flow.stage:run_flow", lambda c: (c.flow, c.canonical.resize_height), "raw_flow",
             ["frames/00002.png", "manifest.json"]),
    "coarse_masks": ("nsff.priors.motion.stage:run_coarse_masks", lambda c: (c.motion,), "coarse_masks",
                     ["raw_flow/00002_fwd.npz"]),
    "cameras": ("nsff.priors.canonical.stage:run_canonical", lambda c: (c.canonical,), "images",
                ["frames/00003.png", "raw_flow/00003_bwd.npz", "given/cameras.json"]),
    "motion": ("nsff.priors.motion.stage:run_motion", lambda c: (c.motion,), "motion_masks",
               ["flow/00002_fwd.npz", "cameras.json"]),
    "depth": ("nsff.priors.depth.stage:run_depth", lambda c: (c.depth,), "depth",
              ["points.npz", "motion_masks/00002.png"]),
    "features": ("nsff.priors.features.stage:run_features", lambda c: (c.features,), "features", ["images/00004.png"]),
    "train": ("nsff.training.run:run_train", lambda c: (c,), "model",
              ["depth/00004.npz", "features/features.npy", "features/saliency.npy"]),
    "maps": ("nsff.rendering.maps:run_maps", lambda c: (c.render,), "maps",
             ["model/model.safetensors", "model/model.json"]),
    "cluster": ("nsff.decompose.clustering:run_cluster",
                lambda c: (c.decompose.model_copy(update={"method": "clusters"}),), "clusters",
                ["maps/3_features.npy", "maps/3_sal.png", "maps/views.json"]),
    "postprocess": ("nsff.decompose.postprocess:run_postprocess", lambda c: (c.decompose,), "masks",
                    ["clusters/merged/3.png", "clusters/clusters.json"]),
    "crf": ("nsff.decompose.crf:run_crf", lambda c: (c.crf,), "masks_crf", ["masks/3.png"]),
    "score": ("nsff.metrics.score:run_score", lambda c: (c,), "scores.csv", ["pixel_map.npz", "masks_crf/3.png"]),
}  # fmt: skip
PLACES = [(stage, file) for stage, (*_, files) in STAGES.items() for file in files]


# --- faults that any file can have ------------------------------------------------------------------------------------
def removed(path):
    path.unlink()


def emptied(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def folder(path):
    path.unlink()
    path.mkdir()


def exchanged(path):
    """The content of the neighbouring frame's file, as after a wrong copy."""
    others = [p for p in sorted(path.parent.glob(f"*{path.suffix}")) if p.name[-8:] == path.name[-8:] and p != path]
    others = others or [p for p in sorted(path.parent.glob(f"*{path.suffix}")) if p != path]
    if not others or path.suffix == ".json":
        pytest.skip("the only file of its kind")
    shutil.copy(others[0], path)


def one_too_many(path):
    shutil.copy(path, path.with_name(f"99999{path.suffix}"))


# --- faults that only whole files of another content have -------------------------------------------------------------
def changed(path, change):
    """Every array of a file after ``change``, which gives None for arrays that it leaves alone."""
    if path.suffix == ".npy":
        np.save(path, change(np.load(path)))
    elif path.suffix == ".npz":
        arrays = dict(np.load(path))
        np.savez(path, **{name: _or(change(array), array) for name, array in arrays.items()})
    elif path.suffix == ".safetensors":
        arrays = load_file(path)
        save_file({name: _or(change(array), array) for name, array in arrays.items()}, path)
    elif path.suffix == ".png":
        image = change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    else:
        pytest.skip("no array")


def _or(new, old):
    return old if new is None else new


def another_shape(path):
    if path.name == "points.npz" or path.parent.name == "maps":
        pytest.skip("fewer points are points too, and maps are enlarged")
    changed(path, lambda array: array[: max(1, len(array) - 1)] if array.ndim else array)


def another_type(path):
    if path.suffix == ".png":
        changed(path, lambda image: np.stack([image] * 3, 2) if image.ndim == 2 else image[..., 0])
        if path.parent.name in ("frames", "images"):
            pytest.skip("grey pictures are read as colours")
    else:
        changed(path, lambda array: np.full(array.shape, "x") if path.suffix != ".safetensors" else array[..., None])


def not_finite(path):
    if path.suffix == ".png":
        pytest.skip("whole numbers")

    def change(array):
        if array.dtype.kind != "f":
            return array
        array = array.copy()
        array.flat[min(7, array.size - 1)] = np.nan
        return array

    changed(path, change)


@pytest.fixture(scope="module")
def copy(finished, tmp_path_factory):
    """One copy of the finished scene for all faults, each of which is mended again."""
    project = finished.copy(tmp_path_factory.mktemp("faults"))
    config = load_config(project.config, project.folder)[finished.scene]
    return project.folder, Path("results") / finished.scene, config


@pytest.fixture
def refused(copy, monkeypatch):
    """A function that tries a stage on a copy of the scene with one file at fault, and gives the error."""
    project, root, config = copy
    monkeypatch.chdir(project)

    def attempt(stage, file, fault, records):
        place, arguments, output, _ = STAGES[stage]
        aside, target = Path("aside"), root / output
        os.rename(target, aside)
        beside = root / Path(file).parts[0] if len(Path(file).parts) > 1 else None
        held = Path("held")
        shutil.copytree(beside, held) if beside else shutil.copy(root / file, held)
        if not records:
            os.rename(root / CHECKSUM_FOLDER, "records")
        state = root / "state"
        if state.exists() and stage == "train":
            os.rename(state, "state")
        try:
            fault(root / file)
            module, function = place.split(":")
            with pytest.raises(NsffError) as caught:
                getattr(importlib.import_module(module), function)(Scene(root), *arguments(config))
            assert not target.exists()
            assert [path for path in root.rglob(".tmp*")] == []
            return caught.value
        finally:
            if target.exists():
                shutil.rmtree(target) if target.is_dir() else target.unlink()
            os.rename(aside, target)
            if beside:
                shutil.rmtree(beside)
                os.rename(held, beside)
            else:
                shutil.rmtree(root / file) if (root / file).is_dir() else (root / file).unlink(missing_ok=True)
                os.rename(held, root / file)
            if not records:
                shutil.rmtree(root / CHECKSUM_FOLDER, ignore_errors=True)
                os.rename("records", root / CHECKSUM_FOLDER)
            if Path("state").exists():
                shutil.rmtree(state, ignore_errors=True)
                os.rename("state", state)

    return attempt


def names(error, file):
    return Path(file).name in str(error) or str(Path(file).parent) in error.subject


@pytest.mark.parametrize("fault", [removed, emptied, cut, flipped, folder, exchanged], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("stage", "file"), PLACES)
def test_files_that_changed_are_named(refused, stage, file, fault):
    error = refused(stage, file, fault, records=True)
    assert names(error, file)
    assert error.remedy


@pytest.mark.parametrize("fault", [another_shape, another_type, not_finite], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("stage", "file"), PLACES)
def test_contents_that_do_not_fit_are_named_without_records(refused, stage, file, fault):
    error = refused(stage, file, fault, records=False)
    assert names(error, file)
    assert error.remedy


@pytest.mark.parametrize(("stage", "file"), [place for place in PLACES if len(Path(place[1]).parts) > 1])
def test_one_file_too_many_is_named(refused, stage, file):
    error = refused(stage, file, one_too_many, records=True)
    assert "99999" in str(error)
