"""A kind of model that is one folder: toy_points passes through every stage that asks a model for something."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from nsff.config import resolve_scene
from nsff.decompose.clustering import run_cluster
from nsff.decompose.crf import run_crf
from nsff.decompose.extract import run_extract
from nsff.decompose.point_clusters import run_points
from nsff.decompose.postprocess import run_postprocess
from nsff.errors import ConfigError, StageError
from nsff.metrics.score import run_score
from nsff.models import registry
from nsff.models.files import load_model
from nsff.models.registry import kinds, register
from nsff.rendering.maps import run_maps
from nsff.rendering.videos import run_render
from nsff.report.page import run_report
from nsff.training.run import run_train

sys.path.insert(0, str(Path(__file__).parent))

OWN = {
    "input": {"path": "x"},
    "model": {"kind": "toy_points", "options": {"count": 100}},
    "evaluation": [{"protocol": "self"}],
    "train": {
        "steps": 300, "steps_for_frames": 0, "device": "cpu", "log_every": 50, "tensorboard": False, "hold_out": 4,
        "preview_every": 150,
    },
    "render": {"frames": 3, "maps": ["saliency", "features"], "pictures": True},
    "decompose": {"max_clusters": 4, "restarts": 1, "point_interval": 1, "point_opacity": 0.2},
    "extract": {"enabled": True, "point_opacity": 0.2},
    "score": {"refine_steps": 2, "refine_rays": 64, "lpips": False},
    "report": {"frames": 2, "width": 96},
}  # fmt: skip


@pytest.fixture(autouse=True)
def registered():
    register("toy_points", "toy_points")


def test_it_passes_through_every_stage(tiny_scene):
    scene, config = tiny_scene(6), resolve_scene("tiny", OWN, "demo_planes", {})
    summary = run_train(scene, config)
    history = (scene.model_dir / "history.csv").read_text().splitlines()
    psnr = [float(line.split(",")[2]) for line in history if "psnr" in line]
    assert psnr[-1] > psnr[0] + 1
    assert summary["parameters"] > 100 * (3 + 3 + 3)
    content = json.loads((scene.model_dir / "model.json").read_text())
    assert (content["kind"], content["count"], content["hold_out"]) == ("toy_points", 100, 4)
    assert len(list((scene.state_dir / "previews").iterdir())) == 2
    for path in ("view", "time", "spacetime"):
        assert run_render(scene, config.render, path)["frames"] == 3
        assert np.load(scene.renders_dir / f"{path}_maps" / "features" / "00001.npy").shape == (24, 32, 64)
    assert run_maps(scene, config.render)["views"] == 6
    assert run_points(scene, config.decompose)["points"] > 0
    for source in ("rendered", "points"):
        decompose = config.decompose.model_copy(update={"source": source})
        run_cluster(scene, decompose)
    run_postprocess(scene, decompose)
    run_crf(scene, config.crf)
    assert (scene.root / "masks_crf" / "0.png").exists()
    run_extract(scene, config.extract)
    assert cv2.imread(str(scene.extracted_dir / "2_rgba.png"), cv2.IMREAD_UNCHANGED).shape == (24, 32, 4)
    assert run_score(scene, config)["protocols"]["self"]["views"] >= 1
    assert "psnr" in scene.scores_path.read_text()
    run_report(scene, config)
    assert "toy_points" in scene.report_path.read_text()


def test_points_without_a_camera_are_all_that_are_dense(tiny_scene):
    scene = tiny_scene(3)
    run_train(scene, resolve_scene("tiny", OWN | {"train": OWN["train"] | {"steps": 2}}, "demo_planes", {}))
    model = load_model(scene.model_dir, "cpu")
    (everything,) = model.points(1.0, threshold=0.0)
    assert everything.positions.shape == (100, 3)
    assert everything.pixel is None


def test_a_training_of_it_goes_on(tiny_scene):
    """With the state and the settings of its own."""
    scene = tiny_scene(3)
    short = OWN | {"train": OWN["train"] | {"steps": 4, "keep_state": True, "preview_every": 0}}
    run_train(scene, resolve_scene("tiny", short, "demo_planes", {}))
    first = (scene.model_dir / "model.safetensors").read_bytes()
    run_train(scene, resolve_scene("tiny", short, "demo_planes", {}))
    assert (scene.model_dir / "model.safetensors").read_bytes() == first
    other = short | {"model": {"kind": "toy_points", "options": {"count": 50}}}
    run_train(scene, resolve_scene("tiny", other, "demo_planes", {}))
    assert json.loads((scene.model_dir / "model.json").read_text())["count"] == 50


def test_what_the_configuration_may_say():
    assert {"ray_fields", "toy_points"} <= set(kinds())
    for model, message in (
        ({"kind": "ray_field"}, r"did you mean 'ray_fields'\?"),
        ({"kind": "toy_points", "options": {"size": 1}}, r"options\.size: unknown key"),
        ({"options": {"count": 1}}, "unknown key"),
        ({"kind": "nowhere.at_all"}, "no package nowhere"),
    ):
        with pytest.raises(ConfigError, match=message):
            resolve_scene("tiny", {"input": {"path": "x"}, "model": model}, "demo_planes", {})


def test_kinds_of_installed_packages_and_of_any_package(monkeypatch):
    """An entry point by its name, and a package that Python can import by its own."""
    monkeypatch.setattr(registry, "_entry_points", lambda: {"dots": "toy_points", "ray_fields": "toy_points"})
    assert registry.options_class("dots").model_fields.keys() == {"count", "rate"}
    assert registry.options_class("tests.models.toy_points").model_fields.keys() == {"count", "rate"}
    assert not registry.options_class("ray_fields").model_fields  # ours is not replaced
    config = resolve_scene("tiny", {"input": {"path": "x"}, "model": {"kind": "dots"}}, "demo_planes", {})
    assert config.model.kind == "dots"


def test_models_of_before_there_were_kinds(tiny_scene):
    scene = tiny_scene(3)
    own = {"input": {"path": "x"}, "train": {"steps": 1, "rays": 8, "device": "cpu", "tensorboard": False}}
    run_train(scene, resolve_scene("tiny", own, "demo_planes", {}))
    file = scene.model_dir / "model.json"
    content = json.loads(file.read_text())
    assert content.pop("kind") == "ray_fields"
    file.write_text(json.dumps(content))
    (scene.root / "checksums" / "model.json").unlink()
    assert load_model(scene.model_dir, "cpu").kind == "ray_fields"
    file.write_text(json.dumps(content | {"kind": 7}))
    with pytest.raises(StageError, match=r"model\.json: holds a model of kind 7"):
        load_model(scene.model_dir, "cpu")
