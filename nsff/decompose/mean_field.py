"""Mean-field inference in a fully connected CRF with Gaussian pairwise terms (Krähenbühl, Koltun 2011).

Notation. N pixels, L labels; unary energies U (N,L); marginals Q (N,L), rows add up to 1. A kernel k is normalised
symmetrically, K' = D^-½ K D^-½ with D = K·1 (self weights included, as in the authors' code). With the Potts model
and weight w, Q ← softmax(-U + Σ w K' Q).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Float64, Integer
from scipy.ndimage import gaussian_filter

from nsff.decompose.permutohedral import PermutohedralLattice

Filter = Callable[[Float[np.ndarray, "N L"]], Float64[np.ndarray, "N L"]]


def unary_from_labels(
    labels: Integer[np.ndarray, "H W"], n_labels: int, probability: float
) -> Float64[np.ndarray, "N L"]:
    """Energies -log p for the given label (0..n_labels-1) and -log((1-p)/(n_labels-1)) for each other one."""
    energy = np.full((labels.size, n_labels), -np.log((1 - probability) / (n_labels - 1)))
    energy[np.arange(labels.size), labels.ravel()] = -np.log(probability)
    return energy


def mean_field(
    unary: Float64[np.ndarray, "N L"], kernels: Sequence[tuple[float, Filter]], iterations: int
) -> Float64[np.ndarray, "N L"]:
    """Beliefs after a number of parallel updates; ``kernels`` are (weight, symmetrically normalised filter)."""
    marginals = softmax(-unary)
    for _ in range(iterations):
        energy = -unary
        for weight, apply in kernels:
            energy = energy + weight * apply(marginals)
        marginals = softmax(energy)
    return marginals


def softmax(values: Float64[np.ndarray, "N L"]) -> Float64[np.ndarray, "N L"]:
    values = np.exp(values - values.max(1, keepdims=True))
    return values / values.sum(1, keepdims=True)


def normalised(apply: Filter, n: int) -> Filter:
    """The symmetric normalisation D^-½ K D^-½ of a filter on n points."""
    root = 1 / np.sqrt(np.maximum(apply(np.ones((n, 1))), 1e-20))
    return lambda values: root * apply(root * values)


def gaussian_kernel(height: int, width: int, sigma: float) -> Filter:
    """Smoothness kernel exp(-|p_i-p_j|²/2σ²) on the pixel grid (σ in pixels): separable, with zeros outside the
    frame."""

    def apply(values: np.ndarray) -> np.ndarray:
        images = values.reshape(height, width, -1).astype(np.float64)
        return gaussian_filter(images, (sigma, sigma, 0), mode="constant", truncate=5.0).reshape(len(values), -1)

    return normalised(apply, height * width)


def bilateral_features(
    guide: Float[np.ndarray, "H W c"], sigma: float, channel_sigma: float
) -> Float64[np.ndarray, "N d"]:
    """Position / σ (pixels) and guidance / channel_sigma (grey levels) of every pixel, (H·W, 2+c).

    In the order y, x, then the channels from the last to the first: a lattice depends on the order, and this is what
    SAFF hands to pydensecrf for pictures that OpenCV has read, blue first.
    """
    height, width = guide.shape[:2]
    grid = position_features(height, width, sigma).reshape(height, width, 2)
    channels = guide[..., ::-1].astype(np.float64) / channel_sigma
    return np.concatenate([grid, channels], 2).reshape(height * width, -1)


def position_features(height: int, width: int, sigma: float) -> Float64[np.ndarray, "N 2"]:
    """y and x of every pixel over σ (pixels)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x], 2).reshape(height * width, 2) / sigma


def exact_kernel(features: Float64[np.ndarray, "N d"], chunk: int = 1024) -> Filter:
    """exp(-|f_i-f_j|²/2) summed over all pairs in chunks: the plain twin of the lattice, quadratic in N."""
    squares = (features**2).sum(1)

    def apply(values: np.ndarray) -> np.ndarray:
        result = np.empty((len(features), values.shape[1]))
        for start in range(0, len(features), chunk):
            part = slice(start, start + chunk)
            distance = squares[part, None] + squares[None, :] - 2 * features[part] @ features.T
            result[part] = np.exp(-0.5 * np.maximum(distance, 0)) @ values
        return result

    return normalised(apply, len(features))


def lattice_kernel(features: Float64[np.ndarray, "N d"]) -> Filter:
    """The same kernel approximated on a permutohedral lattice, linear in N."""
    return normalised(PermutohedralLattice(features).filter, len(features))
