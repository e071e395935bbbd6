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
from jaxtyping import Bool, Integer, Shaped, UInt8

from nsff.metrics.image import mean_similarity, psnr, psnr_8bit, ssim_maps
from nsff.metrics.lpips import Lpips
from nsff.metrics.protocols import Reference
from nsff.metrics.segmentation import (
    merge_like_saff,
    published_ari,
    published_jaccard,
    segmentation_scores,
)

Picture = UInt8[np.ndarray, "H W 3"]
Regions = Mapping[str, Shaped[np.ndarray, "H W *C"] | None]
"""Masks by name, (H,W) or for each channel; None is the whole picture."""
Published = tuple[Integer[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]
"""A true mask as a published evaluator reads it: labels for ARI, foreground for Jaccard."""


def image_scores(
    prediction: Picture,
    truth: Picture,
    regions: Regions,
    reference: Reference,
    lpips: Lpips | None = None,
    reference_truth: Picture | None = None,
    reference_regions: Regions | None = None,
) -> dict[str, dict[str, float]]:
    """By region: psnr, ssim, lpips (with a network), and the same as ``reference`` computes them, where it does.

    ``reference_truth`` and ``reference_regions`` are what the reference compares with and where, if that is something
    else: another picture, or the same resampled its way.
    """
    scores = _standard_scores(prediction, truth, regions, lpips)
    other = truth if reference_truth is None else reference_truth
    for region, found in _reference_scores(
        prediction, other, {**regions, **(reference_regions or {})}, reference, lpips
    ).items():
        scores[region] |= found
    return scores


def _standard_scores(
    prediction: Picture, truth: Picture, regions: Regions, lpips: Lpips | None
) -> dict[str, dict[str, float]]:
    """psnr, ssim and lpips by region; NaN for an empty one."""
    a, b = _unit(prediction), _unit(truth)
    similarity = ssim_maps(a, b, (1.0,))[0]
    result = {}
    for region, mask in regions.items():
        m = _tensor(mask)
        if m is not None and not bool(m.any()):
            result[region] = dict.fromkeys(["psnr", "ssim", *(["lpips"] if lpips else [])], math.nan)
            continue
        scores = {"psnr": float(psnr(a, b, m)), "ssim": float(mean_similarity(similarity, m))}
        if lpips is not None:
            scores["lpips"] = lpips.compare(a, b, m)
        result[region] = scores
    return result


def _reference_scores(
    prediction: Picture, truth: Picture, regions: Regions, reference: Reference, lpips: Lpips | None
) -> dict[str, dict[str, float]]:
    """The scores that the published code has, by region, named ``*_reference``."""
    a, b = _unit(prediction, reference.single_precision), _unit(truth, reference.single_precision)
    similarity = ssim_maps(a, b, (reference.ssim_data_range,))[0]
    result = {}
    for region, mask in regions.items():
        m = _tensor(mask)
        if m is not None and not reference.masked:
            continue
        if m is not None and not bool(m.any()):
            # NSFF adds a tiny number to the mask's area, so that its scores there are 0, and enter its means.
            scores = dict.fromkeys(["psnr", "ssim", *(["lpips"] if lpips else [])], 0.0)
        else:
            pair = psnr_8bit(a, b) if reference.psnr_8bit else psnr(a, b, m, "reference")
            scores = {"psnr": float(pair), "ssim": float(mean_similarity(similarity, m))}
            if lpips is not None:
                x, y = (a.flip(-1), b.flip(-1)) if reference.lpips_bgr else (a, b)
                weight = m.double().mean(-1) if m is not None and m.ndim == 3 else m
                scores["lpips"] = lpips.compare(x, y, weight, reference.lpips_symmetric, reference.lpips_input_scaling)
        result[region] = {f"{name}_reference": value for name, value in scores.items()}
    return result


def mask_scores(
    prediction: Integer[np.ndarray, "H W"],
    truth: Integer[np.ndarray, "H W"],
    reference: Reference,
    published: Published | None = None,
    merged: Integer[np.ndarray, "H W"] | None = None,
) -> dict[str, float]:
    """ari, fg_ari, jaccard; with a reference that merges colours also ari_reference, fg_ari_reference and
    jaccard_reference.

    ``published`` is the true mask as the published evaluator reads and resizes it, ``merged`` the predicted labels as
    it tells them apart; without them the truth as it is, and the labels in SAFF's colours.
    """
    scores = segmentation_scores(prediction, truth)
    if reference.merged_colours:
        labels, foreground = (truth, truth != 0) if published is None else published
        own = merge_like_saff(prediction) if merged is None else merged
        inside = labels != 0
        scores["ari_reference"] = published_ari(own, labels)
        scores["fg_ari_reference"] = published_ari(own[inside], labels[inside])
        scores["jaccard_reference"] = published_jaccard(prediction, foreground)
    return scores


def error_picture(prediction: UInt8[np.ndarray, "H W 3"], truth: UInt8[np.ndarray, "H W 3"]) -> np.ndarray:
    """Mean absolute error over the channels, (H,W) in [0,1]."""
    return np.abs(prediction.astype(np.float32) - truth.astype(np.float32)).mean(2) / 255


def to_8bit(picture: torch.Tensor) -> UInt8[np.ndarray, "H W 3"]:
    """A rendered picture (H,W,3) in [0,1] as it is written and scored."""
    return (picture.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _unit(picture: UInt8[np.ndarray, "H W 3"], single: bool = False) -> torch.Tensor:
    """In [0,1], double precision; ``single``: rounded to single precision before."""
    values = torch.from_numpy(np.ascontiguousarray(picture))
    return (values.float() / 255).double() if single else values.double() / 255


def _tensor(mask: np.ndarray | None) -> torch.Tensor | None:
    return None if mask is None else torch.from_numpy(np.ascontiguousarray(mask))
