"""The rasteriser of CUDA devices: gsplat, wrapped thinly. Can be imported without gsplat.

Notation: nsff.models.gaussians.splats, whose cut-offs are gsplat's own.
"""

from __future__ import annotations

import functools
import importlib.util

import torch

from nsff.building.builds import build_that_runs_on, load_library
from nsff.models.gaussians import twin
from nsff.models.gaussians.splats import FAR, NEAR, Camera, Rendering, Splats

TILE = 16
CHANNELS_AT_ONCE = 32
"""gsplat composites this many channels in one pass, and is slow with more."""


@functools.cache
def problem() -> str | None:
    """Why gsplat does not work in this installation, on the GPU in use; None where it does, from now on.

    Nothing is built here: ``nsff build-rasteriser`` does that, and this loads what it built.
    """
    if importlib.util.find_spec("gsplat") is None:
        return "it is not installed"
    if not torch.cuda.is_available():
        return "PyTorch sees no GPU"
    try:
        if importlib.util.find_spec("gsplat.csrc") is None:
            capability = torch.cuda.get_device_capability()
            build = build_that_runs_on(capability)
            if build is None:
                return f"it is not built for this GPU (compute capability {capability[0]}.{capability[1]})"
            load_library(build.library)
        from gsplat.cuda import _backend
    except Exception as error:  # libraries that do not fit fail with errors of many types
        return f"it cannot be loaded ({type(error).__name__}: {error}); build it again, with --force"
    return "its library is not there" if _backend._C is None else None


def rasterise(splats: Splats, camera: Camera, packed: bool = False) -> Rendering:
    """Draws ``splats`` (float32, on a CUDA device) as ``camera`` sees them.

    packed: the Gaussians in view are gathered first, which takes less memory and more time where most are out of view.
    Gradients reach all of ``splats`` and the camera's pose. Raises ValueError for other types and devices,
    RuntimeError where gsplat does not work (see ``problem``).
    """
    means = splats.means
    if means.dtype != torch.float32 or not means.is_cuda:
        raise ValueError(f"splats: {means.dtype} on {means.device}, not float32 on a CUDA device")
    if not len(splats):
        return twin.rasterise(splats, camera)  # gsplat 1.5.3 divides by zero
    if found := problem():
        raise RuntimeError(f"gsplat: {found}")
    import gsplat

    pose = torch.cat([camera.world_to_camera.to(means), means.new_tensor([[0.0, 0, 0, 1]])])
    drawn, alpha, _ = gsplat.rasterization(
        means, splats.quaternions, splats.scales, splats.opacities, splats.values, pose[None],
        camera.K.to(means)[None], camera.width, camera.height, near_plane=NEAR, far_plane=FAR, eps2d=camera.blur,
        packed=packed, tile_size=TILE, render_mode="RGB+ED", channel_chunk=CHANNELS_AT_ONCE,
    )  # fmt: skip
    return Rendering(drawn[0, ..., :-1], alpha[0, ..., 0], drawn[0, ..., -1])
