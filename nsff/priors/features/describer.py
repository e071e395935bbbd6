"""The type of an opened backend of features: a function from a scene to the descriptors of its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsff.config import FeaturesConfig
from nsff.priors.backends import Backend

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from nsff.scene import Scene

Describe = Callable[[int], "tuple[Float32[np.ndarray, 'h w D'], Float32[np.ndarray, 'h w']]"]
"""From the index of a frame to its descriptors, not yet scaled to unit length, and its saliency in [0,1].

h = ceil(H / features.stride). It may have a method ``basis_tokens(index)``: descriptors (P,D) that the basis is fit on
instead, every one of them, or None.
"""
SceneDescriber = Callable[["Scene"], Describe]


@dataclass(frozen=True)
class FeatureBackend(Backend[FeaturesConfig, SceneDescriber]):
    """A backend of features; opened, it gives the Describe of a scene."""

    explained: float = 0.5
    """Share of the variance that the basis should keep. Networks have many channels that say little each."""
    attention: bool = False
    """True if its saliency is the attention of a network, unless features.saliency is motion."""
