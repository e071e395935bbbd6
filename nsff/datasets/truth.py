"""Truth to score against: views with colours, labels and masks. Only the score stage reads it; ingest never does.

Notation. Scene frames i = 0..N-1 are the ingested ones; source frames are numbered as in the source, and truth files
carry source numbers. Times are scene frames, as floats. Pictures have the truth's own size. Labels are integers, 0 is
background. The layouts are described in docs/protocols.md, section "Truth layouts".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from nsff.cameras import Cameras
from nsff.datasets.labels import colour_levels, grey_levels, read_label_picture, read_labels
from nsff.files.io import read_image

BLACK_LEVEL = 10
"""Grey levels below this count as black."""


@dataclass(frozen=True)
class TruthCamera:
    """A true pinhole camera, OpenCV axes, in the world of Truth.training_cameras."""

    intrinsics: Float64[np.ndarray, "3 3"]
    world_to_camera: Float64[np.ndarray, "3 4"]
    width: int
    height: int


@dataclass(frozen=True)
class TruthView:
    """One view to score: either ``camera`` is given, or ``training_camera``, the scene frame whose camera it is."""

    index: int
    """Number of the view in its protocol; for saff and masks the number in maps/views.json."""
    split: str
    time: float
    camera: TruthCamera | None = None
    training_camera: int | None = None
    image_path: Path | None = None
    mask_path: Path | None = None
    dynamic_path: Path | None = None
    black_is_foreground: bool = False
    """The mask's values below 10 are the object, all others the background (SAFF's colmap_masks)."""

    def image(self) -> UInt8[np.ndarray, "H W 3"] | None:
        """True colours, RGB; None where the layout has none."""
        return None if self.image_path is None else read_image(self.image_path)

    def mask(self) -> Int64[np.ndarray, "H W"] | None:
        """True labels, 0 background, values as stored (a colour image: one number per colour), or None. Raises
        InputError for a picture that holds no labels."""
        if self.mask_path is None:
            return None
        labels = read_labels(self.mask_path, indices=not self.black_is_foreground)
        return _black(labels).astype(np.int64) if self.black_is_foreground else labels

    def dynamic_mask(self) -> Bool[np.ndarray, "H W"] | None:
        """True region of motion where the layout has one beside the labels (mv_masks), else None."""
        return None if self.dynamic_path is None else read_labels(self.dynamic_path) > 0

    def published_mask(self) -> tuple[Int64[np.ndarray, "H W"], Bool[np.ndarray, "H W"]] | None:
        """The mask as SAFF's evaluators read it: labels for ARI, foreground for Jaccard; None without a mask.

        Every grey level is a label, and what is not 0 is foreground. In DyCheck's masks ARI takes levels below 10 for
        the object, Jaccard 0 alone.
        """
        if self.mask_path is None:
            return None
        grey = grey_levels(self.mask_path).astype(np.int64)
        return ((grey < BLACK_LEVEL).astype(np.int64), grey == 0) if self.black_is_foreground else (grey, grey != 0)

    def published_dynamic(self) -> Bool[np.ndarray, "H W 3"] | None:
        """The region of motion as NSFF's evaluation reads it: any level above 0, channel by channel. It leaves OpenCV's
        order of channels, so that a mask's blue stands for a picture's red."""
        return None if self.dynamic_path is None else colour_levels(self.dynamic_path) > 0


@dataclass(frozen=True)
class Truth:
    """The views of a protocol, and the true cameras of the scene's frames (to fit a similarity to) where known."""

    protocol: str
    path: Path
    views: list[TruthView]
    training_cameras: Cameras | None = None
    pixel_centre: float = 0.5
    """Where the true cameras put pixel centres."""
    notes: list[str] = field(default_factory=list)
    frame_paths: list[Path] | None = None
    """Pictures of the scene's frames, where they lie beside the truth (for the baseline of a copied frame)."""


def _black(labels: Int64[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Where a mask whose object is black has its object; masks of 0 and 1 have it at 0."""
    return labels < BLACK_LEVEL if labels.max(initial=0) >= BLACK_LEVEL else labels == 0


def remarks_on_masks(views: Sequence[TruthView]) -> list[str]:
    """A note for each way in which masks of the views could not be read plainly; raises InputError for the first that
    holds no labels."""
    files = {view.mask_path: not view.black_is_foreground for view in views if view.mask_path is not None}
    files |= {view.dynamic_path: True for view in views if view.dynamic_path is not None}
    found: dict[str, list[Path]] = {}
    for path, indices in files.items():
        if remark := read_label_picture(path, indices).remark:
            found.setdefault(remark, []).append(path)
    return [f"{len(paths)} of {len(files)} true masks ({paths[0]}) {remark}." for remark, paths in found.items()]
