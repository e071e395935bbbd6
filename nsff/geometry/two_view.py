"""Distances of the end points of flow to a two-view geometry, and that of two known cameras: kornia's, on arrays.

Notation as in nsff.geometry.epipolar: x (P..., 2) are pixels of the first view, x' of the second; x'^T F x = 0 for
static points. kornia needs torch, which takes seconds to import: so it is imported when one of these is asked for, and
stages without torch do without this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64

from nsff.cameras import Cameras

if TYPE_CHECKING:
    from torch import Tensor


def fundamental(cameras: Cameras, i: int, j: int) -> Float64[np.ndarray, "3 3"]:
    """F of the views i and j."""
    from kornia.geometry.epipolar import essential_from_Rt, fundamental_from_essential

    first, second = (_tensor(cameras.world_to_camera[k]) for k in (i, j))
    E = essential_from_Rt(first[:, :, :3], first[:, :, 3:], second[:, :, :3], second[:, :, 3:])
    return fundamental_from_essential(E, *(_tensor(cameras.intrinsics[k]) for k in (i, j)))[0].numpy()


def line_distance(
    F: Float[np.ndarray, "3 3"], x: Float[np.ndarray, "*P 2"], x_other: Float[np.ndarray, "*P 2"]
) -> Float64[np.ndarray, "*P"]:
    """Pixels between x' and the line F x in the second view (one-sided, not Sampson; as in NSFF's preprocessing)."""
    from kornia.geometry.epipolar import left_to_right_epipolar_distance

    distance = left_to_right_epipolar_distance(_points(x), _points(x_other), _tensor(F))
    return distance.numpy().reshape(x.shape[:-1])


def homography_distance(
    M: Float[np.ndarray, "3 3"], x: Float[np.ndarray, "*P 2"], x_other: Float[np.ndarray, "*P 2"]
) -> Float64[np.ndarray, "*P"]:
    """Pixels between x' and the image M x."""
    from kornia.geometry.homography import oneway_transfer_error

    distance = oneway_transfer_error(_points(x), _points(x_other), _tensor(M), squared=False)
    return distance.numpy().reshape(x.shape[:-1])


def _points(x: Float[np.ndarray, "*P 2"]) -> Tensor:
    """Points in the form that kornia takes: one batch."""
    return _tensor(x.reshape(-1, 2))


def _tensor(values: np.ndarray) -> Tensor:
    """A batch of one, in double precision."""
    import torch

    return torch.from_numpy(np.array(values, dtype=np.float64))[None]
