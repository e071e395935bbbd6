"""The DINO backend: keys of a vision transformer over a pyramid of windows, and attention as saliency.

Notation. Descriptors (h,w,D) and saliency (h,w) in [0,1], h = ceil(H/stride) of the canonical size: the pyramid's
averages at the middles of stride×stride pixels. Saliency is scaled to [0,1] in each window, as SAFF has it, so that
every window holds a 0 and a 1. Windows pass the network once; their tokens wait in a temporary folder (float16) for
the second call, so that memory does not grow with the number of frames.
See docs/methods.md#dino-features-and-saliency.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from nsff.config import FeaturesConfig
from nsff.errors import StageError
from nsff.files.temporary import prefix
from nsff.priors.features.dino_network import DinoNetwork, build, load_weights
from nsff.priors.features.dino_variants import VARIANTS
from nsff.priors.features.pyramid import (
    Level,
    Window,
    average,
    crop,
    network_size,
    offline_levels,
    online_levels,
    single_level,
    weighted,
    whole_frame,
)
from nsff.priors.motion.saliency import MotionSaliency
from nsff.scene import Scene


class DinoFeatures:
    """The DINO backend: one instance per scene and run; call it with a frame index.

    ``network`` is a vision transformer in the form that nsff.priors.features.dino_network gives it.
    """

    def __init__(self, scene: Scene, config: FeaturesConfig, network: DinoNetwork) -> None:
        self.scene, self.config = scene, config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device)
        self.size = scene.size
        height, width = self.size
        self.samples = (-(-height // config.stride), -(-width // config.stride))
        self.levels = pyramid_levels(self.size, config)
        self.saliency_levels = self.levels
        if config.saliency_weights is not None and config.pyramid != "single":
            self.saliency_levels = weighted(self.levels, config.saliency_weights)
        # Windows are those of patches of 8 pixels; networks with larger patches see them enlarged, with as many tokens.
        dh, dw = network_size(height, width, config.short_side)
        self.input_size = (dh * self.network.patch // 8, dw * self.network.patch // 8)
        self._motion = MotionSaliency(scene) if config.saliency == "motion" else None
        scene.root.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix=f"{prefix()}tokens-", dir=scene.root)

    def __call__(self, i: int) -> tuple[Float32[np.ndarray, "h w D"], Float32[np.ndarray, "h w"]]:
        """Descriptors, not yet normalised per pixel, and saliency in [0,1] of frame i."""
        keys, attention = self._tokens(i)
        descriptors = average((grid.astype(np.float32) for grid in keys), self.levels, self.size, self.samples)
        if self._motion is not None:
            return descriptors, self._motion(i, self.config.stride)
        scaled = (minmax(grid.astype(np.float32))[..., None] for grid in attention)
        return descriptors, np.clip(average(scaled, self.saliency_levels, self.size, self.samples)[..., 0], 0, 1)

    def basis_tokens(self, i: int) -> Float32[np.ndarray, "P D"] | None:
        """Descriptors of frame i that the basis is fit on, all of them: the tokens of the whole frame, where there is
        no pyramid (SAFF). None: it is fit on pixels."""
        if self.config.pyramid != "single":
            return None
        keys = self._tokens(i)[0]
        return keys.reshape(-1, keys.shape[-1]).astype(np.float32)

    def _tokens(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys (K,th,tw,D) float16 and attention (K,th,tw) float32 of the K windows of frame i."""
        paths = [Path(self._folder.name) / f"{i}_{name}.npy" for name in ("keys", "attention")]
        if not paths[1].exists():
            results = list(self._run(self.scene.image(i)))
            for path, values in zip(paths, zip(*results, strict=True), strict=True):
                np.save(path, np.concatenate(values), allow_pickle=False)
        keys, attention = (np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
        return keys, attention

    def _run(self, image: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        boxes = [window for level in self.levels for window in level.windows]
        for start in range(0, len(boxes), self.config.batch):
            part = [self._seen(image, box) for box in boxes[start : start + self.config.batch]]
            pictures = torch.from_numpy(np.stack(part)).to(self.device).permute(0, 3, 1, 2).float() / 255
            keys, attention = self.network(pictures)
            if not torch.isfinite(keys).all():
                raise StageError("features", "the network's keys are not finite", "check the file of its weights")
            yield keys.half().cpu().numpy(), attention.float().cpu().numpy()

    def _seen(self, image: np.ndarray, box: Window) -> np.ndarray:
        """A window as the network sees it."""
        config = self.config
        by_library = {"auto": config.imagenet_normalisation, "lanczos": True, "nearest": False}
        if config.pyramid == "single" and by_library[config.single_resizing]:
            return whole_frame(image, self.input_size)
        return crop(image, box, self.input_size, config.pyramid == "offline")


def open_network(config: FeaturesConfig, weights: Path) -> DinoNetwork:
    """The variant that features.dino_model names, with the weights of a file.

    Raises StageError where the file holds others.
    """
    variant = VARIANTS[config.dino_model]
    model = build(variant)
    load_weights(model, weights)
    stride = config.dino_stride or variant.patch // 2
    return DinoNetwork(model, stride, variant.heads, config.imagenet_normalisation, variant.exact_positions)


def pyramid_levels(size: tuple[int, int], config: FeaturesConfig) -> list[Level]:
    """Windows of a frame of ``size`` (H,W), by level."""
    if config.pyramid == "single":
        return single_level(*size)
    if config.pyramid == "offline":
        return offline_levels(*size, config.short_side, config.pyramid_weights)
    return online_levels(*size, config.short_side)


def minmax(values: Float32[np.ndarray, "th tw"]) -> Float32[np.ndarray, "th tw"]:
    """Scaled to [0,1]; a constant becomes 0."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, 1e-12)
