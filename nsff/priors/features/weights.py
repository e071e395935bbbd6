"""The networks of the learned features, and the files of their weights on this machine; importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nsff.config import FeaturesConfig
from nsff.priors.learned import features_need
from nsff.weights import WEIGHTS


@dataclass(frozen=True)
class Variant:
    """A published network: timm's name for it, patch size in pixels, its weights in the registry, heads of the saliency
    (None: all).

    ``exact_positions``: the position table is resampled to the size of the grid, antialiased, as the authors do in
    networks with registers; otherwise by DINO's scale factors (dino_network.resample_positions).
    """

    timm_name: str
    patch: int
    weights: str
    heads: tuple[int, ...] | None = None
    exact_positions: bool = False

    @property
    def file(self) -> str:
        """The authors' name of the file."""
        return WEIGHTS[self.weights].location


VARIANTS: dict[str, Variant] = {
    # Heads 0, 2, 4, 5 attend to objects rather than to background (Amir et al.).
    "dino_vits8": Variant("vit_small_patch8_224", 8, "dino-vits8", (0, 2, 4, 5)),
    "dino_vitb8": Variant("vit_base_patch8_224", 8, "dino-vitb8"),
    "dinov2_vits14_reg": Variant("vit_small_patch14_reg4_dinov2", 14, "dinov2-vits14-reg", None, True),
    "dinov2_vitb14_reg": Variant("vit_base_patch14_reg4_dinov2", 14, "dinov2-vitb14-reg", None, True),
    # timm's variants with biases of queries and values: what the files hold is kept, zero or not. Keys have none.
    "dinov3_vits16": Variant("vit_small_patch16_dinov3_qkvb", 16, "dinov3-vits16"),
    "dinov3_vitb16": Variant("vit_base_patch16_dinov3_qkvb", 16, "dinov3-vitb16"),
}


def feature_file(config: FeaturesConfig) -> Path | None:
    """The weights of the learned backend that the settings name or allow; None where it is to be the classical one.

    Errors as nsff.priors.learned.Need.resolve.
    """
    need = features_need(config)
    return need.resolve() if need is not None else None


def required_file(config: FeaturesConfig, backend: Literal["dino", "vgg"]) -> Path:
    """The weights of that backend, whether or not the settings name it. WeightsError where there are none."""
    path = feature_file(config.model_copy(update={"backend": backend}))
    assert path is not None
    return path
