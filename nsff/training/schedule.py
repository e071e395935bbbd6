"""Settings that depend on the number of frames: steps of presets that say so, and the published decay period."""

from __future__ import annotations

from nsff.config import SceneConfig

STRETCHED = {"train": ("steps", "learning_rate_decay_steps"), "losses": ("decay_steps",)}
"""Settings in steps that belong to the whole of a training; others, as between checkpoints, stay."""

LEAST = 0.5
"""Geometry takes steps of its own to settle: the share of the steps that the shortest clips get."""

DECAY_STEPS_PER_FRAME, MOST_DECAY_STEPS = 1000, 250_000


def for_frames(config: SceneConfig, frames: int) -> SceneConfig:
    """The settings for a clip of so many frames: train.steps_for_frames, then losses.decay_by_frames."""
    config = _stretched(config, frames)
    if not config.losses.decay_by_frames:
        return config
    losses = config.losses.model_copy(update={"decay_steps": decay_period(config.losses.decay_steps, frames)})
    return config.model_copy(update={"losses": losses})


def decay_period(decay_steps: int, frames: int) -> int:
    """Steps of a decay period: 1000 a frame where that is more than ``decay_steps``, up to 250,000.

    Source: start-up of NSFF's run_nerf.py, min(250, max(decay_iteration, end_frame - start_frame)) thousand.
    """
    return min(MOST_DECAY_STEPS, max(decay_steps, DECAY_STEPS_PER_FRAME * frames))


def _stretched(config: SceneConfig, frames: int) -> SceneConfig:
    meant_for = config.train.steps_for_frames
    if not meant_for:
        return config
    factor = max(LEAST, frames / meant_for)
    changed = {}
    for section, names in STRETCHED.items():
        values = getattr(config, section)
        stretched = {name: max(1, round(getattr(values, name) * factor)) for name in names}
        changed[section] = values.model_copy(update=stretched)
    return config.model_copy(update=changed)
