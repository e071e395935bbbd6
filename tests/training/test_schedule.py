"""Longer clips train longer and shorter ones less long, by hand, and in a training."""

import json

import pytest
import torch

from nsff.config import resolve_scene
from nsff.config.changes import with_changes
from nsff.models.ray_fields.gradient_accumulation import steps_between
from nsff.models.supervision import TrainingData
from nsff.training.checkpoints import CheckpointStore
from nsff.training.run import build_model, run_train
from nsff.training.schedule import for_frames
from nsff.training.trainer import Trainer


def settings(preset, **train):
    small = {"sampling": {"samples": 8, "coarse_samples": 8}} if train else {}
    return resolve_scene("tiny", {"input": {"path": "x"}, "train": train, **small}, preset, {})


@pytest.mark.parametrize(
    ("frames", "steps", "decay"),
    [(5, 3000, 1000), (12, 3000, 1000), (18, 4500, 1500), (24, 6000, 2000), (200, 50_000, 16_667)],
)
def test_steps_go_by_the_number_of_frames(frames, steps, decay):
    config = settings("fast")
    found = for_frames(config, frames)
    assert (found.train.steps, found.train.learning_rate_decay_steps, found.losses.decay_steps) == (steps, steps, decay)
    assert found.train.checkpoint_every == config.train.checkpoint_every
    assert found.losses.w_rgb == config.losses.w_rgb


def test_steps_that_a_user_sets_go_by_the_number_of_frames_too():
    assert for_frames(settings("fast", steps=99), 5).train.steps == 50
    assert for_frames(settings("fast", steps=1), 5).train.steps == 1
    assert for_frames(settings("fast", steps=99), 24).train.steps == 99
    assert for_frames(settings("fast", steps=99), 48).train.steps == 198
    assert for_frames(settings("fast", steps=99, steps_for_frames=0), 48).train.steps == 99


def test_preset_demo_trains_clips_of_any_length_alike():
    config = settings("demo_planes")
    assert for_frames(config, 1000) == config


# min(250, max(decay_iteration, end_frame - start_frame)) thousand, decay_iteration 25 in NSFF's files and 30 in SAFF's.
@pytest.mark.parametrize(("preset", "frames", "decay"), [
    ("nsff", 2, 25_000), ("nsff", 24, 25_000), ("nsff", 26, 26_000), ("nsff", 60, 60_000), ("nsff", 250, 250_000),
    ("nsff", 400, 250_000), ("saff", 24, 30_000), ("saff", 48, 48_000), ("saff", 60, 60_000), ("saff", 251, 250_000),
])  # fmt: skip
def test_the_published_decay_goes_by_the_number_of_frames(preset, frames, decay):
    config = settings(preset)
    found = for_frames(config, frames)
    assert found.losses.decay_steps == decay
    assert found.train == config.train
    assert found.losses.model_copy(update={"decay_steps": config.losses.decay_steps}) == config.losses
    assert for_frames(found, frames) == found


def decays(frames, *, sections=None, overlays=(), **losses):
    own = {"input": {"path": "x"}, "losses": losses}
    return for_frames(resolve_scene("a", own, "nsff", sections or {}, overlays), frames).losses.decay_steps


def test_a_decay_period_that_a_user_sets_counts_as_it_is():
    assert decays(60, decay_steps=400) == 400
    assert decays(60, decay_steps=400, decay_by_frames=True) == 60_000
    assert decays(60, sections={"losses": {"decay_steps": 500}}) == 500
    assert decays(60, sections={"losses": {"decay_steps": 500, "decay_by_frames": True}}, decay_steps=400) == 400
    assert decays(60, w_rgb=2.0) == 60_000
    # An overlay stands for a published file: the period of Jumping is raised as any other.
    assert [decays(frames, overlays=["nsff_jumping"]) for frames in (24, 60)] == [48_000, 60_000]


def test_changes_on_a_command_line_are_a_users_too():
    whole = settings("nsff").model_dump()

    def changed(*changes):
        return for_frames(resolve_scene("a", with_changes(whole, changes), "nsff", {}), 60).losses.decay_steps

    assert changed() == 60_000
    assert changed("losses.decay_steps=9") == 9
    for both in (["losses.decay_steps=9", "losses.decay_by_frames=true"],
                 ["losses.decay_by_frames=true", "losses.decay_steps=9"]):  # fmt: skip
        assert changed(*both) == 60_000


def test_the_summary_of_a_training_tells_the_decay(tiny_scene):
    """Of a clip of 27 frames, in preset nsff; and that of a user, which says nothing of frames."""
    scene = tiny_scene(27, 12, 16)
    small = {
        "input": {"path": "x"}, "sampling": {"samples": 4}, "field": {"width": 8, "depth": 2},
        "train": {"steps": 1, "rays": 8, "motion_rays": 4, "device": "cpu", "tensorboard": False},
    }  # fmt: skip
    summary = run_train(scene, resolve_scene("tiny", small, "nsff", {}))
    assert summary["decay_steps"] == 27_000
    assert "Weights decay every 27000 steps, by the clip's 27 frames." in summary["message"]
    summary = run_train(scene, resolve_scene("tiny", small | {"losses": {"decay_steps": 7}}, "nsff", {}))
    assert summary["decay_steps"] == 7 and "decay" not in summary["message"]


def test_a_training_of_a_longer_clip(tiny_scene):
    scene = tiny_scene(5)
    train = {"steps": 2, "steps_for_frames": 2, "rays": 24, "motion_rays": 8, "device": "cpu", "tensorboard": False}
    summary = run_train(scene, settings("demo_planes", **train))
    assert summary["steps"] == 5  # 2 steps for 2 frames
    assert json.loads((scene.model_dir / "model.json").read_text())["steps"] == 5


# --- planes that wait ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("frames", "every"), [(5, 1), (24, 1), (47, 1), (48, 2), (200, 8)])
def test_an_update_of_planes_sees_as_many_rays_of_a_frame_as_in_a_short_clip(frames, every):
    assert steps_between(settings("fast").train, frames) == every
    assert steps_between(settings("nsff").train, frames) == 1


def waiting_trainer(scene, folder, **train):
    config = settings(
        "demo_planes", steps_for_frames=2, rays=24, motion_rays=8, device="cpu", tensorboard=False, **train
    )
    data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
    return Trainer(build_model(scene, config, data), data, config, CheckpointStore(folder, "x"))


def test_planes_that_wait_are_updated_by_the_gradients_of_all_steps_since(tiny_scene, tmp_path):
    """6 frames, meant for 2: every third step. Rays alone, without variation, so that the sum can be written down."""
    trainer = waiting_trainer(tiny_scene(6), tmp_path)
    execution, learning = trainer.execution, trainer.model.learning
    learning.objective.config = trainer.config.losses.model_copy(update={"w_plane_smooth": 0.0})
    moving = [p for name, p in trainer.model.named_parameters() if name.startswith("dynamic.planes.")]
    others = [p for name, p in trainer.model.named_parameters() if not name.startswith("dynamic.planes.")]
    assert execution.delayed is not None and learning.objective.planes_every == 3
    start, before = [p.detach().clone() for p in moving], [p.detach().clone() for p in others]
    gradients, total, whole = [], [torch.zeros_like(p) for p in moving], []
    backward = execution.backward

    def watched(*arguments):
        held = [p.grad.clone() for p in moving]
        done = backward(*arguments)
        gradients.append([p.grad - h for p, h in zip(moving, held, strict=True)])
        return done

    execution.backward = watched
    for _ in range(3):
        trainer.one_step()
        whole.append(trainer.is_complete)
        if trainer.step < 3:
            assert all(torch.equal(p, s) for p, s in zip(moving, start, strict=True))
    assert whole == [False, False, True]
    assert any(not torch.equal(p, b) for p, b in zip(others, before, strict=True))
    for step in gradients:
        total = [t + g for t, g in zip(total, step, strict=True)]
    rate = execution.delayed.optimiser.param_groups[0]["lr"]
    for p, s, t in zip(moving, start, total, strict=True):
        assert float(t.abs().max()) > 0
        # The first step of Adam: the sign of the gradient, times the rate.
        expected = s - rate * t / (t.abs() + 1e-15)
        torch.testing.assert_close(p.detach(), expected, rtol=1e-5, atol=1e-7)
        assert float(p.grad.abs().max()) == 0


def test_the_variation_of_planes_that_wait_counts_for_the_steps_between(tiny_scene, tmp_path):
    trainer = waiting_trainer(tiny_scene(6), tmp_path)
    objective, static, dynamic = trainer.model.learning.objective, trainer.model.static, trainer.model.dynamic
    batch = trainer.data.gather(torch.arange(0, 600, 40), 15)
    found = [
        float(objective(batch, step, trainer.execution.generator)[0]["plane_smooth"].detach()) for step in range(6)
    ]
    w, still, moving = objective.config.w_plane_smooth, static.total_variation(), dynamic.total_variation()
    one, three = float(w * still.detach()), float(w * (still + 3 * moving).detach())
    assert found == pytest.approx([one, one, three] * 2)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_stopped_training_of_planes_that_wait_goes_on_as_if_it_had_not(tiny_scene, tmp_path, parts):
    """State is saved between updates alone: checkpoints are asked for at every fourth step, and come at 6."""
    scene = tiny_scene(6)
    whole = waiting_trainer(scene, tmp_path / "whole", steps=9)
    whole.execution.split(parts)
    for _ in range(9):
        whole.one_step()
    first = waiting_trainer(scene, tmp_path / "broken", steps=9, checkpoint_every=4)
    first.execution.split(parts)
    saved, save = [], first._save
    first._save = lambda: (saved.append(first.step), save())
    first.fit_into_memory = lambda: None
    one_step = first.one_step

    def dies(log=False):
        if first.step == 8:
            raise KeyboardInterrupt
        return one_step(log)

    first.one_step = dies
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert saved == [6]
    second = waiting_trainer(scene, tmp_path / "broken", steps=9)
    assert second.resume() and second.step == 6
    second.execution.split(parts)
    for _ in range(3):
        second.one_step()
    for (name, a), (_, b) in zip(whole.model.named_parameters(), second.model.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=lambda text, n=name: f"{n}: {text}")
