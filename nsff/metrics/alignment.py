"""From the truth's world to ours, and photometric refinement of one held-out camera with the scene frozen.

Notation. Cameras are OpenCV world to camera, [R | t]. A pose change is xi = (omega, tau): the refined camera is
[exp(omega) R | exp(omega) t + unit tau], omega in radians, tau in units of ``unit`` (a depth of the scene).
Refinement moves six numbers of a test camera and nothing else: the scene's parameters get no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from kornia.filters import gaussian_blur2d
from kornia.geometry.conversions import axis_angle_to_rotation_matrix
from kornia.losses import charbonnier_loss
from torch import Tensor
from torch.nn.functional import interpolate

from nsff.config import ScoreConfig

BLUR = (0.03, 0.012, 0.0)
"""Standard deviations of the target's blur, coarse to fine, as fractions of the height; equal numbers of steps each."""
CHECK_RAYS = 4096
ROBUST = 0.1
"""Colour error up to which the loss is quadratic."""


class PixelRenderer(Protocol):
    """The part of a renderer that refinement needs (nsff.rendering.renderer.Renderer has it)."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""

    @property
    def whole_pictures(self) -> bool:
        """Whether some pixels cost as much as the whole picture."""

    def render_pixels(
        self, K: Tensor, world_to_camera: Tensor, size: tuple[int, int], pixels: Tensor, time: float
    ) -> Tensor:
        """Colours (R,3) of pixels (row · W + column) of a picture of ``size`` (H, W), differentiable in the pose."""


@dataclass(frozen=True)
class Refinement:
    world_to_camera: Float64[np.ndarray, "3 4"]
    loss_before: float
    loss_after: float
    rotation: float
    """Degrees."""
    translation: float
    """Scene units."""


def refine_camera(
    renderer: PixelRenderer,
    K: Float64[np.ndarray, "3 3"],
    starts: Sequence[Float64[np.ndarray, "3 4"]],
    image: UInt8[np.ndarray, "H W 3"],
    time: float,
    unit: float,
    score: ScoreConfig,
    seed: int = 0,
) -> Refinement:
    """The camera that explains ``image`` best, from the best of ``starts``; the first is what ``raw`` scores.

    Adam on six numbers, a robust colour loss on score.refine_rays random pixels a step (half of them while the target
    is blurred: blurring one of two pictures smooths their correlation as blurring both would). Models that draw whole
    pictures are compared at all pixels, while the target is blurred at the size that its blur leaves. The result is
    never worse than the start on a fixed set of pixels.
    """
    height, width = image.shape[:2]
    device, whole = renderer.device, renderer.whole_pictures
    generator = torch.Generator().manual_seed(seed)
    check = torch.randint(height * width, (min(CHECK_RAYS, height * width),), generator=generator)
    levels = [_level(image, K, fraction * height, whole, device) for fraction in BLUR]

    def loss_at(pose: Tensor, pixels: Tensor, level: Level) -> Tensor:
        rgb = renderer.render_pixels(level.K, pose, level.size, pixels, time)
        # kornia's loss turns from quadratic to linear at 1.
        return ROBUST * charbonnier_loss(rgb / ROBUST, level.target[pixels.to(device)] / ROBUST, reduction="mean")

    def check_loss(pose: Float64[np.ndarray, "3 4"]) -> float:
        with torch.no_grad():
            place = torch.as_tensor(pose, dtype=torch.float32, device=device)
            at_once = len(check) if whole else score.refine_rays
            parts = [loss_at(place, part, levels[-1]) * len(part) for part in check.split(at_once)]
            return float(sum(parts)) / len(check)

    losses = [check_loss(np.asarray(start)) for start in starts]
    start = np.asarray(starts[int(np.argmin(losses))], dtype=np.float64)
    base = torch.as_tensor(start, dtype=torch.float32, device=device)
    xi = torch.zeros(6, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([xi], lr=score.refine_learning_rate, betas=(0.9, 0.99))
    last = len(levels) - 1
    level = 0
    for step in range(score.refine_steps):
        before, level = level, step * len(levels) // score.refine_steps
        if before < level == last:
            # What blurred pictures say may be further off than the start.
            if check_loss(_end(start, xi, unit)) > min(losses):
                xi = torch.zeros(6, device=device, requires_grad=True)
            optimiser = torch.optim.Adam([xi], lr=score.refine_learning_rate, betas=(0.9, 0.99))
        # A blurred picture needs no more: the last level alone decides how close the pose gets.
        count = score.refine_rays if level == last else (score.refine_rays + 1) // 2
        every = len(levels[level].target)
        pixels = torch.arange(every) if whole else torch.randint(every, (count,), generator=generator)
        loss = loss_at(moved(base, xi, unit), pixels, levels[level])
        # Only xi gets a gradient, whatever the renderer's parameters say.
        (xi.grad,) = torch.autograd.grad(loss, [xi])
        if not bool(torch.isfinite(xi.grad).all()):
            break
        fall = 0.5 * (1 + np.cos(np.pi * step / score.refine_steps))
        optimiser.param_groups[0]["lr"] = score.refine_learning_rate * (0.05 + 0.95 * fall)
        optimiser.step()
    end = _end(start, xi, unit)
    after = check_loss(end)
    if not after < min(losses):
        xi, end, after = torch.zeros(6), start, min(losses)
    change = xi.detach().double()
    angle, length = float(change[:3].norm()), float(change[3:].norm())
    return Refinement(end, losses[0], after, float(np.degrees(angle)), length * unit)


def moved(pose: Float[Tensor, "3 4"], xi: Float[Tensor, "xi=6"], unit: float) -> Float[Tensor, "3 4"]:
    """The pose changed by xi in its camera's frame; differentiable, also at xi = 0."""
    rotation = axis_angle_to_rotation_matrix(xi[None, :3])[0]
    return torch.cat([rotation @ pose[:, :3], (rotation @ pose[:, 3] + unit * xi[3:])[:, None]], 1)


def _end(start: Float64[np.ndarray, "3 4"], xi: Float[Tensor, "xi=6"], unit: float) -> Float64[np.ndarray, "3 4"]:
    return moved(torch.from_numpy(start), xi.detach().double().cpu(), unit).numpy()


@dataclass(frozen=True)
class Level:
    """The target of some steps: colours of all pixels (P,3), and the camera (3,3) and size (H, W) that show it."""

    target: Tensor
    K: Tensor
    size: tuple[int, int]


def _level(
    image: UInt8[np.ndarray, "H W 3"], K: Float64[np.ndarray, "3 3"], sigma: float, smaller: bool, device: torch.device
) -> Level:
    """``image`` blurred by ``sigma`` pixels; ``smaller``: reduced by as many."""
    picture = (torch.from_numpy(image).to(device).float() / 255).permute(2, 0, 1)[None]
    height, width = image.shape[:2]
    if sigma > 0:
        radius = min(max(1, round(4 * sigma)), min(height, width) - 1)
        picture = gaussian_blur2d(picture, (2 * radius + 1, 2 * radius + 1), (sigma, sigma), border_type="reflect")
    reduction = max(1, int(sigma)) if smaller else 1
    size = (max(1, height // reduction), max(1, width // reduction))
    if reduction > 1:
        picture = interpolate(picture, size, mode="area")
    camera = np.diag([size[1] / width, size[0] / height, 1.0]) @ np.asarray(K)
    return Level(
        picture[0].permute(1, 2, 0).reshape(-1, 3), torch.as_tensor(camera, dtype=torch.float32, device=device), size
    )
