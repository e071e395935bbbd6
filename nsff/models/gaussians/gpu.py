"""The rasteriser of CUDA devices: gsplat, wrapped thinly. Can be imported without gsplat.

Notation: nsff.models.gaussians.splats, whose cut-offs are gsplat's own.
"""

from __future__ import annotations

import functools

import torch

from nsff.models.gaussians import twin
from nsff.models.gaussians.splats import BLUR, FAR, NEAR, Camera, Rendering, Splats

TILE = 16
CHANNELS_AT_ONCE = 32
"""gsplat composites this many channels in one pass, and is slow with more."""


@functools.cache
def problem() -> str | None:
    """Why gsplat does not work in this installation; None where it does.

    Where it is installed and was never built, this builds it, with whatever compiler gsplat finds: a minute or two.
    """
    try:
        from gsplat.cuda import _backend
    except ImportError as error:
        return f"it is not installed ({error})"
    except Exception as error:  # compilers fail with errors of many types
        return f"it could not be built ({type(error).__name__}: {error})"
    return "it is not built, and no CUDA compiler was found to build it" if _backend._C is None else None


def rasterise(splats: Splats, camera: Camera, packed: bool = False) -> Rendering:
    """Draws ``splats`` (float32, on a CUDA device) as ``camera`` sees them.

    packed: the Gaussians in view are gathered first, which takes less memory and more time where most are out of view.
    Gradients reach all of ``splats`` and the camera's pose. Raises ValueError for other types and devices, and what
    importing gsplat raises where it does not work (see ``problem``).
    """
    means = splats.means
    if means.dtype != torch.float32 or not means.is_cuda:
        raise ValueError(f"splats: {means.dtype} on {means.device}, not float32 on a CUDA device")
    if not len(splats):
        return twin.rasterise(splats, camera)  # gsplat 1.5.3 divides by zero
    import gsplat

    pose = torch.cat([camera.world_to_camera.to(means), means.new_tensor([[0.0, 0, 0, 1]])])
    drawn, alpha, _ = gsplat.rasterization(
        means, splats.quaternions, splats.scales, splats.opacities, splats.values, pose[None],
        camera.K.to(means)[None], camera.width, camera.height, near_plane=NEAR, far_plane=FAR, eps2d=BLUR,
        packed=packed, tile_size=TILE, render_mode="RGB+ED", channel_chunk=CHANNELS_AT_ONCE,
    )  # fmt: skip
    return Rendering(drawn[0, ..., :-1], alpha[0, ..., 0], drawn[0, ..., -1])
