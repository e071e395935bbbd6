"""Semantic features and saliency of every frame: backend descriptors, normalised per pixel and reduced by PCA.

Notation. Descriptors (h,w,D) and features (N,h,w,C) with h = ceil(H/stride); saliency (N,h,w) in [0,1]. As in SAFF,
descriptors are scaled to unit length per pixel, PCA is fit on every sample_interval-th pixel of all frames together,
and the features are not scaled again afterwards. Frames pass one by one and the result is written in place, so memory
does not grow with N.

A new backend is one file (docs/extending.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from nsff.config import FeaturesConfig
from nsff.errors import ConfigError
from nsff.files.arrays import new_npy
from nsff.files.checksums import seal
from nsff.files.io import atomic_path
from nsff.imaging.vectors import unit_length
from nsff.priors.features.basis import Basis, Moments
from nsff.priors.features.describer import Describe, FeatureBackend
from nsff.priors.features.registry import FEATURES
from nsff.scene import Scene

SALIENT = 0.5
"""Saliency above this counts as salient in the summary."""


def choose_backend(features: FeaturesConfig) -> str:
    """The backend that the setting stands for: with ``auto`` dino where its weights are found, else classical.

    Raises ConfigError for a combination that no backend has.
    """
    return _choose(features)[0]


def _choose(features: FeaturesConfig) -> tuple[str, Path | None]:
    """The name as ``choose_backend`` returns it, and the file of the weights that the backend loads."""
    chosen = FEATURES.choose(features)
    assert chosen is not None  # classical needs nothing
    if features.saliency == "attention" and not _has_attention(chosen[0]):
        problem = f"is 'attention', which backend {chosen[0]!r} does not have"
        raise ConfigError("features.saliency", problem, "use 'auto' or 'motion'")
    return chosen


def _has_attention(name: str) -> bool:
    backend = FEATURES.backends[name]
    return isinstance(backend, FeatureBackend) and backend.attention


def run_features(scene: Scene, features: FeaturesConfig) -> None:
    """Writes features/{features,saliency}.npy, features/pca.npz and the summary.

    Raises ConfigError for an unknown backend, or where the backend has fewer dimensions than ``features.components``.
    """
    backend, weights = _choose(features)
    describe = FEATURES.open_chosen(features, backend, weights)(scene)
    basis = fit_basis(describe, scene.n_frames, features, backend)
    mean_saliency, salient_fraction = [], []
    with _arrays(scene, features) as (stored_features, stored_saliency):
        for i in tqdm(range(scene.n_frames), desc="features", unit="frame"):
            descriptors, saliency = describe(i)
            stored_features[i] = basis.project(descriptors)
            stored_saliency[i] = saliency
            mean_saliency.append(float(saliency.mean()))
            salient_fraction.append(float((saliency > SALIENT).mean()))
    basis.save(scene.feature_basis_path)
    numbers = summarise(features, backend, basis, np.array(mean_saliency), np.array(salient_fraction))
    scene.write_summary("features", numbers)


def fit_basis(describe: Describe, n_frames: int, features: FeaturesConfig, backend: str = "classical") -> Basis:
    """PCA of normalised descriptors, every ``sample_interval``-th pixel of the list over all frames, more on small
    scenes; or of all tokens that the backend gives for it."""
    moments: Moments | None = None
    interval, start = 0, 0
    for i in tqdm(range(n_frames), desc="descriptor samples", unit="frame"):
        tokens = _basis_tokens(describe, i)
        pixels = _pixels(describe(i)[0]) if tokens is None else tokens
        if moments is None:
            if pixels.shape[1] < features.components:
                raise ConfigError(
                    "features.components",
                    f"is {features.components}, but backend {backend!r} has {pixels.shape[1]} dimensions",
                    f"use features.components: {pixels.shape[1]} or fewer",
                )
            # A few dozen samples per dimension keep the covariance well conditioned however short the clip is.
            interval = max(1, min(features.sample_interval, len(pixels) * n_frames // (50 * pixels.shape[1])))
            interval = interval if tokens is None else 1
            moments = Moments(pixels.shape[1])
        moments.add(unit_length(pixels[start::interval]))
        start = (start - len(pixels)) % interval
    assert moments is not None
    return moments.basis(features.components)


def _basis_tokens(describe: Describe, i: int) -> Float32[np.ndarray, "P D"] | None:
    own = getattr(describe, "basis_tokens", None)
    return None if own is None else own(i)


def _pixels(descriptors: Float32[np.ndarray, "h w D"]) -> Float32[np.ndarray, "P D"]:
    return descriptors.reshape(-1, descriptors.shape[2])


@contextlib.contextmanager
def _arrays(scene: Scene, features: FeaturesConfig) -> Iterator[tuple[np.memmap, np.memmap]]:
    """features.npy (N,h,w,C) and saliency.npy (N,h,w), float16, to be filled frame by frame.

    They lie on the disk and may be larger than the memory; they appear under their names only when all went well.
    """
    shape = (scene.n_frames, *(-(-n // features.stride) for n in scene.size))
    with (
        atomic_path(scene.features_path) as first,
        atomic_path(scene.saliency_path) as second,
        new_npy(first, (*shape, features.components), np.float16) as values,
        new_npy(second, shape, np.float16) as saliency,
    ):
        yield values, saliency
    seal(scene.features_dir)


def summarise(
    features: FeaturesConfig, backend: str, basis: Basis, mean_saliency: np.ndarray, salient_fraction: np.ndarray
) -> dict[str, object]:
    """Numbers and verdict: how much variance the basis keeps, how much of the frames is salient."""
    explained, salient = float(basis.explained_variance_ratio.sum()), float(salient_fraction.mean())
    attention = _has_attention(backend) and features.saliency != "motion"
    empty = int((salient_fraction < 1e-4).sum())
    message = (
        f"{features.components} components of {basis.dimensions} keep {explained:.1%} of the variance; "
        f"{salient:.1%} of the pixels are salient."
    )
    verdict = "good"
    if salient < 1e-4:
        verdict = "poor"
        message += " Nothing is salient, so no object can be found" + (
            ": the network sees no object." if attention else ": the motion masks are empty. See the motion stage."
        )
    elif salient > 0.6:
        verdict = "doubtful"
        message += " Most of the picture is salient: " + (
            "the attention is diffuse; features.saliency: motion is the alternative."
            if attention
            else "cameras or flow are probably wrong. See the motion stage."
        )
    elif empty > len(salient_fraction) // 3:
        verdict = "doubtful"
        message += f" {empty} of {len(salient_fraction)} frames have no salient pixel: what moves may be missed there."
    elif explained < getattr(FEATURES.backends[backend], "explained", 0.8):
        verdict = "doubtful"
        message += " The basis loses much: use more features.components."
    return {
        "backend": backend,
        "saliency": "attention" if attention else "motion",
        "components": features.components,
        "dimensions": basis.dimensions,
        "stride": features.stride,
        "explained_variance": explained,
        "saliency_mean": float(mean_saliency.mean()),
        "salient_fraction": salient,
        "salient_fraction_min": float(salient_fraction.min()),
        "salient_fraction_max": float(salient_fraction.max()),
        "frames_without_saliency": empty,
        "verdict": verdict,
        "message": message,
    }
