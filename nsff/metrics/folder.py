"""Scoring a folder of pictures and masks, of any method: {i}_rgb.png and {i}.png, i the view's index in the protocol.

Masks are integer labels (0 background) or colours of SAFF's palette (black background).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int64
from tqdm import tqdm

from nsff.datasets.truth import TruthView, open_truth
from nsff.errors import InputError
from nsff.io import read_image
from nsff.metrics.canonical_truth import dilate, resize_image, resize_labels
from nsff.metrics.lpips import Lpips
from nsff.metrics.measure import image_scores, mask_scores
from nsff.metrics.protocols import Protocol, ProtocolView, get_protocol, reference_truth
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
    """
    protocol = get_protocol(protocol_name)
    if not prediction.is_dir():
        raise InputError(prediction, "no such folder", "give the folder with {i}_rgb.png and {i}.png")
    truth = open_truth(protocol_name, truth_path)
    n_training = len({view.index for view in truth.views if view.split == "training"})
    skipped = protocol.duplicates(n_training) if n_training else frozenset()
    views = [view for view in truth.views if view.index not in skipped]
    records: list[Record] = []
    absent = 0
    for view in tqdm(views, desc=f"score {protocol_name}", unit="view", disable=None):
        found = _score_view(prediction, view, protocol, truth.views, lpips, dilation)
        absent += not found
        records += found
    if not records:
        raise InputError(
            prediction, f"has none of the {len(views)} views of protocol {protocol_name}",
            f"name pictures {views[0].index}_rgb.png and masks {views[0].index}.png, by the protocol's view number",
        )  # fmt: skip
    notes = [*truth.notes]
    if absent:
        notes.append(
            f"{absent} of {len(views)} views are not in {prediction}: these means do not stand for the protocol."
        )
    return average(records, protocol, prediction.resolve().name), records, notes


def _score_view(
    folder: Path, view: TruthView, protocol: Protocol, views: list[TruthView], lpips: Lpips | None, dilation: int
) -> list[Record]:
    records: list[Record] = []

    def add(region: str, scores: dict[str, float]) -> None:
        records.extend(
            Record(protocol.name, VARIANT, view.index, view.split, view.time, region, metric, value)
            for metric, value in scores.items()
        )

    picture_path, mask_path = folder / f"{view.index}_rgb.png", folder / f"{view.index}.png"
    truth = view.image() if protocol.images and picture_path.exists() else None
    if truth is not None:
        picture = read_image(picture_path)
        size = (picture.shape[0], picture.shape[1])
        _check_aspect(picture, truth, picture_path)
        other = _reference_truth(view, views, protocol, truth, size)
        reference = protocol.reference
        full = resize_image(truth, size)
        regions: dict[str, np.ndarray | None] = {"full": None}
        if (dynamic := _dynamic(view, protocol, size, dilation)) is not None:
            regions["dynamic"] = dynamic
        for region, scores in image_scores(picture, full, regions, reference, lpips, other).items():
            add(region, scores)
    labels = view.mask() if protocol.masks and mask_path.exists() else None
    if labels is not None:
        predicted = read_prediction_labels(mask_path)
        _check_aspect(predicted, labels, mask_path)
        add("full", mask_scores(predicted, resize_labels(labels, predicted.shape), protocol.reference))
    return records


def read_prediction_labels(path: Path) -> Int64[np.ndarray, "H W"]:
    """Integer labels, or a picture in SAFF's colours; raises InputError for a picture that is neither."""
    from nsff.decompose.colours import labels_from_colours

    data = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if data is None:
        raise InputError(path, "not readable as an image", "write PNG")
    if data.ndim == 2:
        return data.astype(np.int64)
    try:
        return labels_from_colours(data[..., :3]).astype(np.int64)
    except InputError as error:
        if (data[..., :3] == data[..., :1]).all():
            return data[..., 0].astype(np.int64)
        raise InputError(path, error.problem, error.remedy) from None


def _dynamic(view: TruthView, protocol: Protocol, size: tuple[int, int], dilation: int) -> np.ndarray | None:
    if protocol.dynamic is None:
        return None
    given = view.dynamic_mask()
    if given is not None:
        return resize_labels(given.astype(np.int64), size) > 0
    labels = view.mask() if protocol.dynamic == "objects" else None
    return None if labels is None else dilate(resize_labels(labels, size) > 0, dilation)


def _reference_truth(
    view: TruthView, views: list[TruthView], protocol: Protocol, truth: np.ndarray, size: tuple[int, int]
) -> np.ndarray | None:
    reference = protocol.reference
    source = truth
    if reference.off_by_one and view.training_camera is not None:
        wanted = reference_truth(ProtocolView(view.index, view.split, view.training_camera, int(view.time)))
        same = [
            v for v in views if (v.training_camera, v.time) == (wanted.camera, wanted.time) and v.image_path is not None
        ]
        other = same[0].image() if same else None
        source = truth if other is None else other
    elif reference.truth_resize == "area":
        return None
    return resize_image(source, size, reference.truth_resize)


def _check_aspect(predicted: np.ndarray, truth: np.ndarray, path: Path) -> None:
    (h, w), (H, W) = predicted.shape[:2], truth.shape[:2]
    if abs(w * H / (h * W) - 1) > 0.02:
        raise InputError(
            path, f"is {w}x{h}, but the truth is {W}x{H} (width x height)", "render the whole view, at any scale"
        )
