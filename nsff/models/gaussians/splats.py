"""Gaussians to draw, the camera that sees them, and the pictures that rasterisers make of them.

Notation, the same in all files of this folder. G Gaussians, C channels, pictures of H rows and W columns.

- A Gaussian has a mean μ in the world, a rotation R (of a quaternion w, x, y, z), scales s (standard deviations along
  its axes, scene units), an opacity o and C values. Its covariance is Σ = R diag(s²) Rᵀ.
- A camera maps the world to p = (x, y, z) = V μ + t, in OpenCV axes (x right, y down, z forward), and p to pixels
  (u, v) = (fx x/z + cx, fy y/z + cy). Pixel centres lie at (column + 0.5, row + 0.5).
- On the picture a Gaussian has the covariance J V Σ Vᵀ Jᵀ + BLUR I (Zwicker et al. 2001, EWA splatting; Kerbl et al.
  2023, 3D Gaussian Splatting), where J is the derivative of the projection at p. Its inverse, the conic, is
  [[a, b], [b, c]]. At an offset (dx, dy) from (u, v), α = min(MAX_ALPHA, o exp(−σ)) with
  σ = (a dx² + c dy²)/2 + b dx dy.
- Front to back (by z; Gaussians of equal z in their order), Gaussian i counts with the weight T_i α_i, where the
  transmittance T_i is the product of 1 − α_j over those in front. Alpha is the sum of weights, values are Σ T_i α_i c_i
  (on black: nothing is divided by alpha), and the expected depth is Σ T_i α_i z_i / alpha, 0 where alpha is 0.

Every rasteriser leaves out the same, as gsplat 1.5 does, so that their pictures agree:

- Gaussians with z below NEAR or above FAR, and those of an opacity below MIN_ALPHA.
- α below MIN_ALPHA counts as 0.
- A pixel is finished before the Gaussian that would make its transmittance MIN_TRANSMITTANCE or less.
- J is taken at x/z and y/z clamped to the picture and MARGIN × half its size beyond, at which a large Gaussian beside
  the picture does not grow without bound.
- Outside of the rectangle u ± ceil(k √Σ'₀₀), v ± ceil(k √Σ'₁₁), where Σ' is the covariance on the picture and
  k = min(EXTENT, √(2 ln(o / MIN_ALPHA))), a Gaussian is not looked at. For o ≤ 1, α is below MIN_ALPHA there, so that
  this saves time and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

NEAR = 0.01
"""Nearest z that is drawn, scene units."""
FAR = 1e10
"""Furthest z that is drawn, scene units."""
BLUR = 0.3
"""Added to both variances on the picture, square pixels, so that nothing is thinner than a pixel."""
EXTENT = 3.33
"""Largest distance from its centre at which a Gaussian is looked at, standard deviations."""
MARGIN = 0.3
"""How far beyond the picture J still changes, in halves of the picture's size."""
MAX_ALPHA = 0.999
MIN_ALPHA = 1 / 255
MIN_TRANSMITTANCE = 1e-4
MIN_DIVISOR = 1e-10
"""The expected depth is divided by alpha or this, whichever is more."""


@dataclass(frozen=True)
class Splats:
    """G Gaussians as they are drawn: floating tensors of one type on one device.

    means (G,3) in the world; quaternions (G,4) as w, x, y, z, of any length but 0; scales (G,3), positive; opacities
    (G,) in [0, 1]; values (G,C), any number of channels: colours, features, masks. Raises ValueError where shapes,
    types or devices do not fit.
    """

    means: Float[Tensor, "G 3"]
    quaternions: Float[Tensor, "G 4"]
    scales: Float[Tensor, "G 3"]
    opacities: Float[Tensor, "G"]
    values: Float[Tensor, "G C"]

    def __post_init__(self) -> None:
        G, means = len(self.means), self.means
        shapes = {"means": (G, 3), "quaternions": (G, 4), "scales": (G, 3), "opacities": (G,)}
        if self.values.ndim != 2:
            raise ValueError(f"splats: values {tuple(self.values.shape)}, not (G, C)")
        for name, shape in {**shapes, "values": (G, self.values.shape[1])}.items():
            given: Tensor = getattr(self, name)
            if given.shape != shape:
                raise ValueError(f"splats: {name} {tuple(given.shape)}, not {shape}")
            if given.dtype != means.dtype or given.device != means.device or not given.is_floating_point():
                raise ValueError(
                    f"splats: {name} {given.dtype} on {given.device}, means {means.dtype} on {means.device}"
                )

    def __len__(self) -> int:
        return len(self.means)

    def fixed(self) -> Splats:
        """The same Gaussians, whose gradients reach ``values`` alone."""
        return Splats(
            self.means.detach(), self.quaternions.detach(), self.scales.detach(), self.opacities.detach(), self.values
        )

    def showing(self, values: Float[Tensor, "G C"]) -> Splats:
        """The same Gaussians with other values."""
        return Splats(self.means, self.quaternions, self.scales, self.opacities, values)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: K (3,3), pixels, without skew; world_to_camera (3,4) = [V | t]; height and width, pixels;
    blur, square pixels, in place of BLUR where the picture is larger than those that the Gaussians were fitted to.

    Gradients reach world_to_camera, not K. Raises ValueError for shapes that do not fit and empty pictures.
    """

    K: Float[Tensor, "3 3"]
    world_to_camera: Float[Tensor, "3 4"]
    height: int
    width: int
    blur: float = BLUR

    def __post_init__(self) -> None:
        if self.K.shape != (3, 3) or self.world_to_camera.shape != (3, 4):
            raise ValueError(f"camera: K {tuple(self.K.shape)}, world_to_camera {tuple(self.world_to_camera.shape)}")
        if self.height < 1 or self.width < 1:
            raise ValueError(f"camera: a picture of {self.height} x {self.width} pixels")


@dataclass(frozen=True)
class Rendering:
    """values (H,W,C), composited on 0; alpha (H,W) in [0, 1); depth (H,W), expected z in scene units, 0 at alpha 0."""

    values: Float[Tensor, "H W C"]
    alpha: Float[Tensor, "H W"]
    depth: Float[Tensor, "H W"]


def rendering_of(sums: Float[Tensor, "H W C+1"], alpha: Float[Tensor, "H W"]) -> Rendering:
    """The pictures from sums of weighted values, the last of which is z, and alpha."""
    return Rendering(sums[..., :-1], alpha, sums[..., -1] / alpha.clamp(min=MIN_DIVISOR))


def slope_limits(K: Float[Tensor, "3 3"], height: int, width: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Smallest and largest x/z, and y/z, at which J is taken (see MARGIN)."""

    def limits(focal: float, centre: float, size: int) -> tuple[float, float]:
        margin = MARGIN * size / (2 * focal)
        return -(centre / focal + margin), (size - centre) / focal + margin

    (fx, _, cx), (_, fy, cy), _ = K.tolist()
    return limits(fx, cx, width), limits(fy, cy, height)
