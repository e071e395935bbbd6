"""Truth to score against: views with colours, labels and masks. Only the score stage reads it; ingest never does.

Notation. Scene frames i = 0..N-1 are the ingested ones; source frames are numbered as in the source, and truth files
carry source numbers. Times are scene frames, as floats. Pictures have the truth's own size. Labels are integers, 0 is
background. The layouts are described in docs/protocols.md, section "Truth layouts".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from nsff.cameras import Cameras
from nsff.datasets.frames import read_picture
from nsff.errors import InputError
from nsff.io import read_image

BLACK = 10
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
        """True labels, 0 background, values as stored (a colour image: one number per colour), or None."""
        if self.mask_path is None:
            return None
        labels = read_labels(self.mask_path)
        return (labels < BLACK).astype(np.int64) if self.black_is_foreground else labels

    def dynamic_mask(self) -> Bool[np.ndarray, "H W"] | None:
        """True region of motion where the layout has one beside the labels (mv_masks), else None."""
        return None if self.dynamic_path is None else read_labels(self.dynamic_path) > 0


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


def read_labels(path: Path) -> Int64[np.ndarray, "H W"]:
    """Integer labels from a grey image; colours become red * 65536 + green * 256 + blue, so that black is 0."""
    image = read_picture(path).astype(np.int64)[..., :3]
    if (image == image[..., :1]).all():
        return image[..., 0]
    return image @ np.array([65536, 256, 1])


def open_truth(protocol: str, path: Path, frames: Sequence[int] | None = None) -> Truth:
    """Opens truth in the layout of ``protocol`` (all of nsff.metrics.protocols but self).

    ``frames`` are the source numbers of the scene's frames (manifest: frames[i].index); None takes all that the truth
    knows. Views at times or cameras that were not taken are left out. Raises InputError: unknown protocol, no such
    folder, files missing, no view left.
    """
    from nsff.datasets import dycheck_truth, truth_layouts

    layouts: dict[str, Callable[[Path, Sequence[int] | None], Truth]] = {
        "views": truth_layouts.views,
        "masks": truth_layouts.masks,
        "nsff24": truth_layouts.nsff24,
        "dynnerf12": truth_layouts.dynnerf12,
        "saff": truth_layouts.saff,
        "dycheck": dycheck_truth.dycheck,
        "iphone": dycheck_truth.iphone,
    }
    if protocol not in layouts:
        raise InputError(path, f"protocol {protocol!r} reads no truth", f"protocols with truth: {', '.join(layouts)}")
    path = Path(path).expanduser()
    if not path.is_dir():
        raise InputError(path, "no such folder", f"check evaluation.truth (protocol {protocol})")
    truth = layouts[protocol](path, frames)
    if not truth.views:
        raise InputError(
            path, f"has no {protocol} view for the frames that were taken", "check input.start, end and stride"
        )
    return truth
