"""Cleaning of masks exactly as SAFF's postprocess.py does it, on integer labels.

Notation. Labels (H,W) are object numbers, 0 background. SAFF works on coloured pictures: a cluster has the colour of
its label in the palette, what is not salient is black. It numbers the colours of a picture in lexicographic order and
filters the picture of these numbers, so the result depends on the palette:

- Colours are compared by their first channel alone. Those that share it become the last of them, in this picture:
  clusters 2, 3 and 7 are one object wherever two of them are seen.
- In a picture without black the first colour is number 0: the background, which everything that is taken away gets.
- Erosion lets low numbers into high ones, dilation high ones into low ones.
- A closed hole is no part of an object: it keeps the colour it had, black.
- Where nothing is background, the list of large components is off by one: a component stays if the next one is large.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, Integer
from skimage.measure import label
from skimage.morphology import area_closing, dilation, erosion, opening

from nsff.decompose.colours import cluster_colours

SQUARE_3X3 = np.ones((3, 3), np.uint8)
BLACK = -1


def clean_as_published(
    labels: Integer[np.ndarray, "H W"],
    clusters: Sequence[int] | None = None,
    iterations: int = 3,
    closing_area: float = 500,
    min_component: float = 0.01,
) -> Int64[np.ndarray, "H W"]:
    """Labels after grey erosion (3×3) ×iterations, opening by a cross, dilation ×iterations and area closing of the
    picture of colour numbers, and without components of at most the fraction ``min_component`` of the picture.

    ``clusters`` holds the clusters' labels (from 0) by object, which decide on colours; None: k-1 for object k.
    """
    labels = np.asarray(labels, np.int64)
    present, where = np.unique(labels, return_inverse=True)
    colours, which = np.unique(cluster_colours(present, clusters), axis=0, return_inverse=True)
    names = np.array([present[which.ravel() == number].min() for number in range(len(colours))])
    numbers = collided(colours)[which.ravel()][where.ravel()].reshape(labels.shape)
    kept = np.where(opened(numbers, iterations, closing_area) > 0, numbers, 0)
    result = np.where(kept == BLACK, 0, names[kept])
    result[~large_components(kept, min_component)] = 0
    return result


def collided(colours: Integer[np.ndarray, "n 3"]) -> Int64[np.ndarray, "n"]:
    """The number that each of a picture's colours, in lexicographic order, gets: that of the last colour with the same
    first channel; -1 for black."""
    last = np.searchsorted(colours[:, 0], colours[:, 0], side="right") - 1
    return np.where(colours.any(1), last, BLACK)


def opened(numbers: Int64[np.ndarray, "H W"], iterations: int, closing_area: float) -> Int64[np.ndarray, "H W"]:
    """Colour numbers after the morphology, which mirrors the picture at its border: the border does not erode."""
    for _ in range(iterations):
        numbers = erosion(numbers, SQUARE_3X3)
    numbers = opening(numbers)
    for _ in range(iterations):
        numbers = dilation(numbers, SQUARE_3X3)
    return area_closing(numbers, closing_area, connectivity=1)


def large_components(numbers: Int64[np.ndarray, "H W"], fraction: float) -> np.ndarray:
    """Pixels whose 8-connected component, or the background as a whole, is larger than a fraction of the picture.

    SAFF keeps the places of large components in the list of all that are there; these are their numbers only if the
    list begins with the background.
    """
    components = label(numbers, background=0, connectivity=2)
    _, areas = np.unique(components, return_counts=True)
    height, width = numbers.shape
    return np.isin(components, np.flatnonzero(areas > fraction * height * width))
