"""The VGG backend: activations of several depths of VGG16, with motion as saliency.

Notation. Stage k is what the ReLU before each pooling gives (conv1_2, 2_2, 3_3, 4_3, 5_3: 64, 128, 256, 512, 512
channels at 1, 1/2 … 1/16 of the input). Each pixel of a stage is scaled to unit length (as in LPIPS) and brought to
the output's (h,w) by averaging or bilinear interpolation; the scene's mean is taken off, and the stage is scaled to its
share of the squared typical length, which is 1. As in the classical backend, descriptors have a channel of motion of
``motion_weight`` typical lengths. Sources: Simonyan, Zisserman 2015; Zhang et al. 2018 (LPIPS).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn
from torch.nn import functional

from nsff.config import FeaturesConfig
from nsff.errors import StageError
from nsff.imaging.imagenet import IMAGENET_DEVIATION, IMAGENET_MEAN
from nsff.priors.features.position import image_position
from nsff.priors.motion.saliency import MotionSaliency
from nsff.scene import Scene
from nsff.weights.tensors import read_tensors

OUTPUTS = (3, 8, 15, 22, 29)
"""Indices in torchvision's `features` of the activations taken."""
SHARES = (0.1, 0.2, 0.3, 0.25, 0.15)
"""Share of each stage in the squared length of a descriptor: colour and edges tell surfaces apart, depth what they
are; the last stage is coarse."""
SHORT_SIDE = 180
"""Smaller pictures are enlarged to this for the network: receptive fields were learnt on pictures of 224 rows."""


class VggNetwork(nn.Module):
    """VGG16's convolutions. Pictures (B,3,h,w) RGB in [0,1], ``normalise`` as in training; five stages come out."""

    features: nn.Sequential
    mean: Tensor
    deviation: Tensor

    def __init__(self, features: nn.Sequential, normalise: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(*list(features)[: OUTPUTS[-1] + 1])
        self.normalise = normalise
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, pictures: Float[Tensor, "B 3 h w"]) -> list[Float[Tensor, "B C h' w'"]]:
        x = (pictures - self.mean) / self.deviation if self.normalise else pictures
        stages = []
        for index, layer in enumerate(self.features):
            # torchvision's ReLU works in place; the stage before pooling is not touched afterwards.
            x = layer(x)
            if index in OUTPUTS:
                stages.append(x)
        return stages


class VggFeatures:
    """The VGG backend: one instance per scene and run; call it with a frame index."""

    def __init__(self, scene: Scene, config: FeaturesConfig, network: VggNetwork) -> None:
        self.scene, self.config = scene, config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device)
        self._motion = MotionSaliency(scene)
        frames = np.unique(np.linspace(0, scene.n_frames - 1, 8).round().astype(int))
        samples = [np.concatenate(one) for one in zip(*(self._sampled(int(i)) for i in frames), strict=True)]
        self._means = [sample.mean(0) for sample in samples]
        # ReLU leaves activations with a large mean, in which pixels differ little; without it they fill a sphere.
        self._lengths = [
            max(float(np.sqrt(((sample - mean) ** 2).sum(1).mean())), 1e-6)
            for sample, mean in zip(samples, self._means, strict=True)
        ]

    def __call__(self, i: int) -> tuple[Float32[np.ndarray, "h w D"], Float32[np.ndarray, "h w"]]:
        """Descriptors, not yet normalised per pixel, and saliency in [0,1] of frame i."""
        saliency = self._motion(i, self.config.stride)
        groups = [self.appearance(self.scene.image(i)), self.config.motion_weight * saliency[..., None]]
        if self.config.position_weight > 0:
            groups.append(self.config.position_weight * image_position(*saliency.shape))
        return np.concatenate(groups, axis=2).astype(np.float32), saliency

    def appearance(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w D"]:
        """The stages of one image at 1/stride of its size, each centred and scaled to its share."""
        parts = zip(self._stages(image), SHARES, self._means, self._lengths, strict=True)
        return np.concatenate([(v - mean) * (share**0.5 / length) for v, share, mean, length in parts], axis=2)

    def _sampled(self, i: int) -> list[np.ndarray]:
        """About 1000 pixels of each stage of frame i, (P,C)."""
        stages = self._stages(self.scene.image(i))
        step = max(1, stages[0].shape[0] * stages[0].shape[1] // 1000)
        return [stage.reshape(-1, stage.shape[2])[::step] for stage in stages]

    def _stages(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Float32[np.ndarray, "h w C"]]:
        """Stages at the output's size, of unit length before they were resized."""
        size = tuple(-(-n // self.config.stride) for n in image.shape[:2])
        factor = max(1.0, SHORT_SIDE / min(image.shape[:2]))
        if factor > 1:
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        picture = torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None].float() / 255
        result = []
        for stage in self.network(picture):
            unit = functional.normalize(stage, dim=1)
            if stage.shape[2] > size[0]:
                resized = functional.interpolate(unit, size=size, mode="area")
            else:
                resized = functional.interpolate(unit, size=size, mode="bilinear", align_corners=False)
            result.append(resized[0].permute(1, 2, 0).cpu().numpy())
        return result


def open_network(path: Path) -> VggNetwork:
    """VGG16 with the weights of a file. Raises StageError where it holds something else."""
    from torchvision.models import vgg16

    model = vgg16(weights=None).features
    try:
        state = read_tensors(path)
        wanted = {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
        model.load_state_dict(wanted)
    except Exception as error:  # torch raises many kinds, all meaning the same to the user
        raise StageError(path, f"holds no weights of VGG16 ({str(error).splitlines()[0]})", "get it again") from None
    return VggNetwork(model.eval())
