"""Options of toy points."""

from __future__ import annotations

from pydantic import Field

from nsff.config.base import StageConfig


class Options(StageConfig):
    """How many points there are, and how fast they learn."""

    count: int = Field(100, ge=1)
    """Points."""
    rate: float = Field(0.02, gt=0)
    """Adam's learning rate at the start."""
