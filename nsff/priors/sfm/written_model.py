"""A model of the working size, written as one of the ingested frames in axes and units of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nsff.priors.sfm.features import FeatureDatabase
from nsff.scene import Scene


def write_at_frame_size(model: Any, database: FeatureDatabase, folder: Path, scene: Scene) -> None:
    """Writes a model of the working size below ``folder`` as one of the ingested frames, with colours of its points."""
    model.extract_colors_for_all_images(str(database.images))
    to_frame_size(model, *frame_size(scene))
    to_first_camera(model)
    sparse = folder / scene.sparse_model_dir.name
    sparse.mkdir()
    model.write_binary(str(sparse))


def to_frame_size(reconstruction: Any, height: int, width: int) -> None:
    """Rescales a reconstruction in place to pictures of another size: cameras, observations and point errors."""
    for camera in reconstruction.cameras.values():
        across, down = width / camera.width, height / camera.height
        camera.rescale(width, height)
    for image in reconstruction.images.values():
        for point in image.points2D:
            point.xy = point.xy * [across, down]
    for point in reconstruction.points3D.values():
        point.error = point.error * down


def to_first_camera(reconstruction: Any) -> None:
    """Moves a reconstruction in place: its first frame is the world, and 5 % of what all frames see is nearer than 1.

    Structure from motion leaves position and scale open; mapping may return depths of 1e4.
    """
    import pycolmap

    images = sorted((i for i in reconstruction.images.values() if i.has_pose), key=lambda image: image.name)
    depths = []
    for image in images:
        seen = [reconstruction.points3D[p.point3D_id].xyz for p in image.points2D if p.has_point3D()]
        pose = image.cam_from_world().matrix()
        depths.append(np.array(seen).reshape(-1, 3) @ pose[2, :3] + pose[2, 3])
    depth = np.concatenate(depths)
    scale = 1 / np.percentile(depth[depth > 0], 5)
    pose = images[0].cam_from_world()
    reconstruction.transform(pycolmap.Sim3d(scale, pose.rotation, scale * pose.translation))


def frame_size(scene: Scene) -> tuple[int, int]:
    """Rows and columns of the ingested frames."""
    return scene.frame(0).shape[:2]
