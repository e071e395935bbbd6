"""LPIPS with AlexNet, version 0.1 (Zhang et al. 2018), whole or weighted by a mask at every layer (NSFF's
dynamic-only LPIPS).

Notation. Pictures are (B,3,H,W), RGB in [-1,1]; masks (B,1,H,W); distances (B,). Weights are alexnet-features and
lpips-alexnet of the registry (nsff.weights), the latter else those that ship in the lpips package. Without them LPIPS
is left out.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from nsff.errors import StageError
from nsff.files.reading import reading
from nsff.weights import WEIGHTS, folders, locate
from nsff.weights.tensors import load_torch

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
CHANNELS = (64, 192, 384, 256, 256)
MIN_SIDE = 31
"""Smallest picture side in pixels that AlexNet's strides leave anything of."""


class Lpips(nn.Module):
    """Distance of deep features: per ReLU stage the channel-normalised features' squared difference, weighted by 1×1
    layers, averaged over the picture (or the mask), summed over the five stages."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        # torchvision's AlexNet: the convolutions sit at places 0, 3, 6, 8, 10 of `features`.
        self.features = nn.ModuleDict(
            {
                "0": nn.Conv2d(3, 64, 11, stride=4, padding=2),
                "3": nn.Conv2d(64, 192, 5, padding=2),
                "6": nn.Conv2d(192, 384, 3, padding=1),
                "8": nn.Conv2d(384, 256, 3, padding=1),
                "10": nn.Conv2d(256, 256, 3, padding=1),
            }
        )
        self.linear = nn.ModuleList(nn.Conv2d(channels, 1, 1, bias=False) for channels in CHANNELS)
        self.pool = nn.MaxPool2d(3, stride=2)
        self.register_buffer("shift", torch.tensor(SHIFT)[None, :, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[None, :, None, None], persistent=False)
        self.eval().requires_grad_(False)

    def stages(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The outputs of the five ReLU stages, normalised to unit length along the channels."""
        result = []
        for layer, conv in self.features.items():
            x = relu(conv(self.pool(x) if layer in ("3", "6") else x))
            result.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        return result

    def forward(
        self,
        a: Float[Tensor, "B 3 H W"],
        b: Float[Tensor, "B 3 H W"],
        mask: Float[Tensor, "B 1 H W"] | None = None,
        input_scaling: bool = True,
    ) -> Float[Tensor, " B"]:
        """Distances. ``input_scaling`` False skips (x - shift) / scale, as NSFF and SAFF do by accident.

        With a mask each stage's average is weighted by the mask, resized to the stage by nearest neighbour; a stage
        where nothing of it is left adds 0.
        """
        if input_scaling:
            a, b = (a - self.shift) / self.scale, (b - self.shift) / self.scale
        total = a.new_zeros(len(a))
        for x, y, linear in zip(self.stages(a), self.stages(b), self.linear, strict=True):
            difference = linear((x - y).square())
            if mask is None:
                total = total + difference.mean((1, 2, 3))
            else:
                weight = interpolate(mask.to(a.dtype), size=difference.shape[2:], mode="nearest")
                total = total + (weight * difference).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1e-8)
        return total

    def compare(
        self,
        a: Float[Tensor, "H W 3"],
        b: Float[Tensor, "H W 3"],
        mask: Tensor | None = None,
        symmetric: bool = True,
        input_scaling: bool = True,
    ) -> float:
        """Distance of two pictures in [0,1]; NaN for an empty mask or a picture too small for AlexNet.

        ``symmetric`` False feeds [0,1] instead of [-1,1] (SAFF).
        """
        if min(a.shape[:2]) < MIN_SIDE or (mask is not None and not bool((mask > 0).any())):
            return float("nan")
        device = self.shift.device
        x, y = (v.permute(2, 0, 1)[None].to(device, torch.float32) for v in (a, b))
        if symmetric:
            x, y = 2 * x - 1, 2 * y - 1
        weight = None if mask is None else mask.to(device, torch.float32)[None, None]
        with torch.no_grad():
            return float(self(x, y, weight, input_scaling))


def load_lpips(folder: Path | None = None, device: torch.device | str = "cpu") -> Lpips | None:
    """The network with its weights, or None where they are not there; raises StageError for files that are damaged."""
    features, linear = _file("alexnet-features", folder), _linear_layers(folder)
    if features is None or linear is None:
        return None
    network = Lpips()
    convolutions = _read(features)
    layers = _read(linear)
    try:
        network.features.load_state_dict(
            {key.removeprefix("features."): value for key, value in convolutions.items() if key.startswith("features.")}
        )
        for i, layer in enumerate(network.linear):
            layer.load_state_dict({"weight": layers[f"lin{i}.model.1.weight"]})
    except (RuntimeError, KeyError, AttributeError) as error:
        raise StageError(
            features, f"does not fit AlexNet with LPIPS ({error})", "delete it and fetch it again"
        ) from None
    return network.to(device)


def why_absent(folder: Path | None = None) -> str:
    """A note for the reader where LPIPS is left out."""
    name = WEIGHTS["alexnet-features"].location
    places = " or ".join(str(directory) for directory in ([folder] if folder else folders()))
    return f"LPIPS is left out: {name} is not in {places} (set NSFF_WEIGHTS; nsff weights get alexnet-features)."


def _file(name: str, folder: Path | None) -> Path | None:
    """A set's file in ``folder``, or, without one, where weights are looked for."""
    path = locate(name) if folder is None else folder / WEIGHTS[name].location
    return path if path is not None and path.exists() else None


def _linear_layers(folder: Path | None) -> Path | None:
    """The v0.1 linear layers: among the weights, else inside the lpips package (found without importing it)."""
    own = _file("lpips-alexnet", folder)
    if own is not None:
        return own
    package = importlib.util.find_spec("lpips")
    if package is None or not package.submodule_search_locations:
        return None
    shipped = Path(package.submodule_search_locations[0]) / "weights" / "v0.1" / "alex.pth"
    return shipped if shipped.exists() else None


def _read(path: Path) -> dict[str, Tensor]:
    with reading(path, "delete it and fetch it again", message="not readable as weights"):
        content = load_torch(path)
    if not isinstance(content, dict):
        raise StageError(path, "holds no dictionary of weights", "delete it and fetch it again")
    return content
