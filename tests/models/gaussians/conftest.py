"""Random Gaussians of every kind that a rasteriser meets, and what is compared of two drawings of them."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from nsff.models.gaussians.splats import Camera, Rendering, Splats

INPUTS = ("means", "quaternions", "scales", "opacities", "values", "world_to_camera")


@dataclass(frozen=True)
class Case:
    """A scene and a camera; ``unit`` is the size of the world, at which things lie in front of the camera."""

    splats: Splats
    camera: Camera

    def to(self, dtype: torch.dtype, device: str = "cpu") -> "Case":
        splats = Splats(*(getattr(self.splats, name).to(device, dtype) for name in INPUTS[:5]))
        K, pose = (t.to(device, dtype) for t in (self.camera.K, self.camera.world_to_camera))
        return Case(splats, Camera(K, pose, self.camera.height, self.camera.width))

    def drawn(self, rasterise: Callable[..., Rendering], **options: object) -> dict[str, Tensor]:
        """values, alpha and depth, and gradients (named after INPUTS) of a loss that weighs all of them at random."""
        leaves = [getattr(self.splats, name).clone().requires_grad_() for name in INPUTS[:5]]
        pose = self.camera.world_to_camera.clone().requires_grad_()
        camera = Camera(self.camera.K, pose, self.camera.height, self.camera.width)
        result = rasterise(Splats(*leaves), camera, **options)
        pictures = {"values": result.values, "alpha": result.alpha, "depth": result.depth}
        generator = torch.Generator().manual_seed(5)
        loss = sum(
            (torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p) * p).sum() for p in pictures.values()
        )
        gradients = torch.autograd.grad(loss, [*leaves, pose])
        named = {f"gradient of {name}": gradient for name, gradient in zip(INPUTS, gradients, strict=True)}
        return {name: p.detach().double().cpu() for name, p in {**pictures, **named}.items()}


def random_case(
    seed: int, count: int = 200, unit: float = 1.0, sizes: float = 0.03, spread: float = 1.5, channels: int = 3,
    height: int = 37, width: int = 51,
) -> Case:  # fmt: skip
    """Gaussians of log-normal scales around ``sizes`` × unit, in front of, beside and behind a camera of any axes."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    z = uniform(count, 1) * 5 - 1
    points = torch.cat([(uniform(count, 2) - 0.5) * 2.2 * z.abs(), z], dim=1) * unit
    V, t = torch.linalg.qr(normal(3, 3)).Q, normal(3) * unit
    V = V * torch.linalg.det(V)
    opacities = uniform(count)
    opacities[::9], opacities[1::9] = 0, 1
    splats = Splats(
        (points - t) @ V, normal(count, 4) * 3, torch.exp(normal(count, 3) * spread) * sizes * unit, opacities,
        normal(count, channels),
    )  # fmt: skip
    K = torch.tensor([[0.9 * width, 0, 0.47 * width], [0, 1.1 * width, 0.56 * height], [0, 0, 1]], dtype=torch.float64)
    return Case(splats, Camera(K, torch.cat([V, t[:, None]], dim=1), height, width))


@pytest.fixture(scope="session")
def make_case() -> Callable[..., Case]:
    """The function random_case(seed, count, unit, sizes, spread, channels, height, width)."""
    return random_case


CASES = {
    "mixed": {"seed": 0},
    "many channels": {"seed": 1, "channels": 40},
    "huge": {"seed": 2, "sizes": 3.0},
    "tiny": {"seed": 3, "sizes": 1e-4},
    "needles": {"seed": 4, "spread": 3.0, "sizes": 0.02},
    "large world": {"seed": 5, "unit": 1000.0},
    "world of the size of the nearest depth": {"seed": 6, "unit": 0.01},
    "one tile": {"seed": 7, "height": 16, "width": 16},
    "four channels": {"seed": 9, "channels": 4},
    "four channels, huge": {"seed": 15, "channels": 4, "sizes": 3.0},
    "four channels, needles": {"seed": 16, "channels": 4, "spread": 3.0, "sizes": 0.02},
    "one pixel": {"seed": 8, "height": 1, "width": 1, "sizes": 0.3},
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    """Each of CASES in turn, float64."""
    return random_case(**request.param)
