"""Scoring the folder of all scenes of a benchmark: one folder of predictions a scene, and the mean over scenes.

Predictions are {folder}/{scene}/{i}.png and {i}_rgb.png. Truth is a folder of scenes in the protocol's layout, or
SAFF's gt_masks/ with one folder of masks a scene. Scenes count alike, whatever number of views they have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nsff.config.reproduce import LAYOUTS, same_scene
from nsff.datasets.frames import list_images
from nsff.errors import InputError
from nsff.metrics.folder import score_folder
from nsff.metrics.lpips import Lpips
from nsff.metrics.protocols import get_protocol
from nsff.metrics.table import MEAN, Record, Row, is_count, mean_over_scenes

COLLECTIONS = ("gt_masks", "nvidia_data_full")
"""Folders of SAFF's data that hold one folder a scene."""
REMEDY = "give both folders complete, or score one scene at a time by giving its two folders"


@dataclass(frozen=True)
class ScenePair:
    name: str
    prediction: Path
    truth: Path


def holds_scenes(prediction: Path) -> bool:
    """Whether a folder has no predictions of its own, and folders inside it have."""
    return prediction.is_dir() and not _has_views(prediction) and any(map(_has_views, _folders(prediction)))


def score_scenes(
    prediction: Path, truth: Path, protocol_name: str, lpips: Lpips | None = None, dilation: int = 5
) -> tuple[list[Row], dict[str, list[Record]], list[str]]:
    """Rows of every scene and of the mean over scenes, records by scene, notes. Raises InputError where a scene of one
    folder is not in the other, and for what ``score_folder`` does."""
    rows: list[Row] = []
    records: dict[str, list[Record]] = {}
    notes: list[str] = []
    pairs = pair_scenes(prediction, truth, protocol_name)
    for pair in pairs:
        own, records[pair.name], said = score_folder(pair.prediction, pair.truth, protocol_name, lpips, dilation)
        rows += own
        notes += [f"{pair.name}: {note}" for note in said]
    mean = mean_over_scenes(rows)
    left_out = {(row.variant, row.split, row.metric) for row in rows} - {(r.variant, r.split, r.metric) for r in mean}
    if metrics := sorted({metric for _, _, metric in left_out if not is_count(metric)}):
        notes.append(
            f"{', '.join(metrics)}: not all {len(pairs)} scenes have them everywhere; where not, no mean is given."
        )
    names = ", ".join(pair.name for pair in pairs)
    published = get_protocol(protocol_name).published_mean
    runs = f"; the published one runs over {published}" if published else ""
    notes.append(f"{MEAN}: scenes count alike ({len(pairs)}: {names}){runs}.")
    return rows + mean, records, notes


def pair_scenes(prediction: Path, truth: Path, protocol: str) -> list[ScenePair]:
    """The scenes of both folders, by name: capitals, and the -2 of NVIDIA's scenes, do not matter."""
    if not truth.is_dir():
        raise InputError(truth, "no such folder", f"give the folder of scenes of protocol {protocol}")
    made, known = [folder for folder in _folders(prediction) if _has_views(folder)], true_scenes(truth, protocol)
    if not known:
        raise InputError(
            truth, f"{prediction} holds {len(made)} scenes ({', '.join(folder.name for folder in made)}), but this has "
            f"none in the layout of protocol {protocol}", "give the folder of all scenes' truth",
        )  # fmt: skip
    pairs = [(folder, _counterpart(folder, known)) for folder in made]
    found = [other for _, other in pairs if other is not None]
    unknown = [folder.name for folder, other in pairs if other is None]
    missing = [folder.name for folder in known if folder not in found]
    if missing:
        also = f"; it has {', '.join(unknown)}, of which {truth} knows nothing" if unknown else ""
        raise InputError(prediction, f"lacks {_scenes(missing)} of {truth}{also}", REMEDY)
    if unknown:
        raise InputError(truth, f"has no truth of {_scenes(unknown)} in {prediction}", REMEDY)
    twice = [folder.name for folder, other in pairs if other is not None and found.count(other) > 1]
    if twice:
        raise InputError(prediction, f"has one scene more than once: {', '.join(twice)}", "keep one of them")
    return [ScenePair(folder.name, folder, other) for folder, other in pairs if other is not None]


def true_scenes(truth: Path, protocol: str) -> list[Path]:
    """The scenes' folders: in ``truth`` itself, else in SAFF's collections inside it."""
    fits = FOLDERS.get(protocol, LAYOUTS[protocol])
    found: list[Path] = []
    for parent in (truth, *(truth / name for name in COLLECTIONS if (truth / name).is_dir())):
        for folder in _folders(parent):
            if (
                folder.name not in COLLECTIONS
                and fits(folder)
                and not any(same_scene(folder.name, f.name) for f in found)
            ):
                found.append(folder)
    return found


FOLDERS = {
    "saff": lambda path: any(path.glob("training_*.png")) or LAYOUTS["nsff24"](path),
    "dynnerf12": lambda path: any(any(folder.glob("v*_t*.*")) for folder in (path, path / "gt")),
    "dycheck": lambda path: (path / "colmap_masks").is_dir() or any(path.glob("[0-9]*.png.png")),
    "masks": lambda path: LAYOUTS["masks"](path) or bool(list_images(path)),
}
"""How truth alone of a scene is recognised, where less than the whole scene will do."""


def _counterpart(folder: Path, known: Sequence[Path]) -> Path | None:
    alike = [other for other in known if same_scene(folder.name, other.name)]
    return min(alike, key=lambda other: other.name.lower() != folder.name.lower(), default=None)


def _folders(path: Path) -> list[Path]:
    folders = [inside for inside in path.iterdir() if inside.is_dir() and not inside.name.startswith(".")]
    return sorted(folders, key=lambda inside: inside.name.lower())


def _has_views(folder: Path) -> bool:
    return any(re.fullmatch(r"\d+(_rgb)?\.png", file.name) for file in folder.iterdir())


def _scenes(names: Sequence[str]) -> str:
    return f"scene{'s' if len(names) > 1 else ''} {', '.join(names)}"
