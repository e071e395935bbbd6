"""A scene of Gaussians as a scene model: made, trained, drawn, read and written."""

import numpy as np
import pytest
import torch

from nsff.config import resolve_scene
from nsff.decompose.clustering import run_cluster
from nsff.decompose.extract import run_extract
from nsff.decompose.point_clusters import run_points
from nsff.decompose.postprocess import run_postprocess
from nsff.models.base import Camera
from nsff.models.files import load_model
from nsff.models.gaussians.growth import Growth
from nsff.models.gaussians.options import Options
from nsff.models.supervision import TrainingData
from nsff.rendering.maps import run_maps
from nsff.training.execution import make_optimiser
from nsff.training.run import build_model, run_train

OWN = {
    "input": {"path": "x"},
    "model": {"kind": "gaussians", "options": {"static_spacing": 1}},
    "train": {"steps": 60, "steps_for_frames": 0, "device": "cpu", "log_every": 10, "tensorboard": False},
    "decompose": {"max_clusters": 4, "restarts": 1, "point_interval": 1, "point_opacity": 0.2, "source": "points"},
    "extract": {"enabled": True, "point_opacity": 0.2},
}


def config_with(**train):
    return resolve_scene("tiny", {**OWN, "train": {**OWN["train"], **train}}, "fast", {})


@pytest.fixture
def made(tiny_scene):
    """A model before training with its data and configuration."""
    scene, config = tiny_scene(5), config_with()
    data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
    return build_model(scene, config, data), data, config


def camera_of(data, frame=0):
    return Camera(data.intrinsics[frame], data.world_to_camera[frame], data.height, data.width)


def test_it_passes_through_training_maps_clusters_and_extraction(tiny_scene):
    scene, config = tiny_scene(6), config_with()
    run_train(scene, config)
    rows = [line.split(",") for line in (scene.model_dir / "history.csv").read_text().splitlines()]
    psnr = [float(row[2]) for row in rows if row[1] == "psnr"]
    assert psnr[-1] > psnr[0] + 1
    assert run_maps(scene, config.render)["views"] == 6
    assert run_points(scene, config.decompose)["points"] > 0
    run_cluster(scene, config.decompose)
    run_postprocess(scene, config.decompose)
    run_extract(scene, config.extract)


def test_before_training_it_shows_the_frames_that_it_was_made_of(made):
    model, data, _ = made
    for frame in range(data.n_frames):
        maps = model.render(camera_of(data, frame), float(frame), ("rgb", "depth", "blend"))
        image = data.images[frame].float() / 255
        assert float((maps["rgb"] - image).abs().mean()) < 0.1
        median = float((maps["depth"] * data.disparity[frame]).median())
        assert median == pytest.approx(1, abs=0.02)
        moving = data.moving[frame]
        assert float(maps["blend"][moving].mean()) > 0.8 > 0.2 > float(maps["blend"][~moving].mean())


def test_what_is_read_back_draws_the_same_to_the_bit(made, tmp_path):
    model, data, _ = made
    content = model.save(tmp_path)
    again = type(model).load(tmp_path, content)
    for name in sorted(model.outputs):
        one, two = (m.render(camera_of(data, 1), 1.5, (name,))[name] for m in (model, again))
        assert torch.equal(one.nan_to_num(-1), two.nan_to_num(-1)), name


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_pictures_do_not_depend_on_the_unit_of_the_world(tiny_scene, unit):
    scene, config = tiny_scene(4), config_with()
    pictures = []
    for factor in (1.0, unit):
        data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
        data.world_to_camera[:, :, 3] *= factor
        data.disparity /= factor
        model = build_model(scene, config, data)
        maps = model.render(camera_of(data, 2), 2.0, ("rgb", "depth", "moved_post"))
        pictures.append((maps["rgb"], maps["depth"] / factor, maps["moved_post"].nan_to_num() / factor))
    for one, two in zip(*pictures, strict=True):
        torch.testing.assert_close(one, two, rtol=2e-3, atol=2e-3)


def test_a_training_that_was_interrupted_ends_the_same(tiny_scene, tmp_path):
    whole, config = tiny_scene(4), config_with(steps=50, checkpoint_every=30)
    run_train(whole, config)
    tensors = load_model(whole.model_dir, "cpu").state_dict()
    from nsff.training.checkpoints import CheckpointStore
    from nsff.training.trainer import Trainer

    store, ends = CheckpointStore(tmp_path / "state", "x"), []
    for last in (31, 50):
        part = config.model_copy(update={"train": config.train.model_copy(update={"steps": 50})})
        data = TrainingData(whole, part.field, part.train, 0.5, torch.device("cpu"))
        trainer = Trainer(build_model(whole, part, data), data, part, store)
        trainer.resume()
        while trainer.step < last:
            trainer.one_step()
            if trainer.step == 30:
                store.save(trainer.step, trainer.state())
        ends.append(trainer.model.state_dict())
    for name, value in tensors.items():
        assert torch.equal(value, ends[1][name]), name


def test_pruning_and_splitting_keep_moments_with_their_gaussians(made):
    model, data, config = made
    model.start_training(data, config)
    optimiser = make_optimiser(model.parameter_groups())
    terms, _ = model.losses(model.sample_batch(0, torch.Generator()), 0, torch.Generator())
    torch.stack(list(terms.values())).sum().backward()
    optimiser.step()
    cloud, options = model.static, Options(growths=1, grow_until=0.01, grow_threshold=1e-9, prune_opacity=0.5)
    with torch.no_grad():
        cloud.opacity_logit[::3] = -5
    before = {name: value.detach().clone() for name, value in cloud.rows()}
    moments = optimiser.state[cloud.raw_colour]["exp_avg"].clone()
    kept = cloud.opacity.detach() >= 0.5
    most = int(kept.sum()) + 7
    assert Growth(model, options, 100, most).after_step(0, optimiser)
    count = int(kept.sum())
    assert len(cloud) == most
    assert torch.equal(cloud.raw_colour[:count], before["raw_colour"][kept])
    after = optimiser.state[cloud.raw_colour]["exp_avg"]
    assert torch.equal(after[:count], moments[kept])
    assert not after[count:].any()
    optimiser.zero_grad()
    terms, _ = model.losses(model.sample_batch(1, torch.Generator()), 1, torch.Generator())
    torch.stack(list(terms.values())).sum().backward()
    optimiser.step()


def test_objects_alone_add_up_to_the_picture_where_nothing_is_hidden(made):
    model, data, _ = made
    camera = camera_of(data, 2)

    def numbering(points):
        return (points.motion.norm(dim=1) > 0).long().numpy() + 1

    parts = model.render_parts(camera, 2.0, numbering, 2, occluded=False)
    maps = model.render(camera, 2.0, ("rgb", "opacity"))
    total = sum(parts.rgba[n][..., :3] * parts.rgba[n][..., 3:] for n in (1, 2))
    left = (1 - maps["opacity"])[..., None] * model.background
    np.testing.assert_allclose(total, (maps["rgb"] - left).detach().numpy(), atol=1e-4)
    assert parts.seen == pytest.approx(1, abs=1e-4)


def test_splats_are_what_is_drawn(made):
    """A picture of the arrays that files get, by a rasteriser of its own, equals the model's."""
    from nsff.models.gaussians import splats
    from nsff.models.gaussians.twin import rasterise

    model, data, _ = made
    scene, time = model.splats(lambda points: (points.moving.long() * 3).numpy()), 1.5
    assert set(scene.static.objects) == {0}
    assert set(scene.moving.objects) == {3}
    now = scene.at(time)
    tensors = [torch.from_numpy(getattr(now, n)) for n in ("means", "quaternions", "scales", "opacities", "colours")]
    camera = splats.Camera(data.intrinsics[1], data.world_to_camera[1], data.height, data.width)
    drawn = rasterise(splats.Splats(*tensors), camera)
    picture = model.render(camera_of(data, 1), time)["rgb"].detach()
    expected = drawn.values + (1 - drawn.alpha[..., None]) * model.background.detach()
    torch.testing.assert_close(picture, expected, atol=2e-3, rtol=0)


def test_the_scene_without_what_moves_is_its_static_part(made):
    model, data, _ = made
    rest = model.without(lambda points, time: points.moving.numpy())
    camera = camera_of(data, 2)
    one = rest.render(camera, 2.0)["rgb"]
    torch.testing.assert_close(one, model.render(camera, 2.0, ("static_rgb",))["static_rgb"], atol=1e-5, rtol=0)
    assert float((one - model.render(camera, 2.0)["rgb"]).abs().max()) > 0.1
