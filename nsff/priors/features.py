"""Semantic features and saliency of every frame: backend descriptors, normalised per pixel and reduced by PCA.

Notation. Descriptors (h,w,D) and features (N,h,w,C) with h = ceil(H/stride); saliency (N,h,w) in [0,1]. As in SAFF,
descriptors are scaled to unit length per pixel, PCA is fit on every sample_interval-th pixel of all frames together,
and the features are not scaled again afterwards. Frames pass one by one and the result is written in place, so memory
does not grow with N.

A new backend is one file with a callable ``open(scene, config) -> (frame index -> (descriptors, saliency))``, one
line in BACKENDS and its name in FeaturesConfig.backend.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Float32
from sklearn.decomposition import PCA
from tqdm import tqdm

from nsff.config import FeaturesConfig
from nsff.errors import ConfigError
from nsff.io import atomic_path, write_npz
from nsff.priors.classical_features import ClassicalFeatures
from nsff.scene import Scene

Describe = Callable[[int], tuple[Float32[np.ndarray, "h w D"], Float32[np.ndarray, "h w"]]]

BACKENDS: dict[str, Callable[[Scene, FeaturesConfig], Describe]] = {
    "classical": ClassicalFeatures,
}

SALIENT = 0.5
"""Saliency above this counts as salient in the summary."""


def run_features(scene: Scene, features: FeaturesConfig) -> None:
    """Writes features/{features,saliency}.npy, features/pca.npz and the summary.

    Raises ConfigError for an unknown backend, or where the backend has fewer dimensions than ``features.components``.
    """
    if features.backend not in BACKENDS:
        raise ConfigError(
            "features.backend", f"unknown backend {features.backend!r}", f"allowed: {', '.join(sorted(BACKENDS))}"
        )
    describe = BACKENDS[features.backend](scene, features)
    pca = fit_pca(describe, scene.n_frames, features)
    mean_saliency, salient_fraction = [], []
    with _arrays(scene, features) as (feature_array, saliency_array):
        for i in tqdm(range(scene.n_frames), desc="features", unit="frame"):
            descriptors, saliency = describe(i)
            feature_array[i] = project(descriptors, pca)
            saliency_array[i] = saliency
            mean_saliency.append(float(saliency.mean()))
            salient_fraction.append(float((saliency > SALIENT).mean()))
    write_npz(
        scene.features_dir / "pca.npz",
        mean=pca.mean_.astype(np.float32),
        components=pca.components_.astype(np.float32),
        explained_variance_ratio=pca.explained_variance_ratio_.astype(np.float32),
    )
    scene.write_summary("features", summarise(features, pca, np.array(mean_saliency), np.array(salient_fraction)))


def normalise(values: Float[np.ndarray, "... D"]) -> Float32[np.ndarray, "... D"]:
    """Unit length along the last axis; zero stays zero."""
    values = np.asarray(values, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-8)


def fit_pca(describe: Describe, n_frames: int, features: FeaturesConfig) -> PCA:
    """PCA of normalised descriptors, every ``sample_interval``-th pixel of the list over all frames; more on small
    scenes."""
    samples: list[np.ndarray] = []
    interval, start = 0, 0
    for i in tqdm(range(n_frames), desc="descriptor samples", unit="frame"):
        descriptors = describe(i)[0]
        pixels = descriptors.reshape(-1, descriptors.shape[2])
        if not interval:
            if pixels.shape[1] < features.components:
                raise ConfigError(
                    "features.components",
                    f"is {features.components}, but backend {features.backend!r} has {pixels.shape[1]} dimensions",
                    f"use features.components: {pixels.shape[1]} or fewer",
                )
            # A few dozen samples per dimension keep the covariance well conditioned however short the clip is.
            interval = max(1, min(features.sample_interval, len(pixels) * n_frames // (50 * pixels.shape[1])))
        samples.append(normalise(pixels[start::interval]))
        start = (start - len(pixels)) % interval
    stacked = np.concatenate(samples)
    if len(stacked) < features.components:
        raise ConfigError(
            "features.components",
            f"is {features.components}, but there are only {len(stacked)} pixels",
            "use fewer components",
        )
    return PCA(features.components, svd_solver="covariance_eigh").fit(stacked)


def project(descriptors: Float32[np.ndarray, "h w D"], pca: PCA) -> Float32[np.ndarray, "h w C"]:
    """Unit length per pixel, then the PCA basis."""
    pixels = normalise(descriptors.reshape(-1, descriptors.shape[2]))
    projected = (pixels - pca.mean_.astype(np.float32)) @ pca.components_.T.astype(np.float32)
    return projected.reshape(*descriptors.shape[:2], -1)


@contextlib.contextmanager
def _arrays(scene: Scene, features: FeaturesConfig) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Memory-mapped features and saliency to fill; the files appear under their names only when all went well."""
    shape = (scene.n_frames, *(-(-n // features.stride) for n in scene.size))
    folder = scene.features_dir
    with atomic_path(folder / "features.npy") as first, atomic_path(folder / "saliency.npy") as second:
        arrays = (
            np.lib.format.open_memmap(first, "w+", np.float16, (*shape, features.components)),
            np.lib.format.open_memmap(second, "w+", np.float16, shape),
        )
        yield arrays
        for array in arrays:
            array.flush()


def summarise(
    features: FeaturesConfig, pca: PCA, mean_saliency: np.ndarray, salient_fraction: np.ndarray
) -> dict[str, object]:
    """Numbers and verdict: how much variance the basis keeps, how much of the frames is salient."""
    explained, salient = float(pca.explained_variance_ratio_.sum()), float(salient_fraction.mean())
    empty = int((salient_fraction < 1e-4).sum())
    words = (
        f"{features.components} components of {pca.n_features_in_} keep {explained:.1%} of the variance; "
        f"{salient:.1%} of the pixels are salient."
    )
    verdict = "good"
    if salient < 1e-4:
        verdict = "poor"
        words += " Nothing is salient, so no object can be found: the motion masks are empty. See the motion stage."
    elif salient > 0.6:
        verdict = "doubtful"
        words += " Most of the picture is salient: cameras or flow are probably wrong. See the motion stage."
    elif empty > len(salient_fraction) // 3:
        verdict = "doubtful"
        words += f" {empty} of {len(salient_fraction)} frames have no salient pixel: what moves may be missed there."
    elif explained < 0.8:
        verdict = "doubtful"
        words += " The basis loses much: use more features.components."
    return {
        "backend": features.backend,
        "components": features.components,
        "dimensions": pca.n_features_in_,
        "stride": features.stride,
        "explained_variance": explained,
        "saliency_mean": float(mean_saliency.mean()),
        "salient_fraction": salient,
        "salient_fraction_min": float(salient_fraction.min()),
        "salient_fraction_max": float(salient_fraction.max()),
        "frames_without_saliency": empty,
        "verdict": verdict,
        "words": words,
    }
