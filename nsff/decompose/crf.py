"""Dense CRF on the object masks, guided by colour and rendered depth (SAFF; specification section 7.2).

Notation. Labels (H,W) are object numbers, 0 background; inside the CRF the labels present in a view are 0..L-1 in
ascending order. Guidance is rgb (H,W,3) and depth (H,W) in grey levels 0..255. Standard deviations in pixels hold at
288 rows. Energy: unary -log p; Potts terms with a Gaussian, a depth-bilateral and a colour-bilateral kernel,
symmetrically normalised.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32, Int64, Integer, UInt8
from tqdm import tqdm

from nsff.config import CrfConfig
from nsff.decompose import mean_field as field
from nsff.decompose.stability import describe_masks, judge
from nsff.decompose.views import TRAINING, read_depth, read_labelled, read_rgb, write_mask_folder, write_preview
from nsff.errors import ConfigError
from nsff.io import atomic_directory, read_mask
from nsff.scene import Scene

REFERENCE_ROWS = 288


def run_crf(scene: Scene, crf: CrfConfig) -> None:
    """Writes masks_crf/ ({i}.png labels, colour/{i}.png, preview.png) and the summary.

    Views with one label only pass through. Raises ConfigError where backend pydensecrf is asked for but not installed.
    """
    backend = choose_backend(crf)
    views = read_labelled(scene, scene.masks_dir)
    before, after, training, passed = [], [], [], 0
    with atomic_directory(scene.masks_crf_dir) as folder:
        for view in tqdm(views, desc="dense CRF", unit="view"):
            labels = read_mask(scene.masks_dir / f"{view.index}.png", scene.size).astype(np.int64)
            refined = labels
            if len(np.unique(labels)) > 1:
                own = crf.guidance == "frames" and view.split == TRAINING
                rgb = scene.image(view.camera) if own else read_rgb(scene, view, scene.size)
                refined = refine(labels, rgb, read_depth(scene, view, scene.size), crf, backend)
            else:
                passed += 1
            write_mask_folder(folder, view, refined)
            if view.split == TRAINING:
                before.append(labels)
                after.append(refined)
                training.append(view)
        write_preview(scene, folder, training)
    numbers = describe_masks(scene, after, [view.camera for view in training])
    earlier = describe_masks(scene, before, [view.camera for view in training])
    changed = float(np.mean([(a != b).mean() for a, b in zip(after, before, strict=True)]))
    numbers |= {
        "backend": backend, "pixels_changed": changed, "views_passed_through": passed,
        "foreground_before": earlier["foreground_fraction"], "warped_overlap_before": earlier["warped_overlap"],
    }  # fmt: skip
    scene.write_summary("crf", numbers | verdict(numbers, earlier, changed))


def choose_backend(crf: CrfConfig) -> str:
    """pydensecrf or own, as configured; auto takes pydensecrf where it can be imported."""
    installed = importlib.util.find_spec("pydensecrf") is not None
    if crf.backend == "pydensecrf" and not installed:
        raise ConfigError(
            "crf.backend",
            "is pydensecrf, which is not installed",
            "pip install pydensecrf2 (needs g++), or use crf.backend: own",
        )
    return "own" if crf.backend == "own" or not installed else "pydensecrf"


def refine(
    labels: Integer[np.ndarray, "H W"],
    rgb: UInt8[np.ndarray, "H W 3"],
    depth: Float32[np.ndarray, "H W"],
    crf: CrfConfig,
    backend: str = "own",
) -> Int64[np.ndarray, "H W"]:
    """Labels after the CRF; the same numbers as before, never a new one."""
    present, index = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return labels.astype(np.int64)
    beliefs = BACKENDS[backend](index.reshape(labels.shape), len(present), rgb, depth, crf)
    return present[beliefs.argmax(1)].reshape(labels.shape).astype(np.int64)


def sigmas(crf: CrfConfig, height: int) -> tuple[float, float, float]:
    """Spatial standard deviations in pixels at a height: Gaussian, depth, colour."""
    scale = height / REFERENCE_ROWS if crf.scale_with_height else 1.0
    return crf.gaussian_sigma * scale, crf.depth_sigma * scale, crf.rgb_sigma * scale


def beliefs_own(
    index: Integer[np.ndarray, "H W"],
    n_labels: int,
    rgb: UInt8[np.ndarray, "H W 3"],
    depth: Float32[np.ndarray, "H W"],
    crf: CrfConfig,
) -> Float[np.ndarray, "N L"]:
    """Beliefs (H·W, L) by this project's mean field: exact kernels on small images, the lattice on larger ones."""
    height, width = index.shape
    gaussian, depth_sigma, rgb_sigma = sigmas(crf, height)
    bilateral = field.exact_kernel if index.size <= crf.exact_pixels else field.lattice_kernel
    kernels = []
    if crf.gaussian_weight > 0:
        kernels.append((crf.gaussian_weight, field.gaussian_kernel(height, width, gaussian)))
    if crf.depth_weight > 0:
        # SAFF gives depth as three equal channels; one channel with σ/√3 is the same kernel.
        features = field.bilateral_features(depth[..., None], depth_sigma, crf.channel_sigma / np.sqrt(3))
        kernels.append((crf.depth_weight, bilateral(features)))
    if crf.rgb_weight > 0:
        kernels.append((crf.rgb_weight, bilateral(field.bilateral_features(rgb, rgb_sigma, crf.channel_sigma))))
    unary = field.unary_from_labels(index, n_labels, crf.ground_truth_probability)
    return field.mean_field(unary, kernels, crf.iterations)


def beliefs_pydensecrf(
    index: Integer[np.ndarray, "H W"],
    n_labels: int,
    rgb: UInt8[np.ndarray, "H W 3"],
    depth: Float32[np.ndarray, "H W"],
    crf: CrfConfig,
) -> Float[np.ndarray, "N L"]:
    """Beliefs (H·W, L) by pydensecrf, called as SAFF calls it (depth as three equal channels of 8 bits)."""
    import pydensecrf.densecrf as densecrf

    height, width = index.shape
    gaussian, depth_sigma, rgb_sigma = sigmas(crf, height)
    model = densecrf.DenseCRF2D(width, height, n_labels)
    unary = field.unary_from_labels(index, n_labels, crf.ground_truth_probability)
    model.setUnaryEnergy(np.ascontiguousarray(unary.T, np.float32))
    options = {"kernel": densecrf.DIAG_KERNEL, "normalization": densecrf.NORMALIZE_SYMMETRIC}
    if crf.gaussian_weight > 0:
        model.addPairwiseGaussian(sxy=gaussian, compat=crf.gaussian_weight, **options)
    grey = np.repeat(np.round(depth).astype(np.uint8)[..., None], 3, axis=2)
    for guide, sigma, weight in ((grey, depth_sigma, crf.depth_weight), (rgb, rgb_sigma, crf.rgb_weight)):
        if weight > 0:
            model.addPairwiseBilateral(
                sxy=sigma, srgb=crf.channel_sigma, rgbim=np.ascontiguousarray(guide), compat=weight, **options
            )
    return np.array(model.inference(crf.iterations), np.float64).T


BACKENDS: dict[str, Callable[..., np.ndarray]] = {"own": beliefs_own, "pydensecrf": beliefs_pydensecrf}


def verdict(numbers: dict[str, object], earlier: dict[str, object], changed: float) -> dict[str, str]:
    """Verdict and words: the masks themselves, and whether the CRF took objects away."""
    level, words = judge(numbers)
    words = f"The CRF changed {changed:.1%} of the pixels. {words}"
    shown, was_shown = numbers["views_with_object"], earlier["views_with_object"]
    assert isinstance(shown, dict)
    assert isinstance(was_shown, dict)
    lost = [k for k, n in was_shown.items() if shown.get(k, 0) < 0.5 * n]
    if lost:
        level = "poor" if level == "poor" else "doubtful"
        words += (
            f" Object {', '.join(lost)} vanished in most of its views: lower crf.rgb_weight "
            "and crf.depth_weight, or use masks/."
        )
    return {"verdict": level, "words": words}
