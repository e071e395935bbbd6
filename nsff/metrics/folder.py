"""Scoring a folder of pictures and masks, of any method: {i}_rgb.png and {i}.png, i the view's index in the protocol.

Masks are integer labels (0 background) or colours of SAFF's palette (black background). {i}_static_rgb.png, the static
part alone, is scored too where it is there, and so are copied input frames where the truth has these beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from tqdm import tqdm

from nsff.datasets.frames import read_picture
from nsff.datasets.labels import palette_indices
from nsff.datasets.truth import Truth, TruthView
from nsff.datasets.truth_registry import open_truth
from nsff.errors import InputError
from nsff.files.io import read_image
from nsff.metrics.baselines import TRAINING, TrainingFrames, centre_of_view
from nsff.metrics.canonical_truth import dilate, resize_image, resize_labels, resize_published
from nsff.metrics.lpips import Lpips
from nsff.metrics.measure import image_scores, mask_scores
from nsff.metrics.protocols import Protocol, ProtocolView, get_protocol, reference_truth
from nsff.metrics.regions import changing_region
from nsff.metrics.segmentation import merge_channel_0
from nsff.metrics.table import Record, Row, average

VARIANT = "prediction"


def score_folder(
    prediction: Path, truth_path: Path, protocol_name: str, lpips: Lpips | None = None, dilation: int = 5
) -> tuple[list[Row], list[Record], list[str]]:
    """Rows, per-view records and notes. The truth is brought to the prediction's size (by area; labels by nearest
    neighbour).

    ``dilation`` is in pixels of the prediction, for protocols whose dynamic region comes from object labels. Raises
    ConfigError for an unknown protocol, InputError for missing folders, a protocol without truth, or where no file of
    the folder is a view.

    Example::

        rows, per_view, notes = score_folder(Path("renders/balloon1"), Path("data/Balloon1"), "nsff24")
    """
    protocol = get_protocol(protocol_name)
    if not prediction.is_dir():
        raise InputError(prediction, "no such folder", "give the folder with {i}_rgb.png and {i}.png")
    truth = open_truth(protocol_name, truth_path)
    n_training = len({view.index for view in truth.views if view.split == "training"})
    skipped = protocol.duplicates(n_training) if n_training else frozenset()
    views = [view for view in truth.views if view.index not in skipped]
    folder = _Folder(prediction, truth, protocol, lpips, dilation)
    records: list[Record] = []
    absent = {"pictures": 0, "masks": 0}
    for view in tqdm(views, desc=f"score {protocol_name}", unit="view", disable=None):
        pictures, masks = folder.score_pictures(view), folder.score_mask(view)
        absent["pictures"] += protocol.images and view.image_path is not None and not pictures
        absent["masks"] += protocol.masks and view.mask_path is not None and not masks
        records += pictures + masks
    if not records:
        raise InputError(
            prediction, f"has none of the {len(views)} views of protocol {protocol_name}",
            f"name pictures {views[0].index}_rgb.png and masks {views[0].index}.png, by the protocol's view number",
        )  # fmt: skip
    notes = [*truth.notes]
    for kind, count in absent.items():
        if count == len(views):
            notes.append(f"{prediction} has no {kind}: none are scored.")
        elif count:
            notes.append(
                f"{kind} of {count} of {len(views)} views are not in {prediction}: the means do not stand for the "
                "protocol."
            )
    return average(records, protocol, prediction.resolve().name), records, notes


class _Folder:
    """A folder of predictions, scored view by view; what a view lacks gives no records."""

    def __init__(self, folder: Path, truth: Truth, protocol: Protocol, lpips: Lpips | None, dilation: int) -> None:
        self.folder, self.truth, self.protocol, self.lpips, self.dilation = folder, truth, protocol, lpips, dilation
        self.copies = TrainingFrames.of_truth(truth)

    def score_pictures(self, view: TruthView) -> list[Record]:
        """The picture, and beside it the static part {i}_static_rgb.png and copied frames, where there are any."""
        path = self.folder / f"{view.index}_rgb.png"
        truth = view.image() if self.protocol.images and path.exists() else None
        if truth is None:
            return []
        pictures = {VARIANT: read_image(path)}
        size = (pictures[VARIANT].shape[0], pictures[VARIANT].shape[1])
        _check_aspect(pictures[VARIANT], truth, path)
        static = self.folder / f"{view.index}_static_rgb.png"
        if static.exists():
            pictures["static"] = read_image(static, size)
        if self.copies is not None and view.split != TRAINING:
            copies = self.copies.pictures(view.time, centre_of_view(view, self.truth))
            pictures |= {name: resize_image(picture, size) for name, picture in copies.items()}
        regions: dict[str, np.ndarray | None] = {"full": None}
        published: dict[str, np.ndarray | None] = {}
        if (dynamic := self._dynamic(view, size)) is not None:
            regions[self.protocol.region] = dynamic
            if (reference := self._reference_dynamic(view, size)) is not None:
                published[self.protocol.region] = reference
        full, other = resize_image(truth, size), self._reference_truth(view, truth, size)
        records = []
        for variant, picture in pictures.items():
            found = image_scores(picture, full, regions, self.protocol.reference, self.lpips, other, published)
            for region, scores in found.items():
                records += self._records(variant, view, region, scores)
        return records

    def score_mask(self, view: TruthView) -> list[Record]:
        path = self.folder / f"{view.index}.png"
        labels = view.mask() if self.protocol.masks and path.exists() else None
        if labels is None:
            return []
        predicted = read_prediction_labels(path)
        _check_aspect(predicted, labels, path)
        size = (predicted.shape[0], predicted.shape[1])
        seen = view.published_mask()
        scores = mask_scores(
            predicted,
            resize_labels(labels, size),
            self.protocol.reference,
            None if seen is None else (resize_published(seen[0], size), resize_published(seen[1], size)),
            merged_prediction(path),
        )
        return self._records(VARIANT, view, "full", scores)

    def _records(self, variant: str, view: TruthView, region: str, scores: dict[str, float]) -> list[Record]:
        return [
            Record(self.protocol.name, variant, view.index, view.split, view.time, region, metric, value)
            for metric, value in scores.items()
        ]

    def _dynamic(self, view: TruthView, size: tuple[int, int]) -> Bool[np.ndarray, "H W"] | None:
        if self.protocol.dynamic is None:
            return None
        given = view.dynamic_mask()
        if given is None and self.protocol.dynamic == "changing":
            given = changing_region(view, self.truth.views)
        if given is not None:
            return resize_labels(given, size)
        labels = view.mask() if self.protocol.dynamic == "objects" else None
        return None if labels is None else dilate(resize_labels(labels, size) > 0, self.dilation)

    def _reference_dynamic(self, view: TruthView, size: tuple[int, int]) -> Bool[np.ndarray, "H W *C"] | None:
        """The same as the published code reads and resizes it, where it has dynamic-only scores."""
        if not self.protocol.reference.masked:
            return None
        given = view.published_dynamic()
        if given is not None:
            return resize_published(given, size)
        labels = view.mask() if self.protocol.dynamic == "objects" else None
        return None if labels is None else dilate(resize_published(labels, size) > 0, self.dilation)

    def _reference_truth(
        self, view: TruthView, truth: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
    ) -> UInt8[np.ndarray, "H W 3"] | None:
        """The true picture that the published code compares with, resized to the prediction's size in the same way."""
        reference = self.protocol.reference
        source = truth
        if reference.off_by_one and view.training_camera is not None:
            wanted = reference_truth(ProtocolView(view.index, view.split, view.training_camera, int(view.time)))
            for other in self.truth.views:
                if (other.training_camera, other.time) == (wanted.camera, wanted.time) and other.image_path is not None:
                    source = read_image(other.image_path)
                    break
        return resize_image(source, size, reference.truth_resize)


def merged_prediction(path: Path) -> Int64[np.ndarray, "H W"] | None:
    """Labels as SAFF's evaluators tell them apart in a colour-coded picture; None for label maps, grey or indexed."""
    if palette_indices(path) is not None:
        return None
    image = read_picture(path)[..., :3]
    return None if (image == image[..., :1]).all() else merge_channel_0(image)


def read_prediction_labels(path: Path) -> Int64[np.ndarray, "H W"]:
    """Integer labels, grey or as the indices of a PNG with a palette (DAVIS), or a picture in SAFF's colours; raises
    InputError for a picture that is none of these."""
    from nsff.decompose.colours import labels_from_colours

    if (indices := palette_indices(path)) is not None:
        return indices
    image = read_picture(path)[..., :3]
    if (image == image[..., :1]).all():
        return image[..., 0].astype(np.int64)
    try:
        return labels_from_colours(image).astype(np.int64)
    except InputError as error:
        raise InputError(path, error.problem, error.remedy) from None


def _check_aspect(predicted: np.ndarray, truth: np.ndarray, path: Path) -> None:
    (h, w), (H, W) = predicted.shape[:2], truth.shape[:2]
    if abs(w * H / (h * W) - 1) > 0.02:
        raise InputError(
            path, f"is {w}x{h}, but the truth is {W}x{H} (width x height)", "render the whole view, at any scale"
        )
