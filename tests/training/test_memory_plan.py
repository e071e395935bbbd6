"""Memory planned before training: the arithmetic by hand, and parts that add up to the whole batch."""

from dataclasses import replace

import pytest
import torch

from nsff.config import TrainConfig, resolve_scene
from nsff.errors import StageError
from nsff.machine import gpu_memory
from nsff.machine.gpu_memory import within_cap
from nsff.models.base import BatchIndex
from nsff.models.ray_fields.objective import Objective
from nsff.models.ray_fields.training import micro_batch_settings
from nsff.models.supervision import TrainingData
from nsff.training.checkpoints import CheckpointStore
from nsff.training.memory_plan import MARGIN, Need, line, measured, plan, planned_micro_batches
from nsff.training.micro_batches import Mean
from nsff.training.run import build_model
from nsff.training.trainer import Trainer

GB = 1e9
NEED = Need(stays=2 * GB, buffer=0.5 * GB, per_step=0.4 * GB, per_ray=0.001 * GB, margin=1.3, workspace=0)


# --- the arithmetic --------------------------------------------------------------------------------------------------
def test_a_line_through_two_steps():
    assert line((320, 1.0), (640, 1.5)) == pytest.approx((0.5, 0.5 / 320))
    assert line((320, 1.0), (640, 1.0)) == (1.0, 0.0)
    assert line((320, 1.0), (640, 3.0)) == (0.0, 2 / 320)  # a negative step of no rays is none
    assert line((320, 1.0), (640, 0.5)) == (1.0, 0.0)


def test_what_a_batch_needs():
    assert NEED.bytes(4000, 1) == pytest.approx((2 + 1.3 * (0.4 + 4)) * GB)  # 7.72
    assert NEED.bytes(4000, 2) == pytest.approx((2 + 0.5 + 1.3 * (0.4 + 2)) * GB)  # 5.62
    assert replace(NEED, workspace=0.1 * GB).bytes(4000, 1) == pytest.approx(7.82 * GB)
    assert NEED.bytes(4000, 3) == pytest.approx((2 + 0.5 + 1.3 * (0.4 + 1.334)) * GB)  # 4.754: the largest of 3 parts


@pytest.mark.parametrize(("available", "parts"), [
    (80, 1),
    (7.8, 1),
    (7.6, 2),
    (5.7, 2),
    (5.5, 4),  # 3 would fit, but 3000, 1000 and 500 rays have no thirds
    (4.4, 4),
    (4.0, 10),  # 6 would
])  # fmt: skip
def test_the_fewest_equal_parts_that_fit(available, parts):
    assert plan(NEED, TrainConfig(rays=3000, motion_rays=1000, warp_rays=500), available * GB) == parts


def test_parts_that_cannot_be_equal_are_nearly_so():
    # With the memory of two parts: 2.5 + 2.3 (0.4 + 0.8) is 5.26, and 2.5 + 2.3 (0.4 + 1) is 5.72.
    assert plan(NEED, TrainConfig(rays=3001, motion_rays=999, warp_rays=500), 5.5 * GB) == 5
    assert plan(NEED, TrainConfig(rays=3001, motion_rays=999, warp_rays=500), 7.8 * GB) == 1
    assert plan(NEED, TrainConfig(rays=4000, motion_rays=0, warp_rays=None), 5.5 * GB) == 4


def test_what_never_fits_is_said():
    with pytest.raises(StageError, match=r"needs 3\.0 GB at the least, and can have 2\.9 GB") as caught:
        plan(NEED, TrainConfig(rays=3000, motion_rays=1000), 2.9 * GB)
    assert "train.memory_gb" in caught.value.remedy


def test_a_cap_counts_what_is_held_already():
    assert within_cap(free=10, reserved=2, cap=24) == 12
    assert within_cap(free=10, reserved=2, cap=8) == 8
    assert within_cap(free=10, reserved=8, cap=8) == 8


# --- parts -----------------------------------------------------------------------------------------------------------
def test_shares_of_a_batch():
    batch = BatchIndex(torch.arange(9), 6)
    first, second = (batch.micro_batch(2, number) for number in (0, 1))
    assert (first.index.tolist(), first.main) == ([0, 2, 4, 6, 8], 3)
    assert (second.index.tolist(), second.main) == ([1, 3, 5, 7], 3)
    assert batch.micro_batch(1, 0).index.tolist() == list(range(9))
    assert micro_batch_settings(TrainConfig(warp_rays=500), 2).warp_rays == 250
    assert micro_batch_settings(TrainConfig(warp_rays=5), 2).warp_rays == 3
    assert micro_batch_settings(TrainConfig(warp_rays=None), 2).warp_rays is None


def test_the_mean_of_parts_is_taken_before_a_recording_overwrites_them():
    values = {name: torch.tensor(0.0) for name in ("rgb", "mse", "total")}
    outputs = {"terms": {"rgb": values["rgb"]}, "monitors": {"mse": values["mse"]}, "total": values["total"]}
    mean = Mean(2)
    for number in (1.0, 4.0):
        for place, name in enumerate(values):
            values[name].fill_(number + place)
        mean.add(outputs)
    found = mean.outputs()
    assert found == {"terms": {"rgb": 2.5}, "monitors": {"mse": 3.5}, "total": 4.5}


SETTINGS = {
    "input": {"path": "x"},
    # Terms that are means over rays or samples; the others are normalised by what a part has.
    "losses": {"w_warp": 0.0, "w_flow": 0.0, "w_cycle": 0.0, "w_depth": 0.0, "w_static_rgb": 0.0},
    "train": {"device": "cpu", "rays": 32, "motion_rays": 16, "warp_rays": 24, "tensorboard": False},
    "sampling": {"samples": 8, "coarse_samples": 8},
    "field": {"plane_resolutions": [16], "dynamic_resolutions": [16]},
}


class Exact(Objective):
    """In double precision, at the middles of intervals: the same of a ray in whatever part it is."""

    def __call__(self, batch, step, generator):
        for name, value in vars(batch).items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                setattr(batch, name, value.double())
        batch.rays.origins, batch.rays.directions = batch.rays.origins.double(), batch.rays.directions.double()
        return super().__call__(batch, step, None)


@pytest.fixture
def trainer(tiny_scene, tmp_path):
    config = resolve_scene("tiny", SETTINGS, "demo_planes", {})
    scene = tiny_scene()
    data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
    model = build_model(scene, config, data).double()
    trainer = Trainer(model, data, config, CheckpointStore(tmp_path / "state", "x"))
    model.learning.objective = Exact(model, data, config.losses, config.train)
    return trainer


@pytest.mark.parametrize("count", [2, 4, 8])
def test_micro_batches_add_up_to_the_whole_batch(trainer, count):
    execution = trainer.execution
    batch = trainer.model.sample_batch(0, execution.generator)
    assert (len(batch), batch.main) == (48, 32)
    whole = execution.backward(batch, 0)
    gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
    execution.clear_gradients()
    execution.split(count)
    added = execution.compute(batch, 0)
    assert added["terms"].keys() == whole["terms"].keys() >= {"rgb", "features", "surface", "smooth", "distortion"}
    for name, value in whole["terms"].items():
        torch.testing.assert_close(added["terms"][name], value, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(added["total"], whole["total"], rtol=1e-9, atol=0)
    torch.testing.assert_close(added["monitors"]["mse"], whole["monitors"]["mse"], rtol=1e-9, atol=0)
    assert sum(float(g.norm()) > 0 for g in gradients.values()) > 10
    for name, parameter in trainer.model.named_parameters():
        if name in gradients:
            torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-7, atol=1e-14)
        else:
            assert not parameter.grad.any()


# --- measuring -------------------------------------------------------------------------------------------------------
def test_measuring_changes_nothing_that_is_trained(trainer, monkeypatch):
    """With a device that takes 1000 bytes, 64 a step and 10 a ray."""
    peak, steps = [0.0], []
    execution = trainer.execution
    original = execution.backward

    def counted(batch, step):
        peak[0] = 1000 + 64 + 10 * len(batch)
        steps.append((len(batch), batch.main, step))
        return original(batch, step)

    monkeypatch.setattr(execution, "backward", counted)
    monkeypatch.setattr(gpu_memory, "_index", lambda device: 0)
    monkeypatch.setattr(gpu_memory, "_highest", {})
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peak[0])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peak.__setitem__(0, 0.0))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    before = execution.generator.get_state(), [p.detach().clone() for p in trainer.model.parameters()]
    parameters = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    need = measured(execution, trainer.config.train, trainer.data)
    # A sixteenth and an eighth of 32 and 16 rays, in the stage that has all terms.
    last = 2 * trainer.config.losses.decay_steps + 1
    assert steps == [(3, 2, last), (6, 4, last)]
    # Adam's two moments are still to come; the model is of double precision.
    assert need == Need(1000 + 2 * 8 * parameters, 8 * parameters, 64.0, 10.0, MARGIN)
    assert torch.equal(execution.generator.get_state(), before[0])
    assert all(map(torch.equal, trainer.model.parameters(), before[1]))
    assert all(p.grad is None for p in trainer.model.parameters())
    assert trainer.model.learning.objective.train.warp_rays == 24
    assert planned_micro_batches(execution, trainer.config.train, trainer.data) == (1, "")  # this is the CPU
    # What was measured on the way does not make the process forget its own peak.
    assert gpu_memory.peak_memory(trainer.device) == 1000 + 64 + 10 * 6


def test_batches_that_differ_in_size(trainer):
    """One frame at a time has at most its own moving pixels; a frame more than the fewest has."""
    data, train = trainer.data, trainer.config.train
    fewest = min(int(data.moving[i].sum()) for i in range(data.n_frames))
    assert not data.batches_differ(train)
    one = train.model_copy(update={"frames_per_batch": 1, "motion_rays": fewest})
    assert not data.batches_differ(one)
    assert data.batches_differ(one.model_copy(update={"motion_rays": fewest + 1}))
