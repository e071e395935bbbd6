"""Depth that came with the source, from a sensor, or of the user's own making: given/depth/ at the canonical size.

Notation. Disparity (H,W) is 1/z; confidence (H,W) in [0,1] is 0 where a sensor saw nothing. Such pixels do not mix into
their neighbours when a map is resized.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from nsff.config import DepthConfig
from nsff.errors import StageError
from nsff.files.arrays import names
from nsff.files.io import read_npz
from nsff.files.reading import reading
from nsff.priors.depth.aligned import align_maps
from nsff.priors.depth.maps import point_ratios, write_map
from nsff.scene import Scene


def given_depth(scene: Scene, depth: DepthConfig, folder: Path) -> dict[str, Any]:
    """given/depth/%05d.npz (disparity, and confidence if there), resized and, where its unit is another, aligned.

    With ``depth.align`` false it is tested against the sparse points and left as it is. Raises StageError naming a
    file that is missing, corrupt or not finite.
    """
    for i in tqdm(range(scene.n_frames), desc="given depth", unit="frame"):
        path = scene.given.depth_path(i)
        with reading(path):
            disparity = read_npz(path, ["disparity"])["disparity"].astype(np.float32)
        if disparity.ndim != 2 or not np.isfinite(disparity).all():
            raise StageError(
                path, f"disparity has shape {disparity.shape} or values that are not finite", "replace the file"
            )
        write_map(folder, i, *resize_known(disparity, _given_confidence(path, disparity.shape), scene.size))
    if depth.align:
        return align_maps(scene, depth, folder, "Disparity that came with the source", given=True)
    metric, message = _given_scale(scene, folder)
    return {"metric": metric, "verdict": "good", "message": f"Disparity came with the source. {message}"}


def resize_known(
    disparity: Float32[np.ndarray, "h w"], confidence: Float32[np.ndarray, "h w"], size: tuple[int, int]
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """Disparity and confidence at another size (height, width), pixels of confidence 0 left out of the averages.

    Where nothing is known around a pixel it keeps what resizing the values alone gives, with confidence 0.
    """
    height, width = size
    how = cv2.INTER_AREA if disparity.shape[0] > height else cv2.INTER_LINEAR
    known = (confidence > 0).astype(np.float32)
    plain, share, trust, values = (
        cv2.resize(array, (width, height), interpolation=how)
        for array in (disparity, known, confidence, disparity * known)
    )
    # A pixel of which less than half is known would be a guess.
    enough = share >= 0.5
    return np.where(enough, values / np.maximum(share, 1e-6), plain), np.where(enough, trust, 0).clip(0, 1)


def _given_confidence(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Confidence beside a given disparity; 1 everywhere where there is none."""
    with reading(path):
        if "confidence" not in names(path):
            return np.ones(shape, np.float32)
        confidence = read_npz(path, ["confidence"])["confidence"].astype(np.float32)
    if confidence.shape != shape or not np.isfinite(confidence).all():
        raise StageError(path, f"confidence has shape {confidence.shape}, disparity {shape}", "run ingest again")
    return confidence.clip(0, 1)


def _given_scale(scene: Scene, folder: Path) -> tuple[bool, str]:
    """Given disparity counts as metric when sparse points confirm its scale within 10 %."""
    ratios = point_ratios(scene, folder)
    if not len(ratios):
        return False, "There are no points to test its scale against."
    ratio = float(np.median(ratios))
    metric = abs(ratio - 1) < 0.1 and float(np.median(np.abs(ratios / ratio - 1))) < 0.1
    return metric, f"Sparse points have {ratio:.3g} times its scale; it is {'' if metric else 'not '}in scene units."
