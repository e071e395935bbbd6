"""From verified matches to cameras: mapping, refinement, choice of the lens model, and what a model is worth.

Notation. A candidate is a pycolmap.Reconstruction at working size, all images with one SIMPLE_RADIAL camera (f, cx,
cy, k). Errors are pixels at working size, angles degrees, focal lengths working pixels. Global mapping (rotation
averaging, then all positions at once; Pan et al. 2024, GLOMAP) is tried first: on short clips it does not depend on
the focal length it starts from. Incremental mapping (Schönberger 2016) with a focal length that is wrong or free from
the start often settles in a bent path (bas-relief ambiguity), so there the focal length stays fixed at several values
while mapping, is freed at the end, and the best result is taken.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nsff.priors.sfm.features import FeatureDatabase

START_FOCALS = (1.2, 1.8, 0.8)
"""Focal lengths over the longer side that incremental mapping starts from."""
LEAST_OBSERVATIONS = 20
"""A frame that sees fewer points of a model has no pose in it."""
DISTORTION_GAIN = 0.005
"""Radial distortion is kept only where it lowers the root mean square error by this fraction."""


@dataclass(frozen=True)
class Quality:
    """Figures of a candidate that decide whether it is accepted."""

    registered: int
    points: int
    reprojection_error: float
    """Mean over the points of their mean error, working pixels."""
    rms_error: float
    """Root mean square over the same."""
    triangulation_angle: float
    """Median over points of the largest angle between two of its rays, degrees."""
    focal_ratio: float
    """Focal length over the longer image side."""
    distortion: float
    track_length: float
    """Mean number of frames that see a point."""
    observations: float = float("inf")
    """Median over the registered frames of the points that one sees."""
    weakest: tuple[int, int] | None = field(default=None, kw_only=True)
    """A frame, and the points seen by it or later frames and by earlier ones, too: where these are fewest."""
    frames: tuple[int, ...] = field(default=(), kw_only=True)
    """The registered frames of the scene, ascending."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps COLMAP's own messages out of the log: a mapping that fails is told by the ladder."""
    import pycolmap

    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = 3
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level


@dataclass(frozen=True)
class Known:
    """Which parameters of the lens are known, and stay as they are."""

    focal: bool = False
    distortion: bool = False


def map_globally(
    database: FeatureDatabase, relaxed: bool, known: Known, focal: float | None = None, names: Sequence[str] = ()
) -> list[Any]:
    """Reconstructions by global mapping. ``relaxed`` keeps points at angles from 0.1 degrees.

    It starts from ``focal`` (working pixels; None: what the database says) and takes the images ``names`` alone, where
    any are named.
    """
    import pycolmap

    if focal is not None:
        database.set_focal(focal)
    options = pycolmap.GlobalPipelineOptions()
    options.image_names = list(names)
    options.random_seed = options.mapper.random_seed = database.seed
    options.num_threads = options.mapper.num_threads = 1
    mapper = options.mapper
    mapper.rotation_averaging.random_seed = mapper.global_positioning.random_seed = database.seed
    mapper.retriangulation.random_seed = database.seed
    mapper.global_positioning.use_gpu = mapper.bundle_adjustment.ceres.use_gpu = False
    mapper.bundle_adjustment.refine_focal_length = not known.focal
    mapper.bundle_adjustment.refine_extra_params = not known.distortion
    mapper.bundle_adjustment.ceres.solver_options.num_threads = 1
    if relaxed:
        mapper.min_tri_angle_deg = mapper.retriangulation.min_angle = 0.1
    pycolmap.set_random_seed(database.seed)
    with _output(database) as output:
        return list(pycolmap.global_mapping(str(database.path), str(database.images), str(output), options).values())


def map_incrementally(database: FeatureDatabase, focal: float, relaxed: bool) -> list[Any]:
    """Reconstructions by incremental mapping with the focal length (working pixels) fixed and no distortion.

    ``relaxed``: initial pair from 1 degree and 50 inliers, forward motion allowed, points kept from 0.1 degrees.
    """
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = database.seed
    options.num_threads = options.mapper.num_threads = 1
    options.multiple_models = False
    options.ba_refine_focal_length = options.ba_refine_extra_params = False
    options.mapper.abs_pose_refine_focal_length = options.mapper.abs_pose_refine_extra_params = False
    options.ba_global_frames_ratio = options.ba_global_points_ratio = 1.3
    options.ba_global_max_refinements, options.ba_local_max_refinements = 2, 1
    if relaxed:
        options.mapper.init_min_tri_angle, options.mapper.init_min_num_inliers = 1.0, 50
        options.mapper.init_max_forward_motion = 1.0
        options.mapper.filter_min_tri_angle = options.triangulation.min_angle = 0.1
    database.set_focal(focal)
    pycolmap.set_random_seed(database.seed)
    with _output(database) as output:
        models = pycolmap.incremental_mapping(str(database.path), str(database.images), str(output), options)
    return list(models.values())


@contextlib.contextmanager
def _output(database: FeatureDatabase) -> Iterator[Path]:
    output = database.folder / "mapping"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    yield output


def refine(candidate: Any, known: Known, relaxed: bool) -> Any:
    """Robust bundle adjustment of everything, outliers removed, with and without radial distortion; returns the better.

    Without distortion the frames need no undistortion, so it wins unless it is worse by DISTORTION_GAIN. A known
    distortion stays.
    """
    import pycolmap

    angle = 0.1 if relaxed else 1.0
    plain = _copy(candidate)
    if not known.distortion:
        for camera in plain.cameras.values():
            camera.params = [*camera.params[:3], 0.0]
    _adjust(plain, known.focal, distortion=False)
    pycolmap.ObservationManager(plain).filter_all_points3D(4.0, angle)
    _adjust(plain, known.focal, distortion=False)
    if known.distortion:
        return plain
    radial = _copy(plain)
    _adjust(radial, known.focal, distortion=True)
    return radial if _rms(radial) < (1 - DISTORTION_GAIN) * _rms(plain) else plain


def _adjust(reconstruction: Any, fixed_focal: bool, distortion: bool) -> None:
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length, options.refine_extra_params = not fixed_focal, distortion
    options.print_summary = False
    options.ceres.loss_function_type, options.ceres.loss_function_scale = pycolmap.LossFunctionType.SOFT_L1, 1.0
    solver = options.ceres.solver_options
    solver.num_threads, solver.max_num_iterations, solver.function_tolerance = 1, 50, 1e-7
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in reconstruction.reg_image_ids():
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, config, reconstruction).solve()
    reconstruction.update_point_3d_errors()


def _copy(reconstruction: Any) -> Any:
    import pycolmap

    return pycolmap.Reconstruction(reconstruction)


def _rms(reconstruction: Any) -> float:
    """Root mean square over observations of their point's mean error: points seen often count more."""
    error = np.array([(p.error, p.track.length()) for p in reconstruction.points3D.values()])
    return float(np.sqrt((error[:, 0] ** 2 * error[:, 1]).sum() / error[:, 1].sum())) if len(error) else np.inf


def drop_weak(candidate: Any) -> Any:
    """A reconstruction without the poses of frames that see fewer than LEAST_OBSERVATIONS points; itself if none does.

    Six unknowns of a pose follow from three points; few more cannot tell wrong matches from right ones.
    """
    weak = [image.frame_id for image in candidate.images.values()
            if image.has_pose and image.num_points3D < LEAST_OBSERVATIONS]  # fmt: skip
    if not weak:
        return candidate
    left = _copy(candidate)
    for frame_id in weak:
        left.deregister_frame(frame_id)
    return left


def weakest_joint(spans: Sequence[tuple[int, int]], frames: Sequence[int]) -> tuple[int, int] | None:
    """The frame that hangs together least with what comes before, and by how many points. None for a single frame.

    ``spans`` are the first and the last frame that see each point, ``frames`` the registered ones, ascending.
    """
    if len(frames) < 2:
        return None
    ends = np.asarray(spans).reshape(-1, 2)
    joined = [int(((ends[:, 0] < frame) & (ends[:, 1] >= frame)).sum()) for frame in frames[1:]]
    return int(frames[1 + int(np.argmin(joined))]), min(joined)


def assess(candidate: Any) -> Quality | None:
    """The figures of a candidate; None if it has no points or fewer than two images."""
    points = candidate.points3D
    images = [image for image in candidate.images.values() if image.has_pose]
    if len(images) < 2 or not points:
        return None
    camera = next(iter(candidate.cameras.values()))
    centres = {image.image_id: np.asarray(image.projection_center()) for image in images}
    angles, errors, lengths, spans = [], [], [], []
    for point in points.values():
        rays = np.array([centres[e.image_id] for e in point.track.elements]) - point.xyz
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        angles.append(np.arccos(np.clip((rays @ rays.T).min(), -1, 1)))
        errors.append(point.error)
        lengths.append(len(rays))
        seers = [element.image_id - 1 for element in point.track.elements]
        spans.append((min(seers), max(seers)))
    return Quality(
        len(images), len(points), float(np.mean(errors)), float(np.sqrt(np.mean(np.square(errors)))),
        float(np.degrees(np.median(angles))), float(camera.params[0]) / max(camera.width, camera.height),
        float(camera.params[3]), float(np.mean(lengths)), float(np.median([image.num_points3D for image in images])),
        frames=tuple(sorted(int(Path(image.name).stem) for image in images if Path(image.name).stem.isdecimal())),
        weakest=weakest_joint(spans, sorted(image.image_id - 1 for image in images)),
    )  # fmt: skip
