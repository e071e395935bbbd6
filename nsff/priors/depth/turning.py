"""How a rigid thing turns and moves while frames pass, with the relief of its pixels, from flow inside its mask.

Notation. Pixel p of frame t lies at X_p = C + r_p / (w0 (1 + x_p)): C the camera's centre, r_p its ray (z = 1), w0 the
inverse depth of the thing as a whole, x_p its relief. Until frame j the thing has moved to R_j (X - c) + c + T_j, about
its middle c. What is minimised over R_j, T_j and x_p is

    sum over j, p of rho(e / s_j) + sum over p of (x_p / expected)^2 + sum over j of (angle / (|j - t| SLOW))^2,

e the distance in pixels between the image in camera j and where flow leads, s_j = FLOW_ERROR sqrt(|j - t|), rho soft
(Cauchy), angle the rotation vector of R_j less that of an expected turning. Pixels share errors of flow, so that
SHARED of them count as one. Gauss-Newton, the reliefs eliminated (Schur complement).

Seen from so far that the perspective is weak, a thing and its mirror image that turns the other way look almost alike
(Necker's reversal), and descent does not lead from one to the other: it starts from turnings about both axes of the
picture, and the least result counts. Source: structure from motion of a rigid body (Ullman 1979; bundle adjustment,
Triggs et al. 2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64

from nsff.cameras import Cameras
from nsff.geometry.cross_product import cross_matrix

FLOW_ERROR = 0.5
"""Standard deviation of one link of flow where things move, pixels."""
SHARED = 16.0
"""Pixels that count as one."""
SLOW = np.radians(5.0)
"""Standard deviation of the turning from one frame to the next, radians."""
STARTS = np.radians(8.0) * np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], float)
"""Turnings a frame to begin with, rotation vectors in the axes of camera t."""
FEW, MOST = 150, 600
"""Pixels that the starts, and the last descent, look at."""
RANGE = (-0.5, 1.0)
"""x is within these bounds."""
TAIL = 4.0
"""Squared error, in s_j, from which on rho grows slowly."""


@dataclass(frozen=True)
class Sight:
    """Where flow leads the P pixels of a thing in another frame."""

    frame: int
    to: Float[np.ndarray, "P 2"]
    known: Bool[np.ndarray, " P"]
    way: Float[np.ndarray, "3"]
    """T to begin with, scene units."""


@dataclass(frozen=True)
class Turning:
    """The motion of a rigid thing from frame t to J others."""

    rotations: Float64[np.ndarray, "J 3 3"]
    ways: Float64[np.ndarray, "J 3"]
    """T_j."""
    middle: Float64[np.ndarray, "3"]
    relief: Float64[np.ndarray, " N"]
    """x of the pixels that were looked at."""
    cost: float

    def moved(self, k: int, world_to_camera: Float[np.ndarray, "3 4"]) -> Float64[np.ndarray, "3 4"]:
        """The pose from which a thing that stands still looks as it does to camera j, the k-th of the others."""
        R, shift = self.rotations[k], self.middle - self.rotations[k] @ self.middle + self.ways[k]
        turned = world_to_camera[:, :3]
        return np.concatenate([turned @ R, (turned @ shift + world_to_camera[:, 3])[:, None]], axis=1)


def turning_of(
    cameras: Cameras,
    t: int,
    at: Float[np.ndarray, "P 2"],
    inverse_depth: float,
    sights: Sequence[Sight],
    expected: float,
    usual: Float[np.ndarray, "3"] | None = None,
) -> Turning:
    """The motion that explains flow best. ``at``: pixel positions, centres at +0.5; ``expected``: standard deviation of
    x; ``usual``: the turning a frame to expect and to begin with, a rotation vector in the world's axes (none: to stand
    still, and STARTS)."""
    axes = cameras.world_to_camera[t, :, :3]
    few, most = _chosen(len(at), FEW), _chosen(len(at), MOST)
    mean = np.zeros(3) if usual is None else usual
    starts = [rate @ axes for rate in STARTS] if usual is None else [usual]
    coarse = _Problem(cameras, t, at, inverse_depth, sights, expected, mean, few)
    best = min((coarse.solve(coarse.start(rate), rounds=15) for rate in starts), key=lambda one: one.cost)
    fine = _Problem(cameras, t, at, inverse_depth, sights, expected, mean, most)
    return fine.solve((best.rotations, best.ways, np.zeros(len(most))), rounds=25)


def straight_cost(
    cameras: Cameras,
    t: int,
    at: Float[np.ndarray, "P 2"],
    inverse_depth: float,
    sights: Sequence[Sight],
    expected: float,
) -> float:
    """The cost of the best motion without any turning."""
    problem = _Problem(cameras, t, at, inverse_depth, sights, expected, np.zeros(3), _chosen(len(at), MOST))
    return problem.solve(problem.start(np.zeros(3)), rounds=25, turns=False).cost


def _chosen(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def rotation(vector: Float[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    return cv2.Rodrigues(np.asarray(vector, np.float64))[0]


def vector(rotation: Float[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3"]:
    """The rotation vector, radians."""
    return cv2.Rodrigues(rotation)[0].ravel()


State = tuple[np.ndarray, np.ndarray, np.ndarray]


class _Problem:
    """The sum of squares for N chosen pixels of a thing."""

    def __init__(
        self,
        cameras: Cameras,
        t: int,
        at: np.ndarray,
        inverse_depth: float,
        sights: Sequence[Sight],
        expected: float,
        usual: np.ndarray,
        chosen: np.ndarray,
    ) -> None:
        self.sights, self.expected = sights, expected
        self.ray = cameras.rays(t, at[chosen]) / inverse_depth
        self.centre, self.unit = cameras.centres[t], 1 / inverse_depth
        self.middle = self.centre + np.median(self.ray, axis=0)
        others = [sight.frame for sight in sights]
        self.steps = np.array(others, float) - t
        self.usual = usual[None] * self.steps[:, None]
        self.K, self.E = cameras.intrinsics[others], cameras.world_to_camera[others]
        self.to = np.stack([sight.to[chosen] for sight in sights])
        self.known = np.stack([sight.known[chosen] for sight in sights])
        self.error = FLOW_ERROR * np.sqrt(np.abs(self.steps))[:, None]
        self.share = min(1.0, len(at) / SHARED / len(chosen))

    def start(self, rate: np.ndarray) -> State:
        """A steady turning, flat."""
        turned = np.stack([rotation(rate * steps) for steps in self.steps])
        return turned, np.stack([sight.way for sight in self.sights]), np.zeros(len(self.ray))

    def solve(self, state: State, rounds: int, turns: bool = True) -> Turning:
        """Levenberg-Marquardt from ``state``; ``turns`` false: rotations stay as they are."""
        damping, cost, seen = 1e-3, *self._cost(state)
        for _ in range(rounds):
            system = self._linear(state, seen, turns)
            for _ in range(6):
                after = self._step(state, system, damping)
                lower, view = self._cost(after)
                if lower < cost:
                    break
                damping *= 5
            else:
                break
            gain, state, cost, seen = cost - lower, after, lower, view
            damping = max(damping / 5, 1e-6)
            if gain < 1e-4 * cost:
                break
        return Turning(state[0], state[1], self.middle, state[2], cost)

    def _see(self, state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points about the middle after turning (J,N,3), in the camera (J,N,3), and errors in pixels (J,N,2)."""
        turned, ways, x = state
        about = (self.centre - self.middle + self.ray / (1 + x)[:, None]) @ turned.transpose(0, 2, 1)
        inside = (about + (self.middle + ways)[:, None]) @ self.E[:, :, :3].transpose(0, 2, 1) + self.E[:, None, :, 3]
        image = inside @ self.K.transpose(0, 2, 1)
        return about, inside, image[..., :2] / np.where(image[..., 2:] > 0, image[..., 2:], np.nan) - self.to

    def _cost(self, state: State) -> tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        seen = self._see(state)
        squared = np.where(self.known, np.nan_to_num((seen[2] ** 2).sum(-1), nan=1e6), 0) / self.error**2
        motion = TAIL * np.log1p(squared / TAIL).sum() + ((state[2] / self.expected) ** 2).sum()
        return float(self.share * motion + (self._turned(state) ** 2).sum()), seen

    def _turned(self, state: State) -> np.ndarray:
        """Rotation vectors less the usual ones, in standard deviations (J,3)."""
        vectors = np.stack([vector(one) for one in state[0]])
        return (vectors - self.usual) / (SLOW * np.abs(self.steps))[:, None]

    def _linear(self, state: State, seen: tuple[np.ndarray, np.ndarray, np.ndarray], turns: bool) -> tuple[Any, ...]:
        """Curvature and slope: of the motions (6J,6J), (6J,), of the reliefs (N,), (N,), and mixed (N,6J)."""
        about, inside, off = seen
        J, N = self.known.shape
        good = self.known & np.isfinite(off).all(-1)
        off = np.where(good[..., None], off, 0)
        weight = self.share * good / (self.error**2 * (1 + (off**2).sum(-1) / self.error**2 / TAIL))
        near = 1 / np.where(inside[..., 2] > 0, inside[..., 2], np.inf)
        pixel = np.zeros((J, N, 2, 3))
        for a in (0, 1):
            pixel[..., a, a] = self.K[:, None, a, a] * near
            pixel[..., a, 2] = -self.K[:, None, a, a] * inside[..., a] * near**2
        pixel = pixel @ self.E[:, None, :, :3]
        turn = pixel @ -cross_matrix(about) if turns else np.zeros_like(pixel)
        motion = np.concatenate([turn, pixel * self.unit], axis=-1)
        step = -(self.ray / ((1 + state[2]) ** 2)[:, None]) @ state[0].transpose(0, 2, 1)
        relief = (pixel @ step[..., None])[..., 0]
        curvature, slope, mixed = np.zeros((6 * J, 6 * J)), np.zeros(6 * J), np.zeros((N, 6 * J))
        turned, deviation = self._turned(state), SLOW * np.abs(self.steps)
        for k in range(J):
            own = slice(6 * k, 6 * k + 6)
            curvature[own, own] = np.einsum("n,nia,nib->ab", weight[k], motion[k], motion[k])
            curvature[own, own][:3, :3] += np.eye(3) / deviation[k] ** 2
            slope[own] = np.einsum("n,nia,ni->a", weight[k], motion[k], off[k])
            slope[own][:3] += turned[k] / deviation[k] if turns else 0.0
            mixed[:, own] = weight[k][:, None] * np.einsum("nia,ni->na", motion[k], relief[k])
        own_curvature = self.share / self.expected**2 + (weight * (relief**2).sum(-1)).sum(0)
        own_slope = self.share * state[2] / self.expected**2 + (weight * (relief * off).sum(-1)).sum(0)
        return curvature, slope, own_curvature, own_slope, mixed

    def _step(self, state: State, system: tuple[Any, ...], damping: float) -> State:
        curvature, slope, own_curvature, own_slope, mixed = system
        own = own_curvature * (1 + damping)
        reduced = curvature + np.diag(damping * np.diag(curvature) + 1e-9) - mixed.T @ (mixed / own[:, None])
        step = -np.linalg.solve(reduced, slope - mixed.T @ (own_slope / own))
        relief = np.clip(state[2] - (own_slope + mixed @ step) / own, *RANGE)
        moves = step.reshape(-1, 6)
        turned = np.stack([rotation(move[:3]) @ before for move, before in zip(moves, state[0], strict=True)])
        return turned, state[1] + moves[:, 3:] * self.unit, relief
