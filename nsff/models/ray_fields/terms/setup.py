"""The settings, fields and scene, which decide before any step is taken which terms an objective has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nsff.config import FieldConfig, LossConfig, SceneConfig, TrainConfig


@dataclass(frozen=True)
class Setup:
    """Settings of a training, and the facts about its fields and its scene that terms depend on."""

    losses: LossConfig
    train: TrainConfig
    field: FieldConfig
    features: bool
    """Whether the scene has features to learn."""
    saliency: bool
    planes: bool
    """Whether the fields have feature planes, whose variation can be penalised."""
    metric_depth: bool
    """Whether the depth prior is in scene units."""
    guessed_depth: float = 0.0
    """Share of what moves whose depth is a guess, 0..1."""
    planes_every: int = 1
    """Steps between two updates of the dynamic field's planes (nsff.models.ray_fields.gradient_accumulation)."""

    @classmethod
    def of(cls, model: Any, data: Any, losses: LossConfig, train: TrainConfig, planes_every: int = 1) -> Setup:
        """The setup of a RayFields model and the TrainingData that it learns from."""
        return cls(
            losses,
            train,
            model.field_config,
            features=data.features is not None,
            saliency=data.saliency is not None,
            planes=hasattr(model.static, "total_variation"),
            metric_depth=data.metric_depth,
            guessed_depth=data.guessed_depth,
            planes_every=planes_every,
        )

    @classmethod
    def of_config(cls, config: SceneConfig, planes_every: int = 1) -> Setup:
        """The setup by settings alone, for a scene that has all that the settings ask for, with measured depth."""
        field = config.field
        return cls(
            config.losses,
            config.train,
            field,
            features=field.features,
            saliency=field.features and field.saliency,
            planes=field.kind == "planes",
            metric_depth=True,
            planes_every=planes_every,
        )
