"""Longer clips train longer, by hand, and in a training."""

import json

import pytest

from nsff.config import resolve_scene
from nsff.training.run import run_train
from nsff.training.schedule import for_frames


def settings(preset, **train):
    small = {"sampling": {"samples": 8, "coarse_samples": 8}} if train else {}
    return resolve_scene("tiny", {"input": {"path": "x"}, "train": train, **small}, preset, {})


@pytest.mark.parametrize(("frames", "steps", "decay"), [(5, 6000, 2000), (24, 6000, 2000), (200, 50_000, 16_667)])
def test_fast_keeps_its_steps_up_to_24_frames(frames, steps, decay):
    config = settings("fast")
    found = for_frames(config, frames)
    assert (found.train.steps, found.train.learning_rate_decay_steps, found.losses.decay_steps) == (steps, steps, decay)
    assert found.train.checkpoint_every == config.train.checkpoint_every
    assert found.losses.w_rgb == config.losses.w_rgb


def test_steps_that_a_user_sets_are_those_of_a_short_clip():
    assert for_frames(settings("fast", steps=99), 24).train.steps == 99
    assert for_frames(settings("fast", steps=99), 48).train.steps == 198
    assert for_frames(settings("fast", steps=99, steps_for_frames=0), 48).train.steps == 99


@pytest.mark.parametrize("preset", ["demo", "nsff", "saff"])
def test_other_presets_train_clips_of_any_length_alike(preset):
    config = settings(preset)
    assert for_frames(config, 1000) == config


def test_a_training_of_a_longer_clip(tiny_scene):
    scene = tiny_scene(5)
    train = {"steps": 2, "steps_for_frames": 2, "rays": 24, "motion_rays": 8, "device": "cpu", "tensorboard": False}
    summary = run_train(scene, settings("demo", **train))
    assert summary["steps"] == 5  # 2 steps for 2 frames
    assert json.loads((scene.model_dir / "model.json").read_text())["steps"] == 5
