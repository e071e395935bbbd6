"""A scene of Gaussians as PLY and SPZ files and as one compact file with motion.

In the folder ``splats``: scene.splats4d (docs/formats.md#compact-splats); static.ply, what rests; frames/00007.ply, all
that is drawn at frame 7; and where the scene has objects, object_1/00007.ply, object 1 alone at that frame. What rests
is closed: Gaussians of the model's background colour stand behind its gaps (nsff/export/backdrop.py), the last ones of
static.ply, and alone in backdrop.ply.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from tqdm import tqdm

from nsff.decompose.clusters import Clusters
from nsff.decompose.extract import number_points
from nsff.decompose.instances import Instances
from nsff.export.backdrop import with_backdrop
from nsff.export.times import frame_rate
from nsff.files.io import atomic_directory
from nsff.layout import splats_name
from nsff.models.base import Numbering, Points, SceneModel
from nsff.models.files import load_model
from nsff.scene import Scene
from nsff.splats.compact import SUFFIX, write_compact
from nsff.splats.ply import write_splats_ply
from nsff.splats.scene import SplatCameras, SplatScene, SplatSet
from nsff.splats.spz import write_splats_spz

FOLDER = "splats"
WRITERS = {"ply": write_splats_ply, "spz": write_splats_spz}


def export_splats(scene: Scene, out: Path, formats: Sequence[str] = tuple(WRITERS)) -> str:
    """Writes the folder ``splats`` in ``out``; returns a line about it for people.

    Raises ConfigError for a model that has no Gaussians, StageError where there is no model, or a damaged one.
    """
    splats, behind = closed_splats_of(scene)
    folder, numbers = out / FOLDER, splats.object_numbers
    files = 1 + (behind > 0) + splats.n_frames * (1 + len(numbers))
    with atomic_directory(folder) as temporary:
        size = write_compact(temporary / f"scene{SUFFIX}", splats)
        for name, part in tqdm(parts_of(splats, behind), total=files, desc="splats", unit="file", disable=None):
            for kind in formats:
                WRITERS[kind](temporary / Path(name).with_suffix(f".{kind}"), part)
    objects = "1 object" if len(numbers) == 1 else f"{len(numbers)} objects"
    closing = f" ({behind:,} of them close gaps from behind)" if behind else ""
    written = " and ".join(f"{files} {kind.upper()}" for kind in formats)
    return (
        f"{folder}: {len(splats.static):,} Gaussians that rest{closing}, {len(splats.moving):,} that move, "
        f"{objects}; {written} files, and scene{SUFFIX} of {size / 1e6:.1f} MB"
    )


def closed_splats_of(scene: Scene) -> tuple[SplatScene, int]:
    """The Gaussians of a finished scene, as of ``splats_of``, and how many of those that rest are no model's: the last
    ones, which close gaps through which it shows its background colour. Raises as ``splats_of``."""
    model = load_model(scene.model_dir)
    splats = _splats_of(scene, model)
    if (background := getattr(model, "background", None)) is None:
        return splats, 0
    closed = with_backdrop(splats, scene.cameras, background.detach().cpu().numpy())
    return closed, len(closed.static) - len(splats.static)


def splats_of(scene: Scene) -> SplatScene:
    """The Gaussians of a finished scene, with its cameras and frame rate, and object numbers where it has clusters.

    Raises ConfigError for a model that has no Gaussians, StageError where there is no model, or a damaged one.
    """
    return _splats_of(scene, load_model(scene.model_dir))


def _splats_of(scene: Scene, model: SceneModel) -> SplatScene:
    cameras = scene.cameras
    with torch.no_grad():
        splats = model.eval().splats(numbering_of(scene, model))
    views = SplatCameras(cameras.intrinsics, cameras.world_to_camera, *scene.size)
    return replace(splats, cameras=views, frame_rate=frame_rate(scene))


def numbering_of(scene: Scene, model: SceneModel) -> Numbering | None:
    """The object numbers of points by their features, as extraction has them; None without clusters or features.

    Points without a time are taken as of the middle of the clip.
    """
    if not scene.clusters_path.exists() or "features" not in model.outputs:
        return None
    clusters, things = Clusters.load(scene), Instances.load(scene)

    def numbers(points: Points) -> Int64[np.ndarray, "P"]:
        if points.time is None:
            return number_points(points, (model.n_frames - 1) / 2, model.n_frames, clusters, things)
        frames = points.time.round().cpu().numpy()
        result = np.zeros(len(frames), np.int64)
        for frame in np.unique(frames):
            at = np.flatnonzero(frames == frame)
            chosen = torch.from_numpy(at).to(points.time.device)
            assert points.features is not None
            own = Points(points.positions[chosen], points.normalised[chosen], points.features[chosen])
            result[at] = number_points(own, float(frame), model.n_frames, clusters, things)
        return result

    return numbers


def parts_of(splats: SplatScene, behind: int) -> Iterator[tuple[str, SplatSet]]:
    """Names of PLY files within the folder, and what is in each."""
    yield "static.ply", splats.static
    if behind:
        yield "backdrop.ply", splats.static.chosen(np.arange(len(splats.static) - behind, len(splats.static)))
    for frame in range(splats.n_frames):
        drawn = splats.at(frame)
        yield f"frames/{splats_name(frame)}", drawn
        for number in splats.object_numbers:
            yield f"object_{number}/{splats_name(frame)}", drawn.chosen(drawn.objects == number)
