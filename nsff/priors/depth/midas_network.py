"""The network of MiDaS v2.1: a ResNeXt-101 encoder, four fusion blocks, and a head that predicts disparity.

Notation. Pictures (B,3,h,w) with sides that are multiples of 32, normalised as ImageNet; the encoder's stages have
256, 512, 1024 and 2048 channels at 1/4 … 1/32 of that; disparity (B,h,w) >= 0 is relative, larger is nearer. Parameters
have the names of the authors' file midas_v21-f6b98070.pt. Sources: Ranftl et al., Towards Robust Monocular Depth
Estimation, 2020; docs/methods.md#midas-disparity; torchvision's ResNeXt.
"""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck, ResNet

from nsff.errors import StageError
from nsff.files.reading import reading
from nsff.weights.tensors import load_torch

STAGE_CHANNELS = (256, 512, 1024, 2048)


class ResidualUnit(nn.Module):
    """Two 3×3 convolutions, each behind a ReLU, added to the input as its ReLU leaves it.

    The authors' first ReLU works in place, so that what is added is rectified too; their weights were trained so.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        rectified = functional.relu(x)
        return rectified + self.conv2(functional.relu(self.conv1(rectified)))


class FusionBlock(nn.Module):
    """Adds a stage of the encoder to what comes from the coarser one, and doubles the size."""

    def __init__(self, features: int) -> None:
        super().__init__()
        # The coarsest block has no second input; the authors' file has parameters for it all the same.
        self.resConfUnit1 = ResidualUnit(features)
        self.resConfUnit2 = ResidualUnit(features)

    def forward(self, stage: Tensor, coarser: Tensor | None = None) -> Tensor:
        x = stage if coarser is None else coarser + self.resConfUnit1(stage)
        return functional.interpolate(self.resConfUnit2(x), scale_factor=2.0, mode="bilinear", align_corners=True)


class Midas21(nn.Module):
    """MiDaS v2.1; the arguments make smaller networks with the same names, for tests.

    ``layers`` are the residual blocks of each stage of the encoder, ``groups`` and ``width_per_group`` those of
    torchvision's ResNet, ``features`` the channels of the fusion blocks.
    """

    def __init__(
        self,
        layers: tuple[int, int, int, int] = (3, 4, 23, 3),
        groups: int = 32,
        width_per_group: int = 8,
        features: int = 256,
    ) -> None:
        super().__init__()
        resnet = ResNet(Bottleneck, list(layers), groups=groups, width_per_group=width_per_group)
        self.pretrained, self.scratch = nn.ModuleDict(), nn.ModuleDict()
        stem = (resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.pretrained["layer1"] = nn.Sequential(*stem, resnet.layer1)
        for k, stage in ((2, resnet.layer2), (3, resnet.layer3), (4, resnet.layer4)):
            self.pretrained[f"layer{k}"] = stage
        for k, channels in enumerate(STAGE_CHANNELS, 1):
            self.scratch[f"layer{k}_rn"] = nn.Conv2d(channels, features, 3, padding=1, bias=False)
            self.scratch[f"refinenet{k}"] = FusionBlock(features)
        self.scratch["output_conv"] = nn.Sequential(
            nn.Conv2d(features, features // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(features // 2, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 1),
            nn.ReLU(),
        )

    def forward(self, pictures: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B h w"]:
        x, stages = pictures, []
        for k in range(1, 5):
            x = self.pretrained[f"layer{k}"](x)
            stages.append(self.scratch[f"layer{k}_rn"](x))
        fused = self.scratch["refinenet4"](stages[3])
        for k in (3, 2, 1):
            fused = self.scratch[f"refinenet{k}"](stages[k - 1], fused)
        return self.scratch["output_conv"](fused)[:, 0]


def load_midas(path: Path, model: Midas21 | None = None) -> Midas21:
    """The network with the authors' weights, for inference. Every parameter must be there, and no other.

    Raises StageError naming the file where it is missing, holds anything but tensors, or belongs to another network.
    """
    missing_remedy = "put the weights there, or set depth.backend: classical"
    with reading(path, "get it again", missing=missing_remedy, message="not readable as a file of tensors"):
        state = load_torch(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise StageError(path, "holds no state dictionary", "give the authors' file midas_v21-f6b98070.pt")
    model = model or Midas21()
    own = model.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        named = ", ".join([*(f"{key} missing" for key in missing[:2]), *(f"{key} unknown" for key in unknown[:2])])
        problem = f"{len(missing)} parameters missing, {len(unknown)} unknown ({named})"
        raise StageError(path, problem, "give the authors' file midas_v21-f6b98070.pt (other releases differ)")
    shaped = next((key for key, value in own.items() if value.shape != state[key].shape), None)
    if shaped is not None:
        problem = f"{shaped} has shape {tuple(state[shaped].shape)}, the network {tuple(own[shaped].shape)}"
        raise StageError(path, problem, "give the authors' file midas_v21-f6b98070.pt")
    model.load_state_dict(state)
    return model.eval()
