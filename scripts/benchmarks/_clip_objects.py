"""Objects by motion of a prepared scene against the truth, without a model: what any_clip.py says of them.

An object is *true* if more than half of its pixels, over all frames, lie in the true masks; the others are counted as
false, though they may be things that move and that the truth does not annotate, so that each gets a picture to look
at. Scored are the canonical pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from nsff.decompose.colours import PALETTE
from nsff.decompose.motion_groups.stage import find_objects, read_clip
from nsff.files.io import atomic_directory, read_mask, write_image
from nsff.layout import frame_name
from nsff.metrics.segmentation import adjusted_rand_index, foreground_ari
from nsff.scene import Scene

FOLDER = "objects"
INSIDE = 0.5
"""Share of an object's pixels in the true masks above which it is a true one."""


@dataclass(frozen=True)
class ObjectScores:
    """Means over the frames in which something moves by the truth; shares of the picture are means over all frames."""

    jaccard: float
    """Of the union of the true objects."""
    jaccard_all: float
    """Of the union of all objects."""
    ari: float
    fg_ari: float
    """NaN where the truth has but one thing."""
    true: dict[int, float]
    """Share of the picture by number of the object."""
    false: dict[int, float]

    def cells(self) -> list[str]:
        false = ", ".join(f"{number}: {share:.2%}" for number, share in self.false.items()) or "none"
        fg_ari = "-" if np.isnan(self.fg_ari) else f"{self.fg_ari:.2f}"
        return [f"{self.jaccard:.2f}", f"{self.ari:.2f}", fg_ari, str(len(self.true)), false]


HEAD = ["objects", "ARI", "fg-ARI", "true", "false, share of the picture"]


def run_objects(scene: Scene) -> None:
    """Writes objects/%05d.png, numbers of the objects in each canonical picture, and shadows/ below it."""
    found = find_objects(read_clip(scene))
    with atomic_directory(scene.path(FOLDER)) as folder:
        for i, (labels, shadow) in enumerate(zip(found.labels, found.shadows, strict=True)):
            write_image(folder / frame_name(i), labels.astype(np.uint8))
            write_image(folder / "shadows" / frame_name(i), shadow.astype(np.uint8))


def read_objects(scene: Scene) -> list[np.ndarray]:
    """Numbers of the objects in each canonical picture, (H,W), 0 for none."""
    return [read_mask(scene.path(FOLDER, frame_name(i))).astype(int) for i in range(scene.n_frames)]


def score_objects(labels: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> ObjectScores:
    """Scores of labels (H,W) against true labels (H,W), 0 for what stands still."""
    numbers = sorted({int(k) for one in labels for k in np.unique(one)} - {0})
    pixels = {k: sum(int((one == k).sum()) for one in labels) for k in numbers}
    inside = {k: sum(int(((one == k) & (t > 0)).sum()) for one, t in zip(labels, truth, strict=True)) for k in numbers}
    total = sum(one.size for one in labels)
    true = {k: pixels[k] / total for k in numbers if inside[k] > INSIDE * pixels[k]}
    false = {k: pixels[k] / total for k in numbers if k not in true}
    pairs = [(one, t) for one, t in zip(labels, truth, strict=True) if t.any()]
    several = len({int(k) for t in truth for k in np.unique(t)} - {0}) > 1
    return ObjectScores(
        float(np.mean([_jaccard(np.isin(one, list(true)), t > 0) for one, t in pairs])),
        float(np.mean([_jaccard(one > 0, t > 0) for one, t in pairs])),
        float(np.mean([adjusted_rand_index(one, t) for one, t in pairs])),
        float(np.mean([foreground_ari(one, t) for one, t in pairs])) if several else float("nan"),
        true,
        false,
    )


def _jaccard(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def objects_sheet(scene: Scene, truth: Sequence[np.ndarray], path: Path, count: int = 6) -> None:
    """A row a frame: picture, motion mask, objects in their colours (shadows dimmed), outlines of the truth."""
    lines = []
    labels = read_objects(scene)
    for i in np.unique(np.linspace(0, scene.n_frames - 1, count).astype(int)):
        picture = scene.image(int(i))
        masked = _tinted(picture, scene.motion_mask(int(i)).astype(int))
        shadow = read_mask(scene.path(FOLDER, "shadows", frame_name(int(i)))) > 0
        found = _tinted(picture, labels[i])
        found[shadow] = found[shadow] // 2
        lines.append(np.concatenate([picture, masked, found, _outlined(found, truth[i] > 0)], axis=1))
    sheet = np.concatenate(lines)
    shrink = min(1.0, 1600 / sheet.shape[1])
    write_image(path, cv2.resize(sheet, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))


def false_pictures(scene: Scene, scores: ObjectScores, stem: Path) -> list[Path]:
    """A picture of each false object, in the frame that shows most of it: STEM-NUMBER.png."""
    labels, written = read_objects(scene), []
    for number in scores.false:
        frame = int(np.argmax([(one == number).sum() for one in labels]))
        path = stem.with_name(f"{stem.name}-{number}.png")
        write_image(
            path, _outlined(_tinted(scene.image(frame), (labels[frame] == number).astype(int)), labels[frame] == number)
        )
        written.append(path)
    return written


def _outlined(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    edge = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    return np.where(edge[..., None], np.array([255, 0, 255], np.uint8), picture)


def _tinted(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    colours = np.asarray(PALETTE)[(labels - 1) % len(PALETTE)].astype(np.uint8)
    return np.where((labels > 0)[..., None], picture // 2 + colours // 2, picture)
