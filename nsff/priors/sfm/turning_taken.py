"""When a camera that only turns, or stands still, is taken, and the summary of it (nsff.priors.sfm.turning finds it).

A camera on a tripod is one whose rotations are none: objects, masks and videos from its own place can be had.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nsff.config import SfmConfig
from nsff.files.io import read_mask
from nsff.layout import frame_name
from nsff.priors.sfm.acceptance import LittleParallaxError, least_registered
from nsff.priors.sfm.turning import turning_camera, turning_model
from nsff.priors.sfm.world import World
from nsff.priors.sfm.worlds import SOUND, SOUND_BORDER, SOUND_WORST, describe, short_of, world_figures
from nsff.priors.sfm.written_model import write_at_frame_size
from nsff.scene import Scene

TURNING = "turning"
"""Name of the attempt that takes a camera that only turns."""
TOLERATED = 2.0
"""Rotations through one lens may leave so many times sfm.min_parallax unexplained, which pairs with a focal length of
their own do not show; the masks' threshold of motion is above that."""
LEAST_MOVING = 0.01
"""Share of the clip that coarse masks cover, below which a camera that stays at its place is of no use: there is no
depth, and no object."""


def may_turn(scene: Scene, sfm: SfmConfig, error: LittleParallaxError) -> bool:
    """Whether a camera that stays at its place would be of use: matches show that it does, and something moves."""
    if (
        (sfm.still if error.still else sfm.turning) == "refuse"
        or error.database is None
        or not scene.coarse_masks_dir.is_dir()
    ):
        return False
    masks = [read_mask(scene.coarse_masks_dir / frame_name(i)) > 127 for i in range(scene.n_frames)]
    return bool(np.mean([mask.mean() for mask in masks]) >= LEAST_MOVING)


def take_turning(
    scene: Scene, sfm: SfmConfig, error: LittleParallaxError, folder: Path, guess: float | None
) -> dict[str, Any]:
    """Writes the model of a camera that only turns, or stands still, below ``folder``, and returns the summary.

    Raises ``error`` where turning does not explain the matches of enough frames, or flow says that little stands still.
    """
    n, database = scene.n_frames, error.database
    known = sfm.focal or guess
    found = turning_camera(database, known and known * database.scale)
    if found is None or len(found.frames) < least_registered(n, sfm) or found.residual >= TOLERATED * sfm.min_parallax:
        raise error
    model = turning_model(database, found)
    check = World(scene, model).check() if scene.raw_flow_dir.is_dir() else None
    if short_of(check, SOUND, SOUND_BORDER, SOUND_WORST, -1):
        raise error
    print(f"sfm, turning: residual {found.residual:.2f} px, {describe(check)}", flush=True)
    features, displacement = float(np.median(database.features_per_image())), database.displacement()
    write_at_frame_size(model, database, folder, scene)
    camera = next(iter(model.cameras.values()))
    message = (
        f"The camera {'stands still' if error.still else 'only turns'}: rotations of {len(found.frames)} of {n} frames "
        f"explain the matches to within {found.residual:.1f} px. Nothing tells depth, so all points lie at one "
        "distance: masks, objects and pictures from the camera's own place hold, and pictures from other places and "
        "depth do not. Film from a moving position for those, or take more of the clip."
    )
    return {
        "source": "estimated", "n_frames": n, "attempt": TURNING, "tried": [TURNING], "registered": len(found.frames),
        "points": len(model.points3D), "reprojection_error": found.residual, "triangulation_angle": 0.0,
        "focal_ratio": found.focal / max(database.width, database.height), "distortion": found.distortion,
        "working_height": database.height, "reprojection_error_frame": found.residual / database.scale,
        "focal": float(camera.params[0]), "focal_guess": guess,
        "principal_point": [float(v) for v in camera.params[1:3]],
        "unregistered": sorted(set(range(n)) - set(found.frames)), "features_per_image": features,
        "displacement": displacement, "features_from": TURNING, "world": world_figures(check),
        "parallax": found.residual, "verdict": "doubtful", "message": message,
    }  # fmt: skip
