"""The type of an opened backend of flow: an estimator of the flow between any two pictures of one size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nsff.config import FlowConfig
from nsff.priors.backends import Backend

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32, UInt8


class FlowEstimator(Protocol):
    """Estimates the flow from one picture to another of the same size."""

    def estimate(
        self, first_rgb: UInt8[np.ndarray, "H W 3"], second_rgb: UInt8[np.ndarray, "H W 3"]
    ) -> Float32[np.ndarray, "H W 2"]:
        """Flow from the first picture to the second, (right, down) in pixels of the pictures given."""
        ...


@dataclass(frozen=True)
class FlowBackend(Backend[FlowConfig, FlowEstimator]):
    """A backend of flow; opened, it is a FlowEstimator."""

    resized: bool = False
    """True if it sees the frames with a longer side of flow.long_side pixels, rather than at the working size."""
