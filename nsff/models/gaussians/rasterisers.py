"""Rasterisers of Gaussians by device: gsplat on CUDA, kernels that Numba compiles on the CPU.

Notation, and what all rasterisers agree on: nsff.models.gaussians.splats.
"""

from __future__ import annotations

import torch

from nsff.building.builds import EXTRA, command_here, gsplat_version
from nsff.errors import StageError
from nsff.models.gaussians.splats import Camera, Rendering, Splats


def rasterise(splats: Splats, camera: Camera) -> Rendering:
    """Draws ``splats`` as ``camera`` sees them, on the device where they are; gradients reach splats and pose.

    Raises StageError where that device has no rasteriser, which names the remedy (see ``check_rasteriser``).

    Example:
        One grey Gaussian, two units in front of the camera:

        >>> import torch
        >>> quaternion, grey = torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.5)
        >>> splats = Splats(torch.tensor([[0.0, 0, 2]]), quaternion, torch.full((1, 3), 0.1), torch.tensor([0.9]), grey)
        >>> K = torch.tensor([[40.0, 0, 16], [0, 40, 9], [0, 0, 1]])
        >>> picture = rasterise(splats, Camera(K, torch.eye(4)[:3], height=18, width=32))
        >>> picture.values.shape
        torch.Size([18, 32, 3])
    """
    device = splats.means.device
    if device.type == "cpu":
        from nsff.models.gaussians import cpu

        return cpu.rasterise(splats, camera)
    check_rasteriser(device)
    from nsff.models.gaussians import gpu

    return gpu.rasterise(splats, camera)


def check_rasteriser(device: torch.device) -> None:
    """Raises StageError, with the remedy, where Gaussians cannot be drawn on ``device``."""
    if device.type == "cpu":
        return
    if device.type != "cuda":
        raise StageError(
            "rasteriser", f"Gaussians cannot be drawn on device {device}", "choose device cuda or cpu (train.device)"
        )
    from nsff.models.gaussians import gpu

    if problem := gpu.problem():
        raise StageError(
            "rasteriser",
            f"Gaussians are drawn by gsplat on {device}: {problem}",
            f"{EXTRA} (gsplat and its compiler), then {command_here()}; or draw on the CPU (device cpu)",
        )


def gpu_problem() -> str | None:
    """Why gsplat does not work in this installation, on the GPU in use; None where it does."""
    from nsff.models.gaussians import gpu

    return gpu.problem()


def rasteriser_line(device: torch.device) -> str:
    """The rasteriser of ``device`` in a line for people, with the remedy where it does not work."""
    if device.type != "cuda":
        return "Gaussians are drawn by kernels that Numba compiles"
    if problem := gpu_problem():
        remedy = f"{EXTRA}, {command_here()}"
        return f"Gaussians cannot be drawn on the GPU: gsplat is their rasteriser, and {problem} ({remedy})"
    return f"Gaussians are drawn by gsplat {gsplat_version()}, which is built"
