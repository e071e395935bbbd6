"""Compiles the kernels that draw Gaussians on a CPU, once for an installation; Python runs this file for `make setup`.

Without it the first training does so, for a quarter of a minute.
"""

from __future__ import annotations

import torch

from nsff.models.gaussians.cpu import rasterise
from nsff.models.gaussians.splats import Camera, Splats


def compile_kernels() -> None:
    """Draws a Gaussian with three channels and one with four, for which kernels differ, and follows gradients back."""
    camera = Camera(torch.tensor([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]), torch.eye(4)[:3], 8, 8)
    for channels in (3, 4):
        mean = torch.tensor([[0.0, 0, 2]], requires_grad=True)
        one = Splats(mean, torch.tensor([[1.0, 0, 0, 0]]), torch.ones(1, 3), torch.ones(1), torch.ones(1, channels))
        rasterise(one, camera).values.sum().backward()


if __name__ == "__main__":
    print("compiling the kernels that draw Gaussians on a CPU", flush=True)
    compile_kernels()
