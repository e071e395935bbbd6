"""Relief of things that move: they stand still for cameras that move against them.

Notation. A node is a tracklet in frame t (nsff.tracking.tracklets), flat at inverse depth w0. Seen from frame j the
thing has moved by T, scene units, the median over its pixels of the displacement that flow and the flat depths give.
For a camera j shifted by -T the thing stands still, so that flow to all j together triangulates the inverse depth w of
each pixel (nsff.priors.depth.steady_motion); the median of w stays w0, which an error of T along the rays would shift.
Relief deeper than half the thing's width is not expected: each pixel is drawn to w0 by how little it is known, and what
remains is smoothed.

A rigid thing that turns needs rotations too (nsff.priors.depth.turning): they are taken where they explain flow far
better than T alone does, and well. All frames of a tracklet expect the median turning of those in which they do, so
that none takes the mirror image that turns the other way. What bends or turns otherwise gets the relief of T, which is
wrong by what that adds to its flow (docs/notebook.md#depth-of-what-moves): a ball that rolls seems far deeper than it
is wide, and a relief deeper than DEEPEST widths is drawn back to flat.

A thing that hardly moves compared with the parallax of the camera is nearly still, whatever its parts do (a flag): its
pixels are triangulated as those of what stands still, each with a small velocity of its own, and so placed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from nsff.cameras import Cameras
from nsff.imaging.filters import blur
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.priors.depth.steady_motion import triangulate_steady
from nsff.priors.depth.turning import SHARED, Sight, Turning, straight_cost, turning_of, vector
from nsff.tracking.chaining import chain_flows
from nsff.tracking.tracklets import Nodes

REACH, STILL_REACH = 4, 3
"""Frames before and after that are asked: of things that move, and of those that are nearly still, which may bend (five
are better than four on toss, whose things are rigid, and three on street, where a person walks)."""
LEAST_PIXELS, LEAST_VIEWS = 30, 2
STEADY, SLOWEST = 0.3, 0.5
"""Pixels a frame: velocity expected of the pixels of a thing beside its own motion, and least one of a thing that is
nearly still."""
STILL = 0.2
"""A thing is nearly still where it moves at most by this part of the parallax that the camera's motion gives it: the
cloth of flag by 0.04, its ball and the bear of toss by 0.33 and more (the box of toss by 0.1, but it turns)."""
SMOOTHING, TURNING_SMOOTHING = 2.7, 1.0
"""Standard deviation, pixels at 288 rows: of things that do not turn, whose other motion disturbs; of rigid ones that
do."""
FLAT, TURNING_FLAT = 0.1, 0.01
"""Weight of the flat depth relative to that of pixels that are known, of both (chosen on the bear of toss, whose relief
was too shallow by 0.6 with 0.3; the cloth of flag does not mind)."""
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
class Relief:
    """Maps with the relief of n nodes."""

    maps: list[Float32[np.ndarray, "H W"]]
    placed: Bool[np.ndarray, " n"]
    """Nodes that are nearly still, whose depth as a whole was found anew as well."""


@dataclass(frozen=True)
class _Thing:
    """A node with what other frames see of it."""

    t: int
    node: int
    tracklet: int
    part: Bool[np.ndarray, "H W"]
    at: Float[np.ndarray, "P 2"]
    flat: float
    """w0."""
    sights: list[Sight]
    """Where flow leads to the same tracklet."""
    anywhere: list[Sight]
    """Where flow leads, with T = 0."""

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
) -> Relief:
    """The nodes that are ``used``, flat in ``disparity``, with the relief that their flow shows."""
    result, placed = [one.copy() for one in disparity], np.zeros(len(nodes), bool)
    things = [thing for t in range(len(nodes.maps)) for thing in _things_of(cameras, nodes, used, disparity, link, t)]
    of_tracklet: dict[int, list[_Thing]] = {}
    for thing in things:
        if len(thing.sights) >= LEAST_VIEWS:
            of_tracklet.setdefault(thing.tracklet, []).append(thing)
    for own in of_tracklet.values():
        speed, parallax = _speeds(cameras, own)
        turnings = _turnings(cameras, own)
        still = not any(turnings) and speed < STILL * parallax
        placed[[thing.node for thing in own]] = still
        for thing, turning in zip(own, turnings, strict=True):
            result[thing.t][thing.part] = (
                _nearly_still(cameras, thing, max(speed, SLOWEST)) if still else _shaped(cameras, thing, turning)
            )
    return Relief(result, placed)


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
        here, sights, anywhere = _lifted(cameras, t, at, disparity[t][v, u]), [], []
        for j, (flow, valid) in flows.items():
            to = at + flow[v, u]
            cell = np.floor(to).astype(int)
            known = valid[v, u] & (cell >= 0).all(1) & (cell < [width, height]).all(1)
            cell = cell.clip(0, [width - 1, height - 1])
            if abs(j - t) <= STILL_REACH:
                anywhere.append(Sight(j, to, known.copy(), np.zeros(3)))
            known &= tracklet[nodes.maps[j][cell[:, 1], cell[:, 0]]] == tracklet[k]
            if known.sum() >= LEAST_PIXELS:
                there = _lifted(cameras, j, to[known], disparity[j][cell[known, 1], cell[known, 0]])
                sights.append(Sight(j, to, known, np.median(there - here[known], axis=0)))
        things.append(_Thing(t, k, int(tracklet[k]), part, at, float(np.median(disparity[t][part])), sights, anywhere))
    return things


def _speeds(cameras: Cameras, things: Sequence[_Thing]) -> tuple[float, float]:
    """Root mean squares over the frames of a tracklet, pixels a frame: its motion, and its parallax by that of the
    camera."""
    found = []
    for thing in things:
        steps = np.array([sight.frame - thing.t for sight in thing.sights])
        motion = np.stack([sight.way for sight in thing.sights])
        camera = cameras.centres[[sight.frame for sight in thing.sights]] - cameras.centres[thing.t]
        rates = np.linalg.norm(np.stack([motion, camera]), axis=-1) / np.abs(steps)
        found.append(cameras.focal * thing.flat * np.median(rates, axis=1))
    speed, parallax = np.sqrt(np.mean(np.square(found), axis=0))
    return float(speed), float(parallax)


def _turnings(cameras: Cameras, things: Sequence[_Thing]) -> list[Turning | None]:
    """How the thing of a tracklet turns in each frame; None where it does not, or is not rigid."""
    straight: dict[int, float] = {}

    def turning(k: int, usual: np.ndarray | None) -> Turning | None:
        """The turning if that explains flow far better than none, and well."""
        thing = things[k]
        given = (cameras, thing.t, thing.at, thing.flat, thing.sights, thing.expected / cameras.focal)
        observations = sum(int(sight.known.sum()) for sight in thing.sights) / SHARED
        if k not in straight:
            straight[k] = straight_cost(*given)
        if straight[k] < WELL * observations:
            return None
        found = turning_of(*given, usual)
        return found if found.cost < min(TURNS * straight[k], RIGID * observations) else None

    probed = [(found, k) for k in range(0, len(things), PROBED) if (found := turning(k, None)) is not None]
    if len(probed) < USUAL:
        return [None] * len(things)
    usual = np.median([_rate(found, things[k]) for found, k in probed], axis=0)
    return [turning(k, usual) for k in range(len(things))]


def _rate(turning: Turning, thing: _Thing) -> Float[np.ndarray, "3"]:
    """The turning a frame, a rotation vector in the world's axes."""
    steps = [sight.frame - thing.t for sight in thing.sights]
    return np.median([vector(R) / step for R, step in zip(turning.rotations, steps, strict=True)], axis=0)


def _shaped(cameras: Cameras, thing: _Thing, turning: Turning | None) -> Float32[np.ndarray, " P"]:
    """Inverse depth of the pixels of a thing that moves by T, or turns as well; its median stays w0."""
    poses = []
    for k, sight in enumerate(thing.sights):
        pose = cameras.world_to_camera[sight.frame].copy()
        pose[:, 3] += pose[:, :3] @ sight.way
        poses.append(pose if turning is None else turning.moved(k, cameras.world_to_camera[sight.frame]))
    w, deviation = triangulate_steady(cameras, thing.t, thing.at, thing.flat, thing.sights, np.array(poses), STEADY)
    relief = _smooth(thing, cameras.focal, w - np.median(w), deviation, turning is not None)
    deepest = DEEPEST * 2 * thing.expected / cameras.focal * thing.flat
    return (thing.flat + believed(relief - np.median(relief), deepest)).astype(np.float32)


def _nearly_still(cameras: Cameras, thing: _Thing, speed: float) -> Float32[np.ndarray, " P"]:
    """Inverse depth of the pixels of a thing that moves little: wherever flow finds it, mask or not."""
    poses = cameras.world_to_camera[[sight.frame for sight in thing.anywhere]]
    w, deviation = triangulate_steady(cameras, thing.t, thing.at, thing.flat, thing.anywhere, poses, speed)
    middle = float(np.median(w))
    return (middle + _smooth(thing, cameras.focal, w - middle, deviation, False)).astype(np.float32)


def _lifted(cameras: Cameras, i: int, at: np.ndarray, disparity: np.ndarray) -> Float[np.ndarray, "P 3"]:
    return cameras.centres[i] + cameras.rays(i, at) / disparity[:, None]


def _smooth(
    thing: _Thing, focal: float, relief: np.ndarray, deviation: np.ndarray, turns: bool
) -> Float[np.ndarray, " P"]:
    """``relief``, drawn to 0 by how little is known, and smoothed."""
    part, expected = thing.part, thing.expected / focal * thing.flat
    known = expected**2 / (expected**2 + deviation**2)
    sigma = (TURNING_SMOOTHING if turns else SMOOTHING) * part.shape[0] / REFERENCE_ROWS
    above, below = np.zeros(part.shape), np.zeros(part.shape)
    above[part], below[part] = known * np.clip(relief, -3 * expected, 3 * expected), known
    weight = blur(below, sigma) + (TURNING_FLAT if turns else FLAT) * blur(part.astype(float), sigma)
    return blur(above, sigma)[part] / np.maximum(weight[part], 1e-9)


def believed(relief: Float[np.ndarray, " P"], deepest: float) -> Float[np.ndarray, " P"]:
    """``relief`` as it is where its standard deviation is at most ``deepest``; else shrunk by the square of how many
    times it is too large, since what is impossible says that the thing turns, and little of its shape.

    >>> believed(np.array([-4.0, 4.0]), 2.0).tolist()
    [-1.0, 1.0]
    """
    found = float(relief.std())
    return relief * min(1.0, deepest / max(found, 1e-300)) ** 2
