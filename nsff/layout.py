"""The names of all files of a scene, below its folder ``results/{scene}/``. They stand here alone.

Indices i run over the N frames taken, 0..N-1; ``index`` is the number of a view in maps/views.json, whose first N views
are the training cameras. A method ``*_path`` gives the whole path, a function ``*_name`` the name within its folder:
stages that write a folder under a temporary name, and rename it once it is whole, need that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MapKind = Literal["rgb", "depth", "ndc", "blend", "sal", "features", "motion"]
ARRAY_MAPS = ("features", "motion")
"""Maps of a view that are stored as .npy; the others are pictures."""
ALIGNMENT_NAME = "alignment.npz"
"""Points that disparity was fitted to."""
VERDICTS = ("good", "doubtful", "poor")
"""Values of ``verdict`` in a summary, the best first."""
ClusterLabels = Literal["raw", "merged"]
CloudKind = Literal["colour", "saliency", "clusters"]


def worse(one: str, other: str) -> str:
    """The worse of two verdicts.

    >>> worse("good", "doubtful"), worse("poor", "doubtful")
    ('doubtful', 'poor')
    """
    return max(one, other, key=VERDICTS.index)


def frame_name(i: int) -> str:
    """A picture or mask of frame i: ``00007.png``."""
    return f"{i:05d}.png"


def depth_name(i: int) -> str:
    """Disparity of frame i: ``00007.npz``."""
    return f"{i:05d}.npz"


def flow_name(i: int, direction: str) -> str:
    """Flow of frame i: ``fwd`` exists for i = 0..N-2 and leads to i+1, ``bwd`` for i = 1..N-1 and leads to i-1."""
    return f"{i:05d}_{direction}.npz"


def far_flow_name(i: int, j: int) -> str:
    """Flow from frame i to frame j, which is no neighbour: ``00007_to_00011.npz``."""
    return f"{i:05d}_to_{j:05d}.npz"


def far_pairs_in(folder: Path) -> list[tuple[int, int]]:
    """The pairs of frames (i, j) whose flow a folder holds under ``far_flow_name``, sorted."""
    found = (re.fullmatch(r"(\d{5,})_to_(\d{5,})\.npz", path.name) for path in folder.glob("*_to_*.npz"))
    return sorted((int(match[1]), int(match[2])) for match in found if match)


TRACKS_NAME = "tracks.npz"
"""Long tracks, where the source brings some."""
INSTANCES_NAME = "things.npz"
"""Where a label is several objects: how to tell them apart."""


def labels_name(index: int) -> str:
    """Labels of a view, in clusters/raw, clusters/merged, masks/ and masks_crf/: ``7.png``."""
    return f"{index}.png"


def map_name(index: int | str, kind: MapKind) -> str:
    """A rendered map of a view: ``7_rgb.png``, ``7_features.npy``; of all views with ``*``, as a pattern."""
    return f"{index}_{kind}.{'npy' if kind in ARRAY_MAPS else 'png'}"


def surface_points_name(index: int) -> str:
    """Points near the surfaces that a view shows: ``7.npz``."""
    return f"{index}.npz"


def extracted_name(index: int, number: int = 0) -> str:
    """A view's picture of all extracted objects: ``7_rgba.png``; of object ``number`` alone: ``object_2/7.png``."""
    return f"object_{number}/{index}.png" if number else f"{index}_rgba.png"


def cloud_name(i: int, kind: CloudKind) -> str:
    """A point cloud of the training view of frame i, within extracted/: ``points/00007_colour.ply``."""
    return f"points/{i:05d}_{kind}.ply"


def splats_name(i: int) -> str:
    """The Gaussians of frame i, or of an object at frame i: ``00007.ply``."""
    return f"{i:05d}.ply"


def render_map_name(i: int) -> str:
    """A map along a path, frame i of the video: ``00007.npy``."""
    return f"{i:05d}.npy"


def sheet_name(protocol: str, masks: bool = False) -> str:
    """The sheet of pictures, or of masks, that a protocol was scored on, within score_pictures/."""
    return f"sheet_{protocol}{'_masks' if masks else ''}.png"


@dataclass(frozen=True)
class GivenFolder:
    """Files of given/: what the source brought along, for the ingested frames. Any of them may be absent."""

    root: Path

    @property
    def cameras_path(self) -> Path:
        return self.root / "cameras.json"

    @property
    def points_path(self) -> Path:
        return self.root / "points.npz"

    @property
    def depth_dir(self) -> Path:
        return self.root / "depth"

    @property
    def flow_dir(self) -> Path:
        return self.root / "flow"

    @property
    def masks_dir(self) -> Path:
        return self.root / "motion_masks"

    @property
    def tracks_path(self) -> Path:
        return self.root / TRACKS_NAME

    def depth_path(self, i: int) -> Path:
        return self.depth_dir / depth_name(i)

    def flow_path(self, i: int, direction: str) -> Path:
        return self.flow_dir / flow_name(i, direction)

    def mask_path(self, i: int) -> Path:
        return self.masks_dir / frame_name(i)


class Below:
    """A path below a scene's folder, as an attribute of Layout."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts

    def __get__(self, layout: Layout, owner: type | None = None) -> Path:
        return layout.root.joinpath(*self.parts)


@dataclass(frozen=True)
class Layout:
    """Where everything lies below ``root``, the folder of one scene.

    >>> Layout(Path("results/balloon1")).motion_mask_path(7)
    PosixPath('results/balloon1/motion_masks/00007.png')
    """

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def given(self) -> GivenFolder:
        return GivenFolder(self.given_dir)

    # Ingest, and what is known before there are cameras
    manifest_path = Below("manifest.json")
    frames_dir = Below("frames")
    given_dir = Below("given")
    raw_flow_dir = Below("raw_flow")
    raw_flow_result_path = Below("raw_flow", "result.json")
    coarse_masks_dir = Below("coarse_masks")
    # Cameras
    sfm_dir = Below("sfm")
    sparse_model_dir = Below("sfm", "sparse")
    refined_cameras_path = Below("sfm", "cameras.json")
    cameras_path = Below("cameras.json")
    poses_bounds_path = Below("poses_bounds.npy")
    points_path = Below("points.npz")
    pixel_map_path = Below("pixel_map.npz")
    # Canonical frames and priors
    images_dir = Below("images")
    flow_dir = Below("flow")
    tracks_path = Below("flow", TRACKS_NAME)
    motion_dir = Below("motion_masks")
    depth_dir = Below("depth")
    depth_result_path = Below("depth", "result.json")
    flow_result_path = Below("flow", "result.json")
    alignment_path = Below("depth", ALIGNMENT_NAME)
    features_dir = Below("features")
    features_path = Below("features", "features.npy")
    saliency_path = Below("features", "saliency.npy")
    feature_basis_path = Below("features", "pca.npz")
    # The model and what is drawn of it
    model_dir = Below("model")
    model_config_path = Below("model", "model.json")
    history_path = Below("model", "history.csv")
    state_dir = Below("state")
    renders_dir = Below("renders")
    maps_dir = Below("maps")
    views_path = Below("maps", "views.json")
    map_scale_path = Below("maps", "scale.json")
    # Objects
    surface_points_dir = Below("surface_points")
    clusters_dir = Below("clusters")
    clusters_path = Below("clusters", "clusters.json")
    centroids_path = Below("clusters", "centroids.npy")
    fine_centroids_path = Below("clusters", "fine_centroids.npy")
    merged_labels_dir = Below("clusters", "merged")
    masks_dir = Below("masks")
    instances_path = Below("masks", INSTANCES_NAME)
    masks_crf_dir = Below("masks_crf")
    extracted_dir = Below("extracted")
    extracted_scale_path = Below("extracted", "scale.json")
    # What other programs open, made on demand (nsff export)
    exports_dir = Below("exports")
    # Scores and the report
    scores_path = Below("scores.csv")
    score_pictures_dir = Below("score_pictures")
    scores_per_view_path = Below("score_pictures", "per_view.csv")
    page_path = Below("scene.html")
    report_path = Below("report.html")
    summaries_dir = Below("summaries")
    benchmarks_dir = Below("benchmarks")

    def path(self, *parts: str) -> Path:
        return self.root.joinpath(*parts)

    # One file a frame
    def frame_path(self, i: int) -> Path:
        return self.frames_dir / frame_name(i)

    def coarse_mask_path(self, i: int) -> Path:
        return self.coarse_masks_dir / frame_name(i)

    def raw_flow_path(self, i: int, direction: str) -> Path:
        return self.raw_flow_dir / flow_name(i, direction)

    def image_path(self, i: int) -> Path:
        return self.images_dir / frame_name(i)

    def flow_path(self, i: int, direction: str) -> Path:
        return self.flow_dir / flow_name(i, direction)

    def motion_mask_path(self, i: int) -> Path:
        return self.motion_dir / frame_name(i)

    def depth_path(self, i: int) -> Path:
        return self.depth_dir / depth_name(i)

    # One file a view
    def map_path(self, index: int, kind: MapKind) -> Path:
        return self.maps_dir / map_name(index, kind)

    def surface_points_path(self, index: int) -> Path:
        return self.surface_points_dir / surface_points_name(index)

    def cluster_labels_path(self, index: int, which: ClusterLabels) -> Path:
        """Labels + 1 of a view, before (``raw``) or after merging."""
        return self.clusters_dir / which / labels_name(index)

    def shadow_path(self, index: int) -> Path:
        """Numbers of the objects that cast the shadows of a training view (``decompose.method: motion``)."""
        return self.clusters_dir / "shadows" / labels_name(index)

    def mask_path(self, index: int) -> Path:
        return self.masks_dir / labels_name(index)

    def mask_crf_path(self, index: int) -> Path:
        return self.masks_crf_dir / labels_name(index)

    # One file a path of the camera
    def video_path(self, path: str) -> Path:
        return self.renders_dir / f"{path}.mp4"

    def render_maps_dir(self, path: str) -> Path:
        """The maps along a path that ``render.maps`` names."""
        return self.renders_dir / f"{path}_maps"

    def render_pictures_dir(self, path: str) -> Path:
        """The frames of the video as pictures, where ``render.pictures`` asks for them."""
        return self.renders_dir / path

    # One file a stage
    def summary_path(self, stage: str) -> Path:
        return self.summaries_dir / f"{stage}.json"
