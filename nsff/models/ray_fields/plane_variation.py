"""How much neighbouring cells of feature planes differ: what keeps planes smooth.

Notation. Planes (3, slices, R, R, C) as in nsff.models.ray_fields.plane_lookup. The variation of one tensor is the mean
squared difference of cells side by side plus that of cells one above the other, never across the seams of slices. On a
GPU nsff.models.ray_fields.variation_kernels read a plane once and add to its gradient in place; elsewhere the plain
twin here serves.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.models.ray_fields.kernel_choice import working_kernels
from nsff.models.ray_fields.plane_lookup import staying_gradient


def variation(planes: Float[Tensor, "3 slices R R C"]) -> Float[Tensor, ""]:
    """The variation of the planes of one resolution; gradients reach them."""
    if planes.is_cuda and planes.dtype == torch.float32 and planes.shape[2] > 1 and planes.is_contiguous():
        kernels = working_kernels("nsff.models.ray_fields.variation_kernels", planes.device)
        if kernels is not None:
            return kernels.variation(planes, staying_gradient(planes))
    return plain_variation(planes)


def plain_variation(planes: Float[Tensor, "3 slices R R C"]) -> Float[Tensor, ""]:
    """The same in plain torch."""
    down, right = planes[:, :, 1:] - planes[:, :, :-1], planes[:, :, :, 1:] - planes[:, :, :, :-1]
    return down.square().mean() + right.square().mean()
