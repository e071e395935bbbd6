"""Longer clips train longer, shorter ones less long: steps, and what goes by them, by the number of frames."""

from __future__ import annotations

from nsff.config import SceneConfig

STRETCHED = {"train": ("steps", "learning_rate_decay_steps"), "losses": ("decay_steps",)}
"""Settings in steps that belong to the whole of a training; others, as between checkpoints, stay."""

LEAST = 0.5
"""Geometry takes steps of its own to settle: the share of the steps that the shortest clips get."""


def for_frames(config: SceneConfig, frames: int) -> SceneConfig:
    """The settings for a clip of so many frames, see train.steps_for_frames."""
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
