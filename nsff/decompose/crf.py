"""Dense CRF on the object masks, guided by colour and rendered depth (SAFF, postprocess_crf.py).

Notation. Labels (H,W) are object numbers, 0 background; inside the CRF the labels present in a view are 0..L-1, in
ascending order or as their colours' grey values go (crf_labels). Guidance is rgb (H,W,3) and depth (H,W) in grey
levels 0..255. Standard deviations in pixels hold at 288 rows. Energy: unary -log p; Potts terms with a Gaussian, a
depth-bilateral and a colour-bilateral kernel, symmetrically normalised.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int64, Integer, Num, UInt8
from tqdm import tqdm

from nsff.config import CrfConfig
from nsff.decompose import mean_field as field
from nsff.decompose.clusters import salient_labels
from nsff.decompose.colours import cluster_colours, grey_values
from nsff.decompose.stability import describe_masks, judge
from nsff.decompose.views import TRAINING, read_depth, read_labelled, read_rgb, write_mask_folder, write_preview
from nsff.errors import ConfigError
from nsff.files.io import atomic_directory, read_mask
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.layout import worse
from nsff.scene import Scene


def run_crf(scene: Scene, crf: CrfConfig) -> None:
    """Writes masks_crf/ ({i}.png labels, colour/{i}.png, preview.png) and the summary.

    Views with one label only pass through. Raises ConfigError where backend pydensecrf is asked for but not installed.
    """
    backend = choose_backend(crf)
    views = read_labelled(scene, scene.masks_dir)
    clusters = None if crf.labels == "numbers" else clusters_of_objects(scene)
    before, after, training, passed = [], [], [], 0
    with atomic_directory(scene.masks_crf_dir, sealed=True) as folder:
        for view in tqdm(views, desc="dense CRF", unit="view"):
            labels = read_mask(scene.mask_path(view.index), scene.size).astype(np.int64)
            refined = labels
            if len(np.unique(labels)) > 1:
                own = crf.guidance == "frames" and view.split == TRAINING
                rgb = scene.image(view.camera) if own else read_rgb(scene, view, scene.size)
                depth = read_depth(scene, view, scene.size, crf.depth_guide)
                refined = refine(labels, rgb, depth, crf, backend, clusters)
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


def clusters_of_objects(scene: Scene) -> list[int] | None:
    """The clusters' labels by object, which decide on SAFF's colours; None where masks were not made from clusters, or
    where objects are parts of clusters."""
    split = scene.instances_path.exists()
    return None if split or not scene.clusters_path.exists() else salient_labels(scene)


def refine(
    labels: Integer[np.ndarray, "H W"],
    rgb: UInt8[np.ndarray, "H W 3"],
    depth: Num[np.ndarray, "H W"],
    crf: CrfConfig,
    backend: str = "own",
    clusters: Sequence[int] | None = None,
) -> Int64[np.ndarray, "H W"]:
    """Labels after the CRF; numbers that were there before, never a new one.

    ``clusters`` as of ``cluster_colours``, for crf.labels grey and permuted.
    """
    index, names = crf_labels(labels, crf.labels, clusters)
    if len(names) < 2:
        return names[index]
    marginals = BACKENDS[backend](index, len(names), rgb, depth, crf)
    return names[marginals.argmax(1)].reshape(labels.shape)


def crf_labels(
    labels: Integer[np.ndarray, "H W"], kind: str, clusters: Sequence[int] | None = None
) -> tuple[Int64[np.ndarray, "H W"], Int64[np.ndarray, "L"]]:
    """Labels as the CRF counts them, from 0, and the object number that each gets after it (crf.labels)."""
    present, index = np.unique(labels, return_inverse=True)
    present, index = present.astype(np.int64), index.reshape(labels.shape)
    if kind == "numbers":
        return index, present
    colours = cluster_colours(present, clusters)
    grey, rank = np.unique(grey_values(colours), return_inverse=True)
    if kind == "grey":
        names = np.array([present[rank == value].min() for value in range(len(grey))])
    else:
        # SAFF takes the result's colours from the list of all colours in their own order.
        first = np.unique(colours, axis=0, return_index=True)[1]
        names = present[first][: len(grey)]
    return rank[index], names


def sigmas(crf: CrfConfig, height: int) -> tuple[float, float, float]:
    """Spatial standard deviations in pixels at a height: Gaussian, depth, colour."""
    scale = height / REFERENCE_ROWS if crf.scale_with_height else 1.0
    return crf.gaussian_sigma * scale, crf.depth_sigma * scale, crf.rgb_sigma * scale


def marginals_own(
    index: Integer[np.ndarray, "H W"],
    n_labels: int,
    rgb: UInt8[np.ndarray, "H W 3"],
    depth: Num[np.ndarray, "H W"],
    crf: CrfConfig,
) -> Float[np.ndarray, "N L"]:
    """Beliefs (H·W, L) by this project's mean field: exact kernels on small images, the lattice on larger ones, where
    it computes what pydensecrf does (which has single precision)."""
    kernels = []
    exact = index.size <= crf.exact_pixels
    bilateral = field.exact_kernel if exact else field.lattice_kernel
    height, width = index.shape
    gaussian, depth_sigma, rgb_sigma = sigmas(crf, height)
    if crf.gaussian_weight > 0:
        positions = field.position_features(height, width, gaussian)
        smooth = field.gaussian_kernel(height, width, gaussian) if exact else field.lattice_kernel(positions)
        kernels.append((crf.gaussian_weight, smooth))
    for guide, sigma, weight in guides(rgb, depth, depth_sigma, rgb_sigma, crf):
        kernels.append((weight, bilateral(field.bilateral_features(guide, sigma, crf.channel_sigma))))
    unary = field.unary_from_labels(index, n_labels, crf.ground_truth_probability)
    return field.mean_field(unary, kernels, crf.iterations)


def marginals_pydensecrf(
    index: Integer[np.ndarray, "H W"],
    n_labels: int,
    rgb: UInt8[np.ndarray, "H W 3"],
    depth: Num[np.ndarray, "H W"],
    crf: CrfConfig,
) -> Float[np.ndarray, "N L"]:
    """Beliefs (H·W, L) by pydensecrf, which is given what SAFF gives it, value by value."""
    import pydensecrf.densecrf as densecrf
    from pydensecrf.utils import create_pairwise_bilateral, create_pairwise_gaussian, unary_from_labels

    height, width = index.shape
    gaussian, depth_sigma, rgb_sigma = sigmas(crf, height)
    model = densecrf.DenseCRF2D(width, height, n_labels)
    model.setUnaryEnergy(unary_from_labels(index, n_labels, crf.ground_truth_probability, zero_unsure=False))
    options = {"kernel": densecrf.DIAG_KERNEL, "normalization": densecrf.NORMALIZE_SYMMETRIC}
    if crf.gaussian_weight > 0:
        features = create_pairwise_gaussian((gaussian, gaussian), (height, width))
        model.addPairwiseEnergy(features, compat=crf.gaussian_weight, **options)
    for guide, sigma, weight in guides(rgb, depth, depth_sigma, rgb_sigma, crf):
        # Blue first, as OpenCV reads pictures: the lattice depends on the order of features.
        picture = np.ascontiguousarray(guide[..., ::-1])
        features = create_pairwise_bilateral((sigma, sigma), (crf.channel_sigma,) * 3, picture, chdim=2)
        model.addPairwiseEnergy(features, compat=weight, **options)
    return np.array(model.inference(crf.iterations), np.float64).T


def guides(
    rgb: UInt8[np.ndarray, "H W 3"],
    depth: Num[np.ndarray, "H W"],
    depth_sigma: float,
    rgb_sigma: float,
    crf: CrfConfig,
) -> list[tuple[UInt8[np.ndarray, "H W 3"], float, float]]:
    """Pictures of the bilateral terms that count, with their spatial deviations and weights: depth as a picture of
    8 bits and three equal channels, then colour."""
    grey = np.rint(depth).clip(0, 255).astype(np.uint8)
    both = ((np.repeat(grey[..., None], 3, axis=2), depth_sigma, crf.depth_weight), (rgb, rgb_sigma, crf.rgb_weight))
    return [part for part in both if part[2] > 0]


BACKENDS: dict[str, Callable[..., np.ndarray]] = {"own": marginals_own, "pydensecrf": marginals_pydensecrf}


def verdict(numbers: dict[str, object], earlier: dict[str, object], changed: float) -> dict[str, str]:
    """Verdict and words: the masks themselves, and whether the CRF took objects away."""
    level, message = judge(numbers)
    message = f"The CRF changed {changed:.1%} of the pixels. {message}"
    shown, was_shown = numbers["views_with_object"], earlier["views_with_object"]
    assert isinstance(shown, dict)
    assert isinstance(was_shown, dict)
    lost = [k for k, n in was_shown.items() if shown.get(k, 0) < 0.5 * n]
    if lost:
        level = worse(level, "doubtful")
        message += (
            f" Object {', '.join(lost)} vanished in most of its views: lower crf.rgb_weight "
            "and crf.depth_weight, or use masks/."
        )
    return {"verdict": level, "message": message}
