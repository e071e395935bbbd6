"""Masks in the format of COCO: run-length encoding and the JSON file around it.

Notation. A mask (H,W) is read column by column. Its counts are lengths of runs: of zeros, of ones, of zeros and so on;
the first may be 0. Compressed, each count from the fourth on is written as its difference to the one two before, in
groups of five bits, the lowest first, as characters from "0" on; 32 is added to a group where another follows, and the
fifth bit of the last one is the sign. Source: COCO API (Lin et al. 2014), common/maskApi.c.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool


def run_lengths(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """The counts of a mask.

    >>> run_lengths(np.array([[False, True], [True, True]]))
    [1, 3]
    """
    values = np.asarray(mask, bool).ravel(order="F")
    ends = np.flatnonzero(np.diff(values)) + 1
    counts = np.diff(np.concatenate([[0], ends, [len(values)]])).tolist()
    return [0, *counts] if len(values) and values[0] else counts


def compressed(counts: list[int]) -> str:
    """Counts as text.

    >>> compressed([1, 3]), compressed([100, 5, 3, 105])
    ('13', 'T353T3')
    """
    text = ""
    for i, count in enumerate(counts):
        rest = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            group, rest = rest & 31, rest >> 5
            more = rest != (-1 if group & 16 else 0)
            text += chr(48 + group + 32 * more)
    return text


def annotation(number: int, image: int, track: int, mask: Bool[np.ndarray, "H W"]) -> dict[str, Any]:
    """An entry of "annotations": mask ``track`` of picture ``image``; ``number`` is the entry's own."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "track_id": track,
        "iscrowd": 0,
        "area": int(mask.sum()),
        "bbox": [float(value) for value in box],
        "segmentation": {"size": list(mask.shape), "counts": compressed(run_lengths(mask))},
    }
