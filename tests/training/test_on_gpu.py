"""Training on a GPU: every preset's terms, gradients and pictures as on the CPU; runs that go on."""

import gc
import re

import numpy as np
import pytest
import torch

from nsff.config import PRESETS, resolve_scene
from nsff.machine.gpu_memory import cap_memory, free_memory
from nsff.models.ray_fields.objective import Objective
from nsff.models.supervision import TrainingData
from nsff.rendering.renderer import Renderer
from nsff.training.checkpoints import CheckpointStore
from nsff.training.run import build_model, run_train
from nsff.training.trainer import Trainer

RAY_FIELDS = sorted(set(PRESETS) - {"demo", "gaussians", "planes"})
"""Presets of ray fields; planes is what fast is."""

SMALL = {
    "train": {"steps": 4, "steps_for_frames": 0, "rays": 40, "motion_rays": 16, "warp_rays": 24, "log_every": 1}
    | {"tensorboard": False},
    "sampling": {"samples": 12, "coarse_samples": 12},
    "losses": {"decay_steps": 1},
}


class KilledError(Exception):
    pass


def logged(scene, name):
    lines = scene.path("model", "history.csv").read_text().splitlines()
    return [float(line.split(",")[2]) for line in lines if line.split(",")[1] == name]


def settings(preset, device, **train):
    own = {"input": {"path": "x"}, **SMALL, "train": SMALL["train"] | {"device": device, "precision": "fp32"} | train}
    return resolve_scene("tiny", own, preset, {})


def terms_and_gradients(scene, preset, device, step):
    """Terms of one batch without randomness (samples in the middles, no noise), and the gradient of every parameter."""
    config = settings(preset, device)
    data = TrainingData(scene, config.field, config.train, config.sampling.pixel_centre, torch.device(device))
    model = build_model(scene, config, data).to(device)
    height, width = scene.size
    index = torch.from_numpy(np.random.default_rng(3).integers(0, len(data.images) * height * width, 56)).to(device)
    objective = Objective(model, data, config.losses, config.train)
    terms, _ = objective(data.gather(index, 40), step, None)
    torch.stack(list(terms.values())).sum().backward()
    gradients = {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}
    return {name: float(value.detach()) for name, value in terms.items()}, gradients, model


def same_as_on_the_cpu(scene, preset, device):
    torch.set_float32_matmul_precision("highest")
    for step in (0, 5):  # the first stage, and the one with masks and five frames
        expected, expected_gradients, _ = terms_and_gradients(scene, preset, "cpu", step)
        found, gradients, _ = terms_and_gradients(scene, preset, device, step)
        assert found.keys() == expected.keys()
        assert len(found) > 5
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=2e-3, abs=1e-7), name
        assert gradients.keys() == expected_gradients.keys()
        for name, value in expected_gradients.items():
            error = float((gradients[name] - value).norm() / value.norm().clamp(min=1e-7))
            assert error < 2e-2, name


@pytest.mark.gpu
@pytest.mark.parametrize("preset", RAY_FIELDS)
def test_terms_and_gradients_as_on_the_cpu(tiny_scene, preset):
    same_as_on_the_cpu(tiny_scene(), preset, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("preset", ["fast", "saff"])
def test_pictures_as_on_the_cpu(tiny_scene, preset):
    scene = tiny_scene()
    model = terms_and_gradients(scene, preset, "cpu", 0)[2]
    camera = scene.cameras.intrinsics[1], scene.cameras.world_to_camera[1], *scene.size
    outputs = ("rgb", "depth", "blend", "saliency", "features")
    expected = Renderer(model).render(*camera, 1.0, outputs)
    between = Renderer(model).render_between(*camera, 1.5, "depth_planes")
    model.cuda()
    for chunk in (0, 100):
        found = Renderer(model, chunk).render(*camera, 1.0, outputs)
        for name in outputs:
            torch.testing.assert_close(found[name], expected[name], atol=2e-3, rtol=2e-3)
    # With cupy where it is installed.
    torch.testing.assert_close(
        Renderer(model).render_between(*camera, 1.5, "depth_planes"), between, atol=5e-3, rtol=5e-3
    )


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_it_trains_in_every_precision(tiny_scene, precision):
    scene = tiny_scene()
    config = settings("fast", "cuda", precision=precision, steps=200)
    summary = run_train(scene, config)
    assert summary["device"].startswith("cuda")
    values = logged(scene, "psnr")
    assert np.mean(values[-20:]) > np.mean(values[:20]) + 2


@pytest.mark.gpu
def test_a_run_goes_on_where_it_stopped(tiny_scene, monkeypatch):
    """Atomic additions make repeated runs differ by rounding, so that losses agree closely, not to the bit."""
    config = settings("saff", "cuda", steps=6, checkpoint_every=3)
    whole, broken = tiny_scene(name="whole"), tiny_scene(name="broken")
    run_train(whole, config)
    original = Trainer.one_step

    def die_in_step_five(self, log=False):
        if self.step == 4:
            raise KilledError
        return original(self, log)

    monkeypatch.setattr(Trainer, "one_step", die_in_step_five)
    with pytest.raises(KilledError):
        run_train(broken, config)
    monkeypatch.setattr(Trainer, "one_step", original)
    run_train(broken, config)
    np.testing.assert_allclose(logged(broken, "loss/total"), logged(whole, "loss/total"), rtol=1e-2)
    assert len(logged(broken, "loss/total")) == 6


@pytest.mark.gpu
@pytest.mark.parametrize("parts", [1, 2])
def test_planes_that_wait_are_the_same_recorded_and_not(tiny_scene, tmp_path, parts):
    """6 frames, meant for 2: updates at every third step, of which three are replayed."""
    scene, planes = tiny_scene(6), {}
    for recorded in (True, False):
        config = settings("fast", "cuda", steps=30, steps_for_frames=2, cuda_graphs=recorded)
        data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cuda"))
        store = CheckpointStore(tmp_path / "state", "x")
        trainer = Trainer(build_model(scene, config, data).cuda(), data, config, store)
        trainer.execution.split(parts)
        start = trainer.model.dynamic.planes[0].detach().clone()
        for step in range(30):
            before = trainer.model.dynamic.planes[0].detach().clone()
            trainer.one_step()
            changed = not torch.equal(before, trainer.model.dynamic.planes[0])
            assert changed == (step % 3 == 2), step
        planes[recorded] = trainer.model.dynamic.planes[0].detach() - start
    agree = torch.nn.functional.cosine_similarity(planes[True].flatten(), planes[False].flatten(), dim=0)
    assert float(agree) > 0.9  # Adam takes the sign of what is next to nothing, so that rounding shows


@pytest.mark.gpu
@pytest.mark.parametrize("recorded", [True, False])
def test_a_batch_that_does_not_fit_is_trained_in_parts(tiny_scene, capsys, recorded):
    """Many more rays than 4 GB hold, with the preset's own samples."""
    scene, device = tiny_scene(), torch.device("cuda")
    train = {"device": "cuda", "memory_gb": 4.0, "rays": 65536, "motion_rays": 0, "warp_rays": 16384, "steps": 12}
    train |= {"log_every": 1, "tensorboard": False, "cuda_graphs": recorded, "steps_for_frames": 0}
    own = {"input": {"path": "x"}, "train": train, "losses": {"decay_steps": 2}}  # all stages there are
    gc.collect()  # trainers of other tests, whose recordings keep memory of their own
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        run_train(scene, resolve_scene("tiny", own, "fast", {}))
        assert torch.cuda.max_memory_reserved() <= 4e9
        assert free_memory(device) <= 4e9 - torch.cuda.memory_reserved()
    finally:
        cap_memory(device, None)
    found = re.search(r"rays 65536 in (\d+) micro-batches: ([\d.]+) of ([\d.]+) GB", capsys.readouterr().out)
    assert found
    assert int(found[1]) > 1
    assert float(found[2]) <= float(found[3]) <= 4.0
    assert len(logged(scene, "loss/total")) == 12
    assert np.isfinite(logged(scene, "loss/total")).all()


@pytest.mark.gpu
def test_what_fits_is_trained_whole(tiny_scene, capsys):
    run_train(tiny_scene(), settings("fast", "cuda"))
    assert "rays 56 in 1 micro-batch: " in capsys.readouterr().out


@pytest.mark.gpu
def test_gradients_added_in_place_are_those_of_autograd(tiny_scene, tmp_path):
    """The planes' own kernels add to the buffer; without the attribute autograd adds up as ever."""
    scene = tiny_scene()
    config = settings("fast", "cuda", precision="fp32")
    data = TrainingData(scene, config.field, config.train, config.sampling.pixel_centre, torch.device("cuda"))
    trainer = Trainer(build_model(scene, config, data).cuda(), data, config, CheckpointStore(tmp_path, "test"))
    execution = trainer.execution
    assert execution.gradients is not None
    batch, step = trainer.model.heaviest_batch(execution.generator)
    state = execution.generator.get_state()

    def gradients():
        execution.generator.set_state(state)
        execution.clear_gradients()
        execution.backward(batch, step)
        return execution.gradients.flat.clone()

    found = gradients()
    for parameter in trainer.model.parameters():
        parameter.gradient_stays = False
    expected = gradients()
    assert float((found - expected).norm() / expected.norm()) < 1e-4
    assert float(expected.norm()) > 0
