"""Soft saliency from motion: how much a pixel belongs to something that moves, in [0, 1], with edges that follow the
image.

Notation. Image (H,W,3) RGB in [0,1]; mask (H,W) is the motion mask; flow (H,W,2) is (right, down) in pixels. The
residual is the distance in pixels between a pixel's flow and the flow that the static world around it suggests.
Lengths made for 288 rows scale with the height.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from nsff.imaging.filters import guided_filter
from nsff.imaging.flow_sampling import sample_along_flow
from nsff.imaging.resizing import average_blocks
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.scene import Scene

# Motion masks are dilated and flow is blurred at outlines: in this ring inside the mask's edge, colour and flow decide.
RING = 2
RING_CONFIDENCE = 0.5


class MotionSaliency:
    """Saliency of the frames of a scene from their motion masks and flow; call it with a frame index and a stride."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._recent: dict[int, np.ndarray] = {}

    def __call__(self, i: int, stride: int) -> Float32[np.ndarray, "h w"]:
        """Saliency in [0,1] of frame i, agreed on with the frames before and after it, averaged over stride×stride."""
        near = self._neighbours(i)
        own, neighbours = self._single(i), [self._single(j) for _, j in near]
        return average_blocks(steady_saliency(own, neighbours, [self.scene.flow(i, d) for d, _ in near]), stride)

    def _neighbours(self, i: int) -> list[tuple[str, int]]:
        return [(d, j) for d, j in (("fwd", i + 1), ("bwd", i - 1)) if 0 <= j < self.scene.n_frames]

    def _single(self, i: int) -> Float32[np.ndarray, "H W"]:
        """Saliency of frame i by itself; the last few are kept, since neighbours ask for them again."""
        if i not in self._recent:
            flows = [self.scene.flow(i, d)[0] for d, _ in self._neighbours(i)]
            value = soft_saliency(self.scene.image(i).astype(np.float32) / 255, self.scene.motion_mask(i), flows)
            self._recent = dict(list(self._recent.items())[-3:]) | {i: value}
        return self._recent[i]


def soft_saliency(
    image: Float32[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"], flows: Sequence[Float32[np.ndarray, "H W 2"]]
) -> Float32[np.ndarray, "H W"]:
    """Saliency of one frame: the motion mask, weighted by the residuals of its flows, smoothed along image edges.

    ``flows`` are those of the frame (to the next, to the previous, or both). Deep inside the mask a pixel keeps at
    least half its weight where the residual is small, since a limb at rest belongs to the body that moves; near the
    mask's outline the residual and the colours decide. The background is 0.
    """
    rows = mask.shape[0] / REFERENCE_ROWS
    residuals = [flow_residual(flow, mask) for flow in flows]
    # One pixel at 288 rows is what the epipolar test of the masks calls motion too.
    moves = 1.0 - np.exp(-((np.max(residuals, axis=0) / rows) ** 2)) if residuals else np.ones(mask.shape)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING + 1, 2 * RING + 1))
    core = cv2.erode(mask.astype(np.uint8), kernel, borderValue=1) > 0
    evidence = np.where(core, 0.5 + 0.5 * moves, moves * mask).astype(np.float32)
    confidence = np.where(mask & ~core, RING_CONFIDENCE, 1.0).astype(np.float32)
    smooth = guided_filter(image, evidence, confidence, radius=max(3, round(5 * rows)), epsilon=0.01**2)
    # A guided filter leaves faint values far from the mask; the gate and the offset take them to zero.
    gate = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(1.0, 2 * rows))
    return np.clip((smooth * np.clip(2 * gate, 0, 1) - 0.05) / 0.95, 0, 1).astype(np.float32)


def steady_saliency(
    own: Float32[np.ndarray, "H W"],
    neighbours: Sequence[Float32[np.ndarray, "H W"]],
    flows: Sequence[tuple[Float32[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]],
) -> Float32[np.ndarray, "H W"]:
    """Median of a frame's saliency and its neighbours', looked up along the flows to them; the mean where only two
    exist.

    What rests for a frame stays salient, what flares up for one does not. Pixels without consistent flow keep their
    own.
    """
    carried = [
        np.where(valid, sample_along_flow(value, flow), own)
        for value, (flow, valid) in zip(neighbours, flows, strict=True)
    ]
    return np.median(np.stack([own, *carried]), axis=0).astype(np.float32)


def flow_residual(flow: Float32[np.ndarray, "H W 2"], mask: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Pixels between the flow and its surroundings: flow outside the mask, spread into it by normalised convolution.

    Zero where the mask leaves too little of the frame to know what the surroundings do.
    """
    outside = (~mask).astype(np.float32)
    sigma = 0.08 * mask.shape[0]
    weight = cv2.GaussianBlur(outside, (0, 0), sigma)
    # The floor falls back to the mean flow of the static pixels deep inside large masks.
    mean = (flow * outside[..., None]).sum((0, 1)) / max(outside.sum(), 1.0)
    floor = 1e-3
    background = (cv2.GaussianBlur(flow * outside[..., None], (0, 0), sigma) + floor * mean) / (weight + floor)[
        ..., None
    ]
    residual = np.linalg.norm(flow - background, axis=2) * mask
    return residual.astype(np.float32) if outside.mean() > 0.02 else np.zeros(mask.shape, np.float32)
