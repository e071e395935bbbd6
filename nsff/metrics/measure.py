"""The scores of one view by metric name: standard ones, and ``*_reference`` ones that follow a published evaluation
code.

Notation. Pictures are (H,W,3) uint8 RGB: scores are taken from the 8-bit pictures that are also written, so that
scoring a folder of pictures gives the same numbers. Masks (H,W) bool. Values are floats; NaN means that the view has
no such score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Integer, UInt8

from nsff.metrics.image import mean_similarity, psnr, psnr_8bit, ssim_maps
from nsff.metrics.lpips import Lpips
from nsff.metrics.protocols import Reference
from nsff.metrics.segmentation import adjusted_rand_index, foreground_ari, merge_like_saff, segmentation_scores

Picture = UInt8[np.ndarray, "H W 3"]


def image_scores(
    prediction: Picture,
    truth: Picture,
    regions: Mapping[str, Bool[np.ndarray, "H W"] | None],
    reference: Reference,
    lpips: Lpips | None = None,
    reference_truth: Picture | None = None,
) -> dict[str, dict[str, float]]:
    """By region (a mask, or None for the whole picture): psnr, ssim, lpips (with a network), and the same as
    ``reference`` computes them, where it does.

    ``reference_truth`` is what the reference compares with, where that is another picture.
    """
    a, b = _unit(prediction), _unit(truth)
    ranges = (1.0, reference.ssim_data_range)
    if reference_truth is None:
        other = b
        similarity, other_similarity = ssim_maps(a, b, ranges)
    else:
        other = _unit(reference_truth)
        similarity, other_similarity = ssim_maps(a, b, ranges[:1])[0], ssim_maps(a, other, ranges[1:])[0]
    result = {}
    for region, mask in regions.items():
        m = None if mask is None else torch.from_numpy(np.ascontiguousarray(mask))
        if m is not None and not bool(m.any()):
            result[region] = _nothing(reference, lpips is not None)
            continue
        scores = {"psnr": float(psnr(a, b, m)), "ssim": float(mean_similarity(similarity, m))}
        if lpips is not None:
            scores["lpips"] = lpips.compare(a, b, m)
        if m is None or reference.masked:
            pair = psnr_8bit(a, other) if reference.psnr_8bit else psnr(a, other, m, "reference")
            scores["psnr_reference"] = float(pair)
            scores["ssim_reference"] = float(mean_similarity(other_similarity, m))
            if lpips is not None:
                x, y = (a.flip(-1), other.flip(-1)) if reference.lpips_bgr else (a, other)
                scores["lpips_reference"] = lpips.compare(
                    x, y, m, reference.lpips_symmetric, reference.lpips_input_scaling
                )
        result[region] = scores
    return result


def _nothing(reference: Reference, lpips: bool) -> dict[str, float]:
    """Scores of an empty mask: none. NSFF adds a tiny number to the mask's area, so that its scores there are 0, and
    enter its means."""
    names = ["psnr", "ssim", *(["lpips"] if lpips else [])]
    scores = dict.fromkeys(names, math.nan)
    return scores | {f"{name}_reference": 0.0 for name in names if reference.masked}


def mask_scores(
    prediction: Integer[np.ndarray, "H W"], truth: Integer[np.ndarray, "H W"], reference: Reference
) -> dict[str, float]:
    """ari, fg_ari, jaccard; with a reference that merges colours also ari_reference and fg_ari_reference."""
    scores = segmentation_scores(prediction, truth)
    if reference.merged_colours:
        merged = merge_like_saff(prediction)
        scores["ari_reference"] = adjusted_rand_index(merged, truth)
        scores["fg_ari_reference"] = foreground_ari(merged, truth)
    return scores


def error_picture(prediction: UInt8[np.ndarray, "H W 3"], truth: UInt8[np.ndarray, "H W 3"]) -> np.ndarray:
    """Mean absolute error over the channels, (H,W) in [0,1]."""
    return np.abs(prediction.astype(np.float32) - truth.astype(np.float32)).mean(2) / 255


def to_8bit(picture: torch.Tensor) -> UInt8[np.ndarray, "H W 3"]:
    """A rendered picture (H,W,3) in [0,1] as it is written and scored."""
    return (picture.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _unit(picture: UInt8[np.ndarray, "H W 3"]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).float() / 255
