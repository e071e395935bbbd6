"""The published vision transformers that the DINO backend can use, and the files of their weights."""

from __future__ import annotations

from dataclasses import dataclass

from nsff.weights import File, Weight

DOWNLOADS = "https://dl.fbaipublicfiles.com"
DINO_PAGE = "https://github.com/facebookresearch/dino"
DINO = "Caron et al. Emerging Properties in Self-Supervised Vision Transformers. ICCV 2021."
DINOV2_PAGE = "https://github.com/facebookresearch/dinov2"
DINOV2 = (
    "Oquab et al. DINOv2: Learning Robust Visual Features without Supervision. TMLR 2024; "
    "Darcet et al. Vision Transformers Need Registers. ICLR 2024."
)
DINOV3_PAGE = "https://github.com/facebookresearch/dinov3"
DINOV3 = "Siméoni et al. DINOv3. 2025."


@dataclass(frozen=True)
class Variant:
    """A published network."""

    timm_name: str
    """The name that timm has for it."""
    patch: int
    """Side of a patch, pixels."""
    weights: Weight
    heads: tuple[int, ...] | None = None
    """Heads whose attention is the saliency; None: all."""
    exact_positions: bool = False
    """Whether the position table is resampled to the size of the grid, antialiased, as the authors do in networks with
    registers; otherwise by DINO's scale factors (dino_network.resample_positions)."""

    @property
    def file(self) -> str:
        """The authors' name of the file."""
        return self.weights.location


def _public(name: str, path: str, about_mib: float, page: str, citation: str) -> Weight:
    """A file that the authors let everybody download, from ``path`` below DOWNLOADS."""
    entry = File(path.rpartition("/")[2], url=f"{DOWNLOADS}/{path}")
    return Weight(name, (entry,), _used_by(name), "Apache-2.0", page, citation, about_mib=about_mib)


def _licensed(name: str, file: str, about_mib: float) -> Weight:
    """A file of DINOv3, whose name ends in the first digits of its sha256."""
    entry = File(file, sha256_prefix=file.removesuffix(".pth").rpartition("-")[2])
    note = "the authors send a link to who accepts their licence"
    return Weight(name, (entry,), _used_by(name), "DINOv3 License", DINOV3_PAGE, DINOV3, note=note, about_mib=about_mib)


def _used_by(name: str) -> str:
    return f"features.backend: dino, dino_model: {name.replace('-', '_')}"


VARIANTS: dict[str, Variant] = {
    # Heads 0, 2, 4, 5 attend to objects rather than to background (Amir et al.).
    "dino_vits8": Variant(
        "vit_small_patch8_224",
        8,
        _public("dino-vits8", "dino/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth", 82.7, DINO_PAGE, DINO),
        (0, 2, 4, 5),
    ),
    "dino_vitb8": Variant(
        "vit_base_patch8_224",
        8,
        _public("dino-vitb8", "dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth", 327.0, DINO_PAGE, DINO),
    ),
    "dinov2_vits14_reg": Variant(
        "vit_small_patch14_reg4_dinov2",
        14,
        _public("dinov2-vits14-reg", "dinov2/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth", 84.0, DINOV2_PAGE, DINOV2),
        exact_positions=True,
    ),
    "dinov2_vitb14_reg": Variant(
        "vit_base_patch14_reg4_dinov2",
        14,
        _public(
            "dinov2-vitb14-reg", "dinov2/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth", 330.0, DINOV2_PAGE, DINOV2
        ),
        exact_positions=True,
    ),
    # timm's variants with biases of queries and values: those of the files are kept, zero or not. Keys have none.
    "dinov3_vits16": Variant(
        "vit_small_patch16_dinov3_qkvb",
        16,
        _licensed("dinov3-vits16", "dinov3_vits16_pretrain_lvd1689m-08c60483.pth", 83.0),
    ),
    "dinov3_vitb16": Variant(
        "vit_base_patch16_dinov3_qkvb",
        16,
        _licensed("dinov3-vitb16", "dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth", 327.0),
    ),
}
"""The networks by the value of features.dino_model."""
