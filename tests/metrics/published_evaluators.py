"""The published evaluators' formulas on files, written with OpenCV, scikit-image, scikit-learn and torch alone.

Nothing of the product is used here, so that these numbers are a second opinion. ``distance(a, b, mask)`` stands for
their LPIPS network: pictures (H,W,3) float as they are fed, mask (H,W,3) or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import adjusted_rand_score

Distance = Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]


def nsff(prediction: Path, truth: Path, mask: Path, distance: Distance | None) -> dict[str, float]:
    """NSFF's evaluation.py, with an 8-bit picture in place of the render: whole picture, and where the mask is."""
    rgb = np.float32(cv2.imread(str(prediction))[:, :, ::-1]) / 255
    size = (rgb.shape[1], rgb.shape[0])
    gt = cv2.resize(cv2.imread(str(truth))[:, :, ::-1], size, interpolation=cv2.INTER_AREA)
    gt = np.float32(gt) / 255
    moving = np.float32(cv2.imread(str(mask)) > 1e-3)
    moving = cv2.resize(moving, size, interpolation=cv2.INTER_NEAREST)
    with np.errstate(divide="ignore"):
        whole = peak_signal_noise_ratio(gt, rgb, data_range=1)
    a, b = gt.astype(np.float64), rgb.astype(np.float64)
    similarity, similarities = structural_similarity(a, b, channel_axis=2, data_range=2, full=True)
    area = moving.astype(np.float64).sum() + 1e-8
    error = ((a - b) ** 2 * moving).sum() / area
    found = {
        "full psnr": float(whole),
        "full ssim": float(similarity),
        "dynamic psnr": 0.0 if error == 0 else -10 * math.log10(error),
        "dynamic ssim": float((similarities * moving).sum() / area),
    }
    if distance is not None:
        found["full lpips"] = distance(2 * gt - 1, 2 * rgb - 1, None)
        found["dynamic lpips"] = distance(2 * gt - 1, 2 * rgb - 1, moving)
    return found


def saff_pictures(prediction: Path, truth: Path, distance: Distance | None) -> dict[str, float]:
    """SAFF's evaluate_recon_ours.py."""
    made = cv2.imread(str(prediction))[:, :, ::-1]
    gt = cv2.imread(str(truth))[:, :, ::-1]
    gt = cv2.resize(gt, (made.shape[1], made.shape[0]), interpolation=cv2.INTER_NEAREST)
    a, b = gt / 255.0, made / 255.0
    with np.errstate(divide="ignore"):
        found = {"full psnr": float(peak_signal_noise_ratio(a, b, data_range=1))}
    found["full ssim"] = float(structural_similarity(a, b, channel_axis=2, data_range=2))
    if distance is not None:
        found["full lpips"] = distance(a, b, None)
    return found


def dynamicnerf(prediction: Path, truth: Path, distance: Distance | None) -> dict[str, float]:
    """DynamicNeRF's utils/evaluation.py, on pictures of one size."""
    a, b = cv2.imread(str(truth)), cv2.imread(str(prediction))
    found = {"full psnr": cv2.PSNR(a, b), "full ssim": float(structural_similarity(a, b, channel_axis=2))}
    if distance is not None:
        found["full lpips"] = distance(a / 127.5 - 1, b / 127.5 - 1, None)
    return found


def saff_labels(picture: np.ndarray) -> np.ndarray:
    """Labels of a colour-coded picture as OpenCV reads it: every channel is compared alone, and the first one kept."""
    colours = np.unique(picture.reshape(-1, 3), axis=0)
    labels = np.zeros(picture.shape, int)
    for number, colour in enumerate(colours):
        labels[picture == colour] = number if colour.any() else -1
    return labels[..., 0]


def saff_masks(prediction: Path, truth: Path, captures: bool = False) -> dict[str, float]:
    """SAFF's evaluate_ours.py and evaluate_fg_ours.py; ``captures``: the two of DyCheck's captures, where black is the
    object. Truth of another size is brought to the prediction's."""
    made = cv2.imread(str(prediction))
    gt = cv2.imread(str(truth), cv2.IMREAD_GRAYSCALE)
    gt = cv2.resize(gt, (made.shape[1], made.shape[0]), interpolation=cv2.INTER_NEAREST)
    labels, true = saff_labels(made), (gt < 10).astype(int) if captures else gt
    ours, theirs = made.any(-1), gt == 0 if captures else gt != 0
    union = (ours | theirs).sum()
    return {
        "ari": adjusted_rand_score(true.ravel(), labels.ravel()),
        "fg_ari": adjusted_rand_score(true[true != 0], labels[true != 0]),
        "jaccard": (ours & theirs).sum() / union if union else math.nan,
    }


def oracle_foreground(labels: np.ndarray, truth: np.ndarray, threshold: float = 0.3, flip: bool = False) -> list[int]:
    """Colours that postprocess_oracle.py keeps: the true foreground is black, or with ``flip`` brighter than 10."""
    foreground = truth > 10 if flip else truth < 10
    return [k for k in np.unique(labels) if not (foreground & (labels == k)).sum() / (labels == k).sum() < threshold]


def alexnet_distance(convolutions: dict[str, torch.Tensor], linear: list[torch.Tensor], scaled: bool) -> Distance:
    """LPIPS 0.1 from its weights, with NSFF's weighting by a mask; ``scaled``: with the input scaling that NSFF and
    SAFF skip. Keys are torchvision's, without `features.`."""
    functional = torch.nn.functional
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def stages(picture: np.ndarray) -> list[torch.Tensor]:
        x = torch.from_numpy(np.ascontiguousarray(picture)).float()
        x = ((x - shift) / scale if scaled else x).permute(2, 0, 1)[None]
        result = []
        for place, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
            if place in (3, 6):
                x = functional.max_pool2d(x, 3, 2)
            weight, bias = convolutions[f"{place}.weight"], convolutions[f"{place}.bias"]
            x = functional.conv2d(x, weight, bias, stride=stride, padding=padding).relu()
            result.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return result

    def distance(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None) -> float:
        total = 0.0
        for x, y, weight in zip(stages(a), stages(b), linear, strict=True):
            values = functional.conv2d((x - y) ** 2, weight)
            if mask is None:
                total += float(values.mean())
                continue
            where = torch.from_numpy(np.ascontiguousarray(mask)).float().permute(2, 0, 1)[None]
            where = functional.interpolate(where, size=values.shape[-2:], mode="nearest")
            total += float((values * where).sum() / (where.sum() + 1e-8))
        return total

    return distance
