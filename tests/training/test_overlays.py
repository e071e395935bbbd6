"""Every overlay trains on top of SAFF's preset: rays and samples are reduced, nothing else."""

import numpy as np
import pytest

from nsff.config import resolve_scene
from nsff.config.overlays import OVERLAYS
from nsff.training.run import run_train

CHANGING = [name for name, sections in OVERLAYS.items() if {"field", "losses", "train"} & set(sections)]


@pytest.mark.parametrize("name", CHANGING)
def test_every_overlay_trains_two_steps(tiny_scene, name):
    scene = tiny_scene()
    own = {
        "input": {"path": "x"}, "overlays": [name], "sampling": {"samples": 8},
        "train": {"steps": 2, "rays": 24, "log_every": 1, "tensorboard": False, "device": "cpu"},
    }  # fmt: skip
    config = resolve_scene("tiny", own, "saff", {})
    run_train(scene, config)
    rows = [line.split(",") for line in (scene.model_dir / "history.csv").read_text().splitlines()[1:]]
    assert all(np.isfinite(float(value)) for _, _, value in rows)
    terms = {term for _, term, _ in rows}
    assert ("loss/features" in terms) == config.field.features
    assert ("loss/saliency" in terms) == config.field.saliency
    assert ("loss/depth" in terms) == ("nodep" not in name)
    assert ("loss/entropy" in terms) == ("norig" not in name and name != "additive")
