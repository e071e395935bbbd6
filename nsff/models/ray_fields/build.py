"""The registry of fields: a new field is one file and one line here."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nsff.config import FieldConfig
from nsff.models.ray_fields.field import Field
from nsff.models.ray_fields.mlp import MlpDynamicField, MlpStaticField
from nsff.models.ray_fields.planes import PlaneDynamicField, PlaneStaticField


def build_fields(
    config: FieldConfig, bounds: Float[Tensor, "2 3"], channels: int, n_frames: int
) -> tuple[Field, Field | None]:
    """The static and the dynamic field (None for static_only). ``bounds`` is the box of normalised space."""
    if config.kind == "mlp":
        static: Field = MlpStaticField(config, channels, n_frames)
        dynamic: Field = MlpDynamicField(config, channels, n_frames)
    else:
        static = PlaneStaticField(config, bounds, channels, n_frames)
        dynamic = PlaneDynamicField(config, bounds, channels, n_frames)
    return static, None if config.static_only else dynamic
