"""Gaussians behind places where surfaces of a model let its background colour through.

A model of Gaussians draws pictures on a colour of its own (c = Σ T_i α_i f_i + T_end · background). What has that
colour, such as mortar between bricks, it may leave open. On another background these places are gaps: here Gaussians
of the background's colour, each wider than a block of BLOCK × BLOCK pixels, close them from just behind the surface.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float32
from scipy.spatial.transform import Rotation

from nsff.cameras import Cameras
from nsff.models.gaussians.rasterisers import rasterise
from nsff.models.gaussians.splats import Camera, Rendering, Splats
from nsff.splats.scene import SplatScene, SplatSet

BLOCK = 8
"""Pixels of a block's sides."""
VIEWS = 8
"""Cameras of the clip from which gaps are looked for."""
OPEN = 0.02
"""Blocks through which so much of the light passes have gaps."""
SURFACE = 0.5
"""Pixels that stop less light show no surface; blocks of which less than this share is surface are left open."""
BEHIND = 0.02
"""How far behind the farthest surface of its block a Gaussian lies, as a share of the depth."""
WIDTH, THICKNESS, OPACITY = 0.6, 0.05, 0.97
"""Standard deviations across and along the line of sight, in blocks; opacity."""


def with_backdrop(splats: SplatScene, cameras: Cameras, background: Float32[np.ndarray, "3"]) -> SplatScene:
    """The scene, and static Gaussians of the background's colour behind its gaps.

    ``cameras``: the clip's, one a frame. Each camera adds what those before it left open.
    """
    n = len(cameras.intrinsics)
    for frame in np.unique(np.linspace(0, n - 1, min(n, VIEWS)).round().astype(int)):
        E = cameras.world_to_camera[frame, :3].astype(np.float32)
        K = cameras.intrinsics[frame].astype(np.float32)
        depth = depth_of_gaps(splats, float(frame), K, E, cameras.height, cameras.width)
        more = discs(depth, K, E, background, splats.static)
        arrays = dict(more.arrays())
        joined = {name: np.concatenate([array, arrays[name]]) for name, array in splats.static.arrays()}
        splats = replace(splats, static=SplatSet(**joined))
    return splats


def depth_of_gaps(
    splats: SplatScene,
    time: float,
    K: Float32[np.ndarray, "3 3"],
    E: Float32[np.ndarray, "3 4"],
    height: int,
    width: int,
) -> Float32[np.ndarray, "R C"]:
    """For each block of a picture the depth at which its gaps are closed; nan where there are none.

    Gaps behind what moves are none here: what is there is not known at this time.
    """
    camera = Camera(torch.from_numpy(K), torch.from_numpy(E), height, width)
    drawn = _drawn(splats.static, camera)
    stopped = _drawn(splats.at(time), camera).alpha.numpy()
    alpha, z = drawn.alpha.numpy(), drawn.depth.numpy()
    rows, columns = height // BLOCK, width // BLOCK

    def blocks(values: np.ndarray) -> np.ndarray:
        whole = values[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
        return whole.transpose(0, 2, 1, 3).reshape(rows, columns, -1)

    surface = blocks(alpha) >= SURFACE
    farthest = np.where(surface, blocks(z), 0).max(axis=-1)
    has_gaps = (1 - blocks(stopped).mean(axis=-1) > OPEN) & (surface.mean(axis=-1) > SURFACE)
    return np.where(has_gaps, farthest * (1 + BEHIND), np.nan).astype(np.float32)


def _drawn(part: SplatSet, camera: Camera) -> Rendering:
    means, quaternions, scales, opacities = (
        torch.from_numpy(getattr(part, name)) for name in ("means", "quaternions", "scales", "opacities")
    )
    with torch.no_grad():
        return rasterise(Splats(means, quaternions, scales, opacities, torch.zeros(len(part), 1)), camera)


def discs(
    depth: Float32[np.ndarray, "R C"],
    K: Float32[np.ndarray, "3 3"],
    E: Float32[np.ndarray, "3 4"],
    colour: Float32[np.ndarray, "3"],
    like: SplatSet,
) -> SplatSet:
    """A Gaussian that faces the camera at the middle of each block that has a depth."""
    row, column = np.nonzero(np.isfinite(depth))
    z, count = depth[row, column].astype(np.float64), len(row)
    pixels = np.stack([(column + 0.5) * BLOCK, (row + 0.5) * BLOCK, np.ones(count)], axis=1)
    seen = pixels @ np.linalg.inv(K.astype(np.float64)).T * z[:, None]
    turn = E[:, :3].astype(np.float64)
    size = z * BLOCK / K[0, 0]
    quaternion = Rotation.from_matrix(turn.T).as_quat(scalar_first=True)
    colours = np.tile(np.clip(colour, 0, 1), (count, 1))
    features = None if like.feature_colours is None else np.full((count, 3), 0.5)
    return SplatSet(
        (seen - E[:, 3]) @ turn, np.tile(quaternion, (count, 1)), size[:, None] * [WIDTH, WIDTH, THICKNESS],
        np.full(count, OPACITY), colours, np.zeros(count, np.int16), features,
    )  # fmt: skip
