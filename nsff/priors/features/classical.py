"""Dense descriptors without weights: colour, texture and gradients at several scales, and the evidence of motion.

Notation. Image (H,W,3) RGB in [0,1]; descriptors (h,w,D), h = ceil(H/stride). Groups of channels are standardised
over the scene and scaled so that appearance has a typical length of 1, before it is averaged over `pooling` pixels;
motion and position have the lengths of the configuration. Scales are standard deviations of Gaussians in pixels at 288
rows. Source of the ideas: structure tensor (Bigün, Granlund), Gabor energies (Daugman), pooled orientation histograms
(Dalal, Triggs), local patterns (Ojala et al.).
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from nsff.config import FeaturesConfig
from nsff.errors import StageError
from nsff.imaging.filters import blur
from nsff.imaging.resizing import average_blocks
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.priors.features.position import image_position
from nsff.priors.motion.saliency import MotionSaliency
from nsff.scene import Scene

COLOUR_SCALES = (1.0, 2.0, 4.0, 8.0)
CONTEXT_SCALES = (16.0, 32.0)
GABOR_WAVELENGTHS = (4.0, 8.0, 16.0)
GABOR_ORIENTATIONS = 4
TENSOR_SCALES = (2.0, 6.0)
CONTRAST_SCALES = (3.0, 8.0)
GRADIENT_SCALES = (2.0, 5.0, 10.0)
GRADIENT_BINS = 8
PATTERN_SCALE = 4.0

# Share of each group in the squared length of the appearance channels. Colour is what distinguishes surfaces most
# reliably.
GROUP_SHARES = {"colour": 0.45, "context": 0.15, "texture": 0.2, "gradient": 0.2}

Groups = dict[str, Float32[np.ndarray, "h w D"]]


class ClassicalFeatures:
    """The classical backend: one instance per scene and run; call it with a frame index.

    Channels are standardised with mean and deviation over a dozen frames, which are measured on construction.
    """

    def __init__(self, scene: Scene, config: FeaturesConfig) -> None:
        self.scene, self.config = scene, config
        self._motion = MotionSaliency(scene)
        frames = np.unique(np.linspace(0, scene.n_frames - 1, 12).round().astype(int))
        samples = [appearance(scene.image(int(i)), config.stride) for i in frames]
        pooled = {
            name: np.concatenate([groups[name].reshape(-1, groups[name].shape[2]) for groups in samples])
            for name in GROUP_SHARES
        }
        self.mean = {name: value.mean(0) for name, value in pooled.items()}
        # Channels that never vary (a grey clip has no colour) would otherwise divide by nothing.
        self.deviation = {name: np.maximum(value.std(0), 1e-4) for name, value in pooled.items()}

    def __call__(self, i: int) -> tuple[Float32[np.ndarray, "h w D"], Float32[np.ndarray, "h w"]]:
        """Descriptors, not yet normalised per pixel, and saliency in [0,1] of frame i."""
        image = self.scene.image(i)
        saliency = self._motion(i, self.config.stride)
        groups = []
        pooling = self.config.pooling * image.shape[0] / REFERENCE_ROWS / self.config.stride
        for name, value in appearance(image, self.config.stride).items():
            # tanh bounds the rare strong responses at edges, which would otherwise fill the unit sphere.
            standard = np.tanh((value - self.mean[name]) / (2 * self.deviation[name])) * 2
            standard = blur(standard.astype(np.float32), pooling)
            groups.append(standard * np.sqrt(GROUP_SHARES[name] / value.shape[2]))
        groups.append(self.config.motion_weight * saliency[..., None])
        if self.config.position_weight > 0:
            groups.append(self.config.position_weight * image_position(*saliency.shape))
        return np.concatenate(groups, axis=2).astype(np.float32), saliency


def appearance(image: UInt8[np.ndarray, "H W 3"], stride: int) -> Groups:
    """Raw channels of one image by group, each map averaged over stride×stride pixels."""
    rows = image.shape[0] / REFERENCE_ROWS
    if image.shape[0] < 16 or image.shape[1] < 16:
        raise StageError(
            "features",
            f"image of {image.shape[1]}x{image.shape[0]} is too small for descriptors",
            "use frames of at least 16x16",
        )
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100
    light = np.ascontiguousarray(lab[..., 0])
    gx, gy = cv2.Scharr(light, cv2.CV_32F, 1, 0) / 16, cv2.Scharr(light, cv2.CV_32F, 0, 1) / 16
    groups = {
        "colour": [blur(lab, s * rows) for s in COLOUR_SCALES],
        "context": [blur(lab, s * rows) for s in CONTEXT_SCALES],
        "texture": [*gabor(light, rows), *tensor(gx, gy, rows), *contrast(lab, rows), *pattern(light, rows)],
        "gradient": list(orientation_histograms(gx, gy, rows)),
    }
    return {
        name: np.concatenate(
            [np.atleast_3d(average_blocks(np.ascontiguousarray(value), stride)) for value in values], axis=2
        )
        for name, values in groups.items()
    }


def gabor(light: Float32[np.ndarray, "H W"], rows: float) -> Iterator[np.ndarray]:
    """Log energies of quadrature Gabor pairs, pooled over a wavelength."""
    for wavelength in GABOR_WAVELENGTHS:
        length = max(3.0, wavelength * rows)
        sigma = 0.5 * length
        size = 2 * int(np.ceil(2.5 * sigma)) + 1
        for k in range(GABOR_ORIENTATIONS):
            angle = np.pi * k / GABOR_ORIENTATIONS
            energy = np.zeros_like(light)
            for phase in (0.0, np.pi / 2):
                kernel = cv2.getGaborKernel((size, size), sigma, angle, length, 1.0, phase).astype(np.float32)
                # Without its mean the even filter answers to structure alone, not to brightness.
                kernel = (kernel - kernel.mean()) / np.abs(kernel).sum()
                energy += cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT) ** 2
            yield np.log(blur(energy, length) + 1e-5)


def tensor(gx: np.ndarray, gy: np.ndarray, rows: float) -> Iterator[np.ndarray]:
    """Structure tensor: log energy, and the dominant orientation as coherence times (cos, sin) of the double angle."""
    for scale in TENSOR_SCALES:
        xx, yy, xy = (blur(v, scale * rows) for v in (gx * gx, gy * gy, gx * gy))
        energy = xx + yy
        yield np.log(energy + 1e-5)
        yield (xx - yy) / (energy + 1e-4)
        yield 2 * xy / (energy + 1e-4)


def contrast(lab: Float32[np.ndarray, "H W 3"], rows: float) -> Iterator[np.ndarray]:
    """Log standard deviation of each colour channel in a neighbourhood."""
    for scale in CONTRAST_SCALES:
        variance = blur(lab * lab, scale * rows) - blur(lab, scale * rows) ** 2
        yield 0.5 * np.log(np.maximum(variance, 0) + 1e-5)


def pattern(light: Float32[np.ndarray, "H W"], rows: float) -> Iterator[np.ndarray]:
    """Soft local patterns: saturated differences to the eight neighbours at two pixels, averaged over a
    neighbourhood."""
    padded = cv2.copyMakeBorder(blur(light, 0.8), 2, 2, 2, 2, cv2.BORDER_REFLECT)
    height, width = light.shape
    for dy, dx in ((0, 2), (2, 2), (2, 0), (2, -2), (0, -2), (-2, -2), (-2, 0), (-2, 2)):
        neighbour = padded[2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]
        yield blur(np.tanh((neighbour - light) / 0.05).astype(np.float32), PATTERN_SCALE * rows)


def orientation_histograms(gx: np.ndarray, gy: np.ndarray, rows: float) -> Iterator[np.ndarray]:
    """Histograms of gradient direction modulo 180°, weighted by magnitude, pooled, and divided by the pooled
    magnitude."""
    magnitude = np.hypot(gx, gy)
    position_in_bins = (np.arctan2(gy, gx) % np.pi) * (GRADIENT_BINS / np.pi)
    # Linear interpolation between neighbouring bins, around the circle.
    weights = [
        np.clip(1 - np.abs((position_in_bins - k + GRADIENT_BINS / 2) % GRADIENT_BINS - GRADIENT_BINS / 2), 0, 1)
        for k in range(GRADIENT_BINS)
    ]
    for scale in GRADIENT_SCALES:
        total = blur(magnitude, scale * rows) + 5e-3
        for weight in weights:
            yield blur((weight * magnitude).astype(np.float32), scale * rows) / total
