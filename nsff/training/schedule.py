"""Longer clips train longer: steps, and what goes by them, in proportion to the number of frames."""

from __future__ import annotations

from nsff.config import SceneConfig

STRETCHED = {"train": ("steps", "learning_rate_decay_steps"), "losses": ("decay_steps",)}
"""Settings in steps that belong to the whole of a training; others, as between checkpoints, stay."""


def for_frames(config: SceneConfig, frames: int) -> SceneConfig:
    """The settings for a clip of so many frames, see train.steps_for_frames."""
    meant_for = config.train.steps_for_frames
    if not 0 < meant_for < frames:
        return config
    changed = {}
    for section, names in STRETCHED.items():
        values = getattr(config, section)
        longer = {name: round(getattr(values, name) * frames / meant_for) for name in names}
        changed[section] = values.model_copy(update=longer)
    return config.model_copy(update=changed)
