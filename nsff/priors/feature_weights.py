"""Files of the learned features' weights, by the authors' names; importable without torch.

DINO: github.com/facebookresearch/{dino,dinov2,dinov3}. DINOv3's file names end in the first digits of their sha256.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nsff.config import FeaturesConfig
from nsff.priors.local_weights import find

VGG_FILE = "vgg16_features.pth"
"""VGG16's convolutions under torchvision's names (`features.0.weight`, …)."""


@dataclass(frozen=True)
class Variant:
    """A published network: timm's name for it, patch size in pixels, its file, heads of the saliency (None: all).

    ``exact_positions``: the position table is resampled to the size of the grid, antialiased, as the authors do in
    networks with registers; otherwise by DINO's scale factors (dino_network.resample_positions).
    """

    timm_name: str
    patch: int
    file: str
    heads: tuple[int, ...] | None = None
    exact_positions: bool = False


VARIANTS: dict[str, Variant] = {
    # Heads 0, 2, 4, 5 attend to objects rather than to background (Amir et al.).
    "dino_vits8": Variant("vit_small_patch8_224", 8, "dino_deitsmall8_pretrain.pth", (0, 2, 4, 5)),
    "dino_vitb8": Variant("vit_base_patch8_224", 8, "dino_vitbase8_pretrain.pth"),
    "dinov2_vits14_reg": Variant("vit_small_patch14_reg4_dinov2", 14, "dinov2_vits14_reg4_pretrain.pth", None, True),
    "dinov2_vitb14_reg": Variant("vit_base_patch14_reg4_dinov2", 14, "dinov2_vitb14_reg4_pretrain.pth", None, True),
    # timm's variants with biases of queries and values: what the files hold is kept, zero or not. Keys have none.
    "dinov3_vits16": Variant("vit_small_patch16_dinov3_qkvb", 16, "dinov3_vits16_pretrain_lvd1689m-08c60483.pth"),
    "dinov3_vitb16": Variant("vit_base_patch16_dinov3_qkvb", 16, "dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth"),
}


def dino_file(config: FeaturesConfig) -> Path | None:
    """The file that the settings name, or the configured variant's on this machine; None where there is none."""
    return Path(config.weights) if config.weights else find(VARIANTS[config.dino_model].file)


def vgg_file(config: FeaturesConfig) -> Path | None:
    return Path(config.weights) if config.weights else find(VGG_FILE)
