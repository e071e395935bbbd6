"""The losses of a scene of Gaussians, of one training frame at a time.

rgb: (1 - w_ssim) |Ĉ - C| + w_ssim (1 - SSIM), means over the picture. mask: w_mask |share of what moves - motion mask|.
disparity: w_disparity |1/ẑ - d| / median(d), cut off at 2. smooth: w_smooth |∇(1/ẑ)| / median(d) exp(-10 |∇C|) where it
moves (Godard et al. 2017, equation 3). light: w_light |log light|, the mean over cells. features, saliency: w_features
times mean squared differences, at the size of the features; only features and saliencies of Gaussians learn by them.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from nsff.config import SceneConfig
from nsff.models.base import Terms
from nsff.models.gaussians.options import Options
from nsff.models.gaussians.similarity import structural_similarity

EDGE = 10.0
"""How fast differences of colour, in [0, 1], take from the weight of roughness."""
MOST_DISPARITY = 2.0
"""Differences of disparity above this many medians count no more."""


def colour_loss(drawn: Float[Tensor, "H W 3"], image: Float[Tensor, "H W 3"], options: Options) -> Float[Tensor, ""]:
    """The photometric term."""
    absolute = (drawn - image).abs().mean()
    if options.w_ssim == 0:
        return absolute
    return (1 - options.w_ssim) * absolute + options.w_ssim * (1 - structural_similarity(drawn, image))


def geometry_terms(
    share: Float[Tensor, "H W"],
    depth: Float[Tensor, "H W"],
    moving: Tensor,
    disparity: Float[Tensor, "H W"],
    confidence: Float[Tensor, "H W"],
    median_disparity: float,
    image: Float[Tensor, "H W 3"],
    options: Options,
) -> Terms:
    """mask, disparity and smooth, those of weight 0 left out. ``depth`` in the units of ``disparity``."""
    terms: Terms = {}
    if options.w_mask:
        terms["mask"] = options.w_mask * (share - moving.float()).abs().mean()
    drawn = 1 / depth.clamp(min=1e-3 / median_disparity)
    if options.w_disparity:
        off = ((drawn - disparity) / median_disparity).abs()
        terms["disparity"] = options.w_disparity * (off.clamp(max=MOST_DISPARITY) * (confidence > 0)).mean()
    if options.w_smooth:
        terms["smooth"] = options.w_smooth * roughness(drawn / median_disparity, image, moving)
    return terms


def roughness(
    disparity: Float[Tensor, "H W"], image: Float[Tensor, "H W 3"], moving: Bool[Tensor, "H W"]
) -> Float[Tensor, ""]:
    """Absolute differences of neighbours that both move, less where colours differ; the sum over both axes, over the
    number of pixels of the picture."""
    total = disparity.new_zeros(())
    for axis in (0, 1):
        step = disparity.diff(dim=axis).abs() * (EDGE * -image.diff(dim=axis).abs().mean(-1)).exp()
        both = moving.narrow(axis, 1, moving.shape[axis] - 1) & moving.narrow(axis, 0, moving.shape[axis] - 1)
        total = total + (step * both).sum()
    return total / disparity.numel()


def feature_terms(
    features: Float[Tensor, "h w C"],
    target: Float[Tensor, "h w C"],
    saliency: Float[Tensor, "h w"] | None,
    salient: Float[Tensor, "h w"] | None,
    options: Options,
) -> Terms:
    """Mean squared differences, the mean over pixels of the sum over channels."""
    terms = {"features": options.w_features * (features - target).square().sum(-1).mean()}
    if saliency is not None and salient is not None:
        terms["saliency"] = options.w_features * (saliency - salient).square().mean()
    return terms


def explained(options: Options, config: SceneConfig, step: int | None) -> str:
    """A table of the terms with their weights: at ``step``, or all over the training."""
    features = int(options.features_from * config.train.steps)
    rows = [
        ("rgb", 1.0, 0, "(1 - w_ssim) |colour - image| + w_ssim (1 - SSIM)"),
        ("mask", options.w_mask, 0, "|share of what moves - motion mask|"),
        ("disparity", options.w_disparity, 0, "|disparity - prior| / median disparity, at most 2"),
        ("light", options.w_light, 0, "|logarithm of the light of this time on static Gaussians|"),
        ("smooth", options.w_smooth, 0, "|differences of disparity| / median disparity where it moves, less at edges"),
    ]
    if config.field.features:
        rows.append(("features", options.w_features, features, "squared error of features; shapes are left alone"))
        if config.field.saliency:
            rows.append(("saliency", options.w_features, features, "squared error of saliency; shapes are left alone"))
    lines = [f"{'term':<10} {'weight':>7}  from step  what"]
    for name, weight, first, what in rows:
        if weight and (step is None or step >= first):
            lines.append(f"{name:<10} {weight:>7g}  {first:>9}  {what}")
    return "\n".join(lines)
