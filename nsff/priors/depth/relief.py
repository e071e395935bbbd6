"""Relief of things that move: they stand still for cameras that move against them.

Notation. A node is a tracklet in frame t (nsff.tracking.tracklets), flat at inverse depth w0. Seen from frame j the
thing has moved by T, scene units, the median over its pixels of the displacement that flow and the flat depths give.
For a camera j shifted by -T the thing stands still, so that each pixel's flow to j triangulates its inverse depth w
(nsff.geometry.triangulation). Of what several frames say the weighted median counts; an error of T along the rays
shifts all w alike and is taken out, so that the thing keeps w0 as its median. Relief deeper than half the thing's width
is not expected: each pixel is drawn to w0 by how little it is known, and what remains is smoothed.

A rigid thing that turns needs rotations too (nsff.priors.depth.turning): they are taken where they explain flow far
better than T alone does, and well. All frames of a tracklet expect the median turning of those in which they do, so
that none takes the mirror image that turns the other way. What bends or turns otherwise gets the relief of T, which is
wrong by what that adds to its flow (docs/notebook.md#depth-of-what-moves): a ball that rolls seems far deeper than it
is wide, and a relief deeper than DEEPEST widths is drawn back to flat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32

from nsff.cameras import Cameras
from nsff.geometry.triangulation import solve_pair
from nsff.imaging.filters import blur
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.medians import weighted_median
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.priors.depth.turning import FLOW_ERROR, SHARED, Sight, Turning, straight_cost, turning_of, vector
from nsff.tracking.chaining import chain_flows
from nsff.tracking.tracklets import Nodes

REACH = 3
"""Frames before and after that are asked."""
LEAST_PIXELS, LEAST_VIEWS = 30, 2
MOST_RESIDUAL = 1.5
"""Pixels off its epipolar line, or from what other frames say, from which on a frame does not count."""
SMOOTHING, TURNING_SMOOTHING = 2.7, 1.0
"""Standard deviation, pixels at 288 rows: of things that do not turn, whose other motion disturbs; of rigid ones that
do."""
FLAT, TURNING_FLAT = 0.3, 0.05
"""Weight of the flat depth relative to that of pixels that are known, of both."""
TURNS = 0.25
"""A thing turns where rotations leave at most this share of the cost (chosen on toss, whose box has up to 0.15, and
flag, whose cloth has 0.41 and more; so was the next)."""
RIGID = 1.0
"""It is rigid where the cost for each observation is at most this; of a ball whose flow fails it is 1.8 and more."""
WELL = 0.1
"""A thing that costs no more than this for each observation without turning does not turn."""
PROBED, USUAL = 3, 2
"""Every how many frames of a tracklet are asked first, and how many of these must show a turning for all to be."""
DEEPEST = 0.25
"""Largest believable standard deviation of a thing's relief, in widths of the thing; of a half sphere it is 0.12, of a
slope of 45 degrees 0.29."""


@dataclass(frozen=True)
class _Thing:
    """A node with what other frames see of it."""

    t: int
    tracklet: int
    part: Bool[np.ndarray, "H W"]
    at: Float[np.ndarray, "P 2"]
    flat: float
    """w0."""
    sights: list[Sight]

    @property
    def expected(self) -> float:
        """Depth, as a part of itself, that is expected to vary by half the width: sqrt(area) / focal times this."""
        return 0.5 * float(np.sqrt(len(self.at)))


def add_relief(
    cameras: Cameras,
    nodes: Nodes,
    used: Bool[np.ndarray, " n"],
    disparity: Sequence[Float32[np.ndarray, "H W"]],
    link: Callable[[int, int], FlowAndMask],
) -> list[Float32[np.ndarray, "H W"]]:
    """Maps in which the nodes that are ``used``, flat in ``disparity``, have the relief that their flow shows."""
    result = [one.copy() for one in disparity]
    things = [thing for t in range(len(nodes.maps)) for thing in _things_of(cameras, nodes, used, disparity, link, t)]
    for thing, turning in zip(things, _turnings(cameras, things), strict=True):
        found = _estimates(cameras, thing, turning)
        if len(found) >= LEAST_VIEWS:
            result[thing.t][thing.part] = _fused(found, thing, cameras.focal, turning is not None)
    return result


def _things_of(
    cameras: Cameras,
    nodes: Nodes,
    used: Bool[np.ndarray, " n"],
    disparity: Sequence[Float32[np.ndarray, "H W"]],
    link: Callable[[int, int], FlowAndMask],
    t: int,
) -> list[_Thing]:
    """The nodes of frame ``t`` that are used, with the frames in which enough of them is seen."""
    own = [int(k) for k in np.unique(nodes.maps[t]) if k >= 0 and used[k]]
    others = [j for j in range(t - REACH, t + REACH + 1) if 0 <= j < len(nodes.maps) and j != t]
    if not own or not others:
        return []
    flows, tracklet = chain_flows(link, t, others), np.append(nodes.tracklet, -1)
    height, width = nodes.maps[t].shape
    things = []
    for k in own:
        part = nodes.maps[t] == k
        v, u = np.nonzero(part)
        at = np.stack([u, v], axis=1) + 0.5
        here, sights = _lifted(cameras, t, at, disparity[t][v, u]), []
        for j, (flow, valid) in flows.items():
            to = at + flow[v, u]
            cell = np.floor(to).astype(int)
            known = valid[v, u] & (cell >= 0).all(1) & (cell < [width, height]).all(1)
            cell = cell.clip(0, [width - 1, height - 1])
            known &= tracklet[nodes.maps[j][cell[:, 1], cell[:, 0]]] == tracklet[k]
            if known.sum() >= LEAST_PIXELS:
                there = _lifted(cameras, j, to[known], disparity[j][cell[known, 1], cell[known, 0]])
                sights.append(Sight(j, to, known, np.median(there - here[known], axis=0)))
        things.append(_Thing(t, int(tracklet[k]), part, at, float(np.median(disparity[t][part])), sights))
    return things


def _turnings(cameras: Cameras, things: Sequence[_Thing]) -> list[Turning | None]:
    """How each thing turns; None where it does not, or is not rigid."""
    of_tracklet: dict[int, list[_Thing]] = {}
    for thing in things:
        of_tracklet.setdefault(thing.tracklet, []).append(thing)
    usual: dict[int, np.ndarray] = {}
    for tracklet, own in of_tracklet.items():
        rates = [_rate(turning, one) for one in own[::PROBED] if (turning := _turning(cameras, one, None)) is not None]
        if len(rates) >= USUAL:
            usual[tracklet] = np.median(rates, axis=0)
    return [_turning(cameras, thing, usual[thing.tracklet]) if thing.tracklet in usual else None for thing in things]


def _rate(turning: Turning, thing: _Thing) -> Float[np.ndarray, "3"]:
    """The turning a frame, a rotation vector in the world's axes."""
    steps = [sight.frame - thing.t for sight in thing.sights]
    return np.median([vector(R) / step for R, step in zip(turning.rotations, steps, strict=True)], axis=0)


def _turning(cameras: Cameras, thing: _Thing, usual: np.ndarray | None) -> Turning | None:
    """The turning of a thing if that explains its flow far better than none, and well."""
    if len(thing.sights) < LEAST_VIEWS:
        return None
    observations = sum(int(sight.known.sum()) for sight in thing.sights) / SHARED
    given = (cameras, thing.t, thing.at, thing.flat, thing.sights, thing.expected / cameras.focal)
    straight = straight_cost(*given)
    if straight < WELL * observations:
        return None
    turning = turning_of(*given, usual)
    return turning if turning.cost < min(TURNS * straight, RIGID * observations) else None


def _estimates(
    cameras: Cameras, thing: _Thing, turning: Turning | None
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Estimates from each other frame that sees enough of the thing: inverse depth of its pixels (NaN where it is not
    determined), its precision, and the pixels by which a unit of inverse depth moves them.
    """
    v, u = np.nonzero(thing.part)
    found, flow = [], np.zeros((*thing.part.shape, 2))
    for k, sight in enumerate(thing.sights):
        j, poses = sight.frame, cameras.world_to_camera.copy()
        if turning is None:
            poses[j, :, 3] += poses[j, :, :3] @ sight.way
        else:
            poses[j] = turning.moved(k, poses[j])
        flow[v, u] = sight.to - thing.at
        w, sensitivity, residual = (
            one[v, u] for one in solve_pair(replace(cameras, world_to_camera=poses), thing.t, j, flow)
        )
        good = sight.known & (residual < MOST_RESIDUAL) & (w > 0.5 * thing.flat) & (w < 2 * thing.flat)
        if good.sum() < LEAST_PIXELS:
            continue
        w = np.where(good, w - (np.median(w[good]) - thing.flat), np.nan)
        found.append((w, np.where(good, sensitivity**2 / abs(j - thing.t), 0.0), sensitivity))
    return found


def _lifted(cameras: Cameras, i: int, at: np.ndarray, disparity: np.ndarray) -> Float[np.ndarray, "P 3"]:
    return cameras.centres[i] + cameras.rays(i, at) / disparity[:, None]


def _fused(
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]], thing: _Thing, focal: float, turns: bool
) -> Float32[np.ndarray, " P"]:
    part, flat = thing.part, thing.flat
    w, precision, sensitivity = (np.stack(one)[:, None] for one in zip(*found, strict=True))
    agree = np.abs(w - weighted_median(w, precision)) * sensitivity < MOST_RESIDUAL
    precision = np.where(agree, precision, 0.0)
    total = precision.sum(0)[0]
    relief = (precision * np.nan_to_num(w - flat)).sum(0)[0] / np.maximum(total, 1e-24)
    expected = thing.expected / focal * flat
    known = np.where(total > 0, expected**2 / (expected**2 + FLOW_ERROR**2 / np.maximum(total, 1e-24)), 0.0)
    sigma = (TURNING_SMOOTHING if turns else SMOOTHING) * part.shape[0] / REFERENCE_ROWS
    above, below = np.zeros(part.shape), np.zeros(part.shape)
    above[part], below[part] = known * relief, known
    weight = blur(below, sigma) + (TURNING_FLAT if turns else FLAT) * blur(part.astype(float), sigma)
    smooth = blur(above, sigma)[part] / np.maximum(weight[part], 1e-9)
    return (flat + believed(smooth, DEEPEST * np.sqrt(part.sum()) / focal * flat)).astype(np.float32)


def believed(relief: Float[np.ndarray, " P"], deepest: float) -> Float[np.ndarray, " P"]:
    """``relief`` as it is where its standard deviation is at most ``deepest``; else shrunk by the square of how many
    times it is too large, since what is impossible says that the thing turns, and little of its shape.

    >>> believed(np.array([-4.0, 4.0]), 2.0).tolist()
    [-1.0, 1.0]
    """
    found = float(relief.std())
    return relief * min(1.0, deepest / max(found, 1e-300)) ** 2
