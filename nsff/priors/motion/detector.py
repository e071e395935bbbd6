"""The type of an opened backend of instances: a function from a picture to what it detects there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsff.config import MotionConfig
from nsff.priors.backends import Backend

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32, Int, UInt8


@dataclass(frozen=True)
class Detections:
    """K detections in one picture of any size."""

    labels: Int[np.ndarray, " K"]
    """COCO categories."""
    scores: Float32[np.ndarray, " K"]
    """Scores in [0,1]."""
    masks: Float32[np.ndarray, "K h w"]
    """Soft masks in [0,1]."""


Detect = Callable[["UInt8[np.ndarray, 'h w 3']"], Detections]


@dataclass(frozen=True)
class InstanceBackend(Backend[MotionConfig, Detect]):
    """A backend of instances; opened, it detects things in pictures."""

    title: str = ""
    """The name of the method, for messages."""
