"""Which pixels of every frame show something that moves, and which its shadow, at full resolution.

Four kinds of evidence are added up as log likelihood ratios: votes of the motion masks, gathered along trajectories
over the whole clip; steadiness of colours over the clip and against the clean plate, whose ratios are read off the clip
itself (what the motion masks cover against what lies far from them); and colours of what moves against those around it.
A shadow is the plate darkened. The sum is smoothed along the edges of the picture.

Notation. N frames (H,W). Evidence is positive where something moves. ``rows`` is the height over 288.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from tqdm import tqdm

from nsff.cameras import Cameras
from nsff.decompose.motion_groups.clean_plate import CleanPlate, clean_plate, still_inverse_depth
from nsff.decompose.motion_groups.pixel_evidence import (
    ColourModel,
    gradient,
    likelihood_ratio,
    log_shadow,
    plate_noise,
)
from nsff.decompose.motion_groups.shadow_texture import ShadowFactors, darkened, factor_cells, texture_evidence
from nsff.decompose.motion_groups.steadiness import LEAST_FRAMES, colour_change, significance
from nsff.decompose.motion_groups.track_evidence import vote_evidence
from nsff.decompose.motion_groups.track_graph import TrackGraph, build_graph, carried_along, spread
from nsff.imaging.densify import densify
from nsff.imaging.filters import blur
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.morphology import dilate_by_distance
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.tracking.point_tracks import PointTracks, track_points

GRID = 5.0
"""Pixels at 288 rows between trajectories."""
EDGE = 4.0
"""Pixels at 288 rows by which the edges of motion masks may be wrong."""
FAR = 10.0
"""Pixels at 288 rows from the motion masks beyond which pixels stand for the still scene."""
AROUND = 30.0
"""Pixels at 288 rows around what moves whose colours are those that it has to be told from."""
PRIOR = -1.0
"""Evidence of a pixel before anything is known: most of a picture stands still."""
REACH = 8.0
"""Pixels at 288 rows over which evidence is smoothed where the picture has no edge."""
SHADOW_REACH = 8.0
"""The same for shadows."""
SHADOW_NOISE = 0.1
"""Deviation of a shadow's brightness from an even one, as a share of the plate's."""
SURE = 0.98
"""Most probability of moving that a trajectory says."""
COLOURS = 1.0
"""Weight of the evidence of colours."""
SHADOWLESS = -8.0
"""Log density below which nothing is a shadow."""
SHADOW_COLOURS, SHADOW_TEXTURE = 0.5, 0.5
"""Weights of the colours of shadows against those of what moves, and of the texture around a pixel; the shares of
shadows among what is darkened by the same factors count fully."""
SHADOW_WINDOW = 13.0
"""Pixels at 288 rows of the window over which that texture is compared."""
MOST = 4.0
"""One kind of evidence says at most so much."""


@dataclass(frozen=True)
class Clip:
    """The clip as grouping by motion reads it: typed arrays, so that it can be tested without a scene."""

    cameras: Cameras
    images: Sequence[UInt8[np.ndarray, "H W 3"]]
    masks: Sequence[Bool[np.ndarray, "H W"]]
    """Motion masks."""
    inverse_depth: Sequence[Float32[np.ndarray, "H W"]] | None
    """1/scene units; None where only relative depth is known: then nothing is asked of plates."""
    link: Callable[[int, int], FlowAndMask]
    """Flow between neighbouring frames and its mask."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.images[0].shape[:2]
        return height, width

    @property
    def rows(self) -> float:
        return self.size[0] / REFERENCE_ROWS


@dataclass(frozen=True)
class MovingPixels:
    """The result for N frames."""

    evidence: list[Float32[np.ndarray, "H W"]]
    """Log odds of showing something that moves, shadows aside."""
    shadow: list[Bool[np.ndarray, "H W"]]
    """Shadows of what moves."""
    tracks: PointTracks
    moving: Float32[np.ndarray, "P"]
    """Probability of moving, by trajectory."""

    @property
    def masks(self) -> list[Bool[np.ndarray, "H W"]]:
        return [one > 0 for one in self.evidence]


@dataclass(frozen=True)
class Gathered:
    """Evidence of a clip before it is weighed: N frames, P trajectories."""

    tracks: PointTracks
    votes: Float64[np.ndarray, "P"]
    """Frames in which the motion masks cover each trajectory; a share of a frame where it lies at an edge."""
    seen: Float64[np.ndarray, "P"]
    """Frames in which it lives."""
    graph: TrackGraph
    change: list[Float32[np.ndarray, "H W"]]
    """Evidence of change against the still scene."""
    shadows: list[Float32[np.ndarray, "H W"] | None]
    """Evidence of shadows on it, the colours of what moves not counted; None without metric depth."""
    step: int
    """Pixels between trajectories."""


def find_moving_pixels(clip: Clip) -> MovingPixels:
    """Evidence and shadows of all frames. Without metric depth votes and colours tell alone; shadows are not found."""
    gathered = gather(clip)
    moving, along = moving_tracks(gathered, len(clip))
    colours = colour_evidence(clip, gathered)
    evidence, shadow = [], []
    for i in tqdm(range(len(clip)), desc="moving pixels", unit="frame"):
        smooth, cast = add_up(clip, gathered, moving, along, colours, i)
        evidence.append(smooth)
        shadow.append(cast)
    return MovingPixels(evidence, shadow, gathered.tracks, moving)


def gather(clip: Clip) -> Gathered:
    """Trajectories, the motion masks' votes along them, their graph, and change against the still scene."""
    rows, step, count = clip.rows, max(3, round(GRID * clip.rows)), len(clip)
    tracks = track_points(clip.link, count, clip.size, step)
    seen = tracks.alive.sum(0).astype(np.float64)
    votes, colours = np.zeros(len(tracks)), np.zeros((len(tracks), 3))
    for i in range(count):
        votes += np.nan_to_num(tracks.sample(i, clip.masks[i].astype(np.float32)))
        colours += np.nan_to_num(tracks.sample(i, blur(clip.images[i].astype(np.float32) / 255, step * 0.5)))
    graph = build_graph(tracks, colours / seen[:, None], step, rows)
    grown = [dilate_by_distance(mask, max(2, round(EDGE * rows))) for mask in clip.masks]
    change = [np.zeros(clip.size, np.float32) for _ in range(count)]
    shadows: list[np.ndarray | None] = [None] * count
    if clip.inverse_depth is not None and count > LEAST_FRAMES:
        change, shadows = _against_still_scene(clip, grown)
    return Gathered(tracks, votes, seen, graph, change, shadows, step)


def add_up(
    clip: Clip,
    gathered: Gathered,
    moving: Float32[np.ndarray, "P"],
    along: Bool[np.ndarray, "P"],
    colours: Colours,
    i: int,
) -> tuple[Float32[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Log odds of what moves in frame i, smoothed along its edges, and shadows; ``moving`` and ``along`` as from
    ``moving_tracks``."""
    carried = near_tracks(clip, i, gathered.tracks, along, gathered.step)
    change = gathered.change[i]
    # What a body carries along hardly moves itself: that it looks still says nothing.
    change = np.where(carried, np.maximum(change, 0), change)
    total = vote_map(clip, i, gathered.tracks, moving, gathered.step, carried) + np.clip(change, -MOST, MOST)
    total += COLOURS * np.clip(colours.against_around[i], -3, 3) + PRIOR
    cast = np.zeros(clip.size, bool)
    if (dark := gathered.shadows[i]) is not None:
        odds = np.where(dark > SHADOWLESS, np.clip(dark - SHADOW_COLOURS * colours.of_moving[i], -3, 3), -3.0)
        odds = _smooth(odds, clip.images[i], SHADOW_REACH * clip.rows, 0.05)
        cast = (odds > 0) & (total > 0)
        total = np.minimum(total, -4 * odds)
    smooth = _smooth(np.clip(total, -MOST, MOST), clip.images[i], REACH * clip.rows, 0.03)
    return smooth, cast & (smooth <= 0)


def moving_tracks(gathered: Gathered, n_frames: int) -> tuple[Float32[np.ndarray, "P"], Bool[np.ndarray, "P"]]:
    """Probability of moving by the votes along each trajectory, spread among neighbours that move and look alike; and
    the trajectories that are carried along by a body most of which moves, whose probability is that of the body."""
    evidence = np.clip(vote_evidence(gathered.votes, gathered.seen), -MOST, MOST) + PRIOR / 2
    moving = spread(gathered.graph, evidence, 1.0).astype(np.float32)
    along = carried_along(gathered.graph, moving, gathered.seen, n_frames)
    return np.where(along, np.float32(SURE), moving), along


def near_tracks(
    clip: Clip, i: int, tracks: PointTracks, chosen: Bool[np.ndarray, "P"], step: int
) -> Bool[np.ndarray, "H W"]:
    """Pixels of frame i that belong to the chosen trajectories rather than to others, by the edges of the picture."""
    alive = tracks.alive[i]
    if not (chosen & alive).any():
        return np.zeros(clip.size, bool)
    return _spread_over_picture(clip, i, tracks, chosen.astype(np.float32), step) > 0.5


def _spread_over_picture(
    clip: Clip, i: int, tracks: PointTracks, values: Float32[np.ndarray, "P"], step: int
) -> Float32[np.ndarray, "H W"]:
    """Values of the trajectories that live in frame i, of which there are some, brought to all its pixels."""
    alive = tracks.alive[i]
    at = np.rint(tracks.positions[i, alive]).astype(int)
    known, confidence = np.zeros(clip.size, np.float32), np.zeros(clip.size, np.float32)
    known[at[:, 1], at[:, 0]] = values[alive]
    confidence[at[:, 1], at[:, 0]] = 1
    return densify(known, confidence, clip.images[i], strength=(2.0 * step) ** 2, sigma=0.05)


def vote_map(
    clip: Clip,
    i: int,
    tracks: PointTracks,
    moving: Float32[np.ndarray, "P"],
    step: int,
    carried: Bool[np.ndarray, "H W"] | None = None,
) -> Float32[np.ndarray, "H W"]:
    """Evidence of the motion masks: half from the frame's own, half from the trajectories around, over the clip. What a
    body carries along (``carried``) counts as if it were on the frame's mask."""
    own = np.where(clip.masks[i] if carried is None else clip.masks[i] | carried, 1.0, -1.0)
    if not tracks.alive[i].any():
        return own.astype(np.float32)
    chance = np.clip(moving, 1 - SURE, SURE)
    around = _spread_over_picture(clip, i, tracks, np.log(chance / (1 - chance)).astype(np.float32), step)
    return np.clip(0.5 * around + own, -2, 2).astype(np.float32)


def _against_still_scene(
    clip: Clip, grown: Sequence[Bool[np.ndarray, "H W"]]
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Evidence of change against the still scene, and of shadows on it."""
    assert clip.inverse_depth is not None
    rows, count = clip.rows, len(clip)
    behind = [still_inverse_depth(w, mask) for w, mask in zip(clip.inverse_depth, grown, strict=True)]
    far = [~dilate_by_distance(mask, round(FAR * rows)) for mask in clip.masks]
    steady, near, known, dark, cells = [], [], [], [], []
    factors = ShadowFactors()
    for i in tqdm(range(count), desc="clean plates", unit="frame"):
        picture = clip.images[i].astype(np.float32) / 255
        change = colour_change(clip.cameras, i, clip.inverse_depth, clip.images)
        z = significance(change, gradient(picture), ~grown[i])
        steady.append(np.where(np.isfinite(z), blur(np.minimum(np.nan_to_num(z, nan=1.0), 4), 3 * rows), np.nan))
        plate = clean_plate(clip.cameras, i, behind, clip.images, grown)
        deviation = plate_noise(picture, plate, ~grown[i]).deviation(plate)
        distance = np.sqrt(((picture - plate.colour) ** 2).mean(-1)) / deviation
        near.append(np.where(plate.known, np.minimum(cv2.blur(distance, (3, 3)), 9.9), np.nan))
        known.append(plate.known)
        may_be = darkened(picture, plate)
        cells.append(factor_cells(picture, plate, may_be))
        factors.add(picture, plate, may_be, cells[i], grown[i])
        dark.append(_shadow(picture, plate, deviation, may_be, rows))
    over_clip = likelihood_ratio(steady, clip.masks, far, 4.0)
    over_plate = likelihood_ratio(near, clip.masks, far, 10.0)
    result = []
    for i in range(count):
        # Behind a mask depth is filled in, and only the plate tells; elsewhere what changes over the clip moves, and
        # what stands still does so for both.
        outside = np.where(over_clip[i] > 0, over_clip[i], np.minimum(over_clip[i], over_plate[i]))
        result.append(np.where(grown[i], over_plate[i], outside).astype(np.float32))
    odds = factors.log_odds()
    shadows = [
        np.where((of >= 0) & (own > SHADOWLESS), own + odds[of], SHADOWLESS - 1).astype(np.float32)
        for of, own in zip(cells, dark, strict=True)
    ]
    return result, list(shadows)


def _shadow(
    picture: Float32[np.ndarray, "H W 3"],
    plate: CleanPlate,
    deviation: Float32[np.ndarray, "H W"],
    dark: Bool[np.ndarray, "H W"],
    rows: float,
) -> Float32[np.ndarray, "H W"]:
    """Evidence of a shadow from one frame alone: its colours, and the texture of the plate around each pixel."""
    wide = np.hypot(deviation, SHADOW_NOISE * plate.colour.mean(-1)).astype(np.float32)
    density = np.nan_to_num(log_shadow(picture, plate, wide, max(3, round(7 * rows) | 1)), neginf=SHADOWLESS - 1)
    texture = texture_evidence(picture, plate, dark, max(3, round(SHADOW_WINDOW * rows) | 1))
    own = SHADOW_COLOURS * density + SHADOW_TEXTURE * texture
    return np.where(density > SHADOWLESS, own, SHADOWLESS - 1).astype(np.float32)


@dataclass(frozen=True)
class Colours:
    """Log densities and ratios of colours in each frame."""

    of_moving: list[np.ndarray]
    """Log densities of the colours of what moves."""
    against_around: list[np.ndarray]
    """Log ratio with the colours around it."""


def colour_evidence(clip: Clip, gathered: Gathered) -> Colours:
    """Colours of what moves, by the motion masks and change, and of what lies around it, over all frames."""
    change, shadows = gathered.change, gathered.shadows
    moves, around = [], []
    for i, mask in enumerate(clip.masks):
        own = mask & (change[i] >= 0)
        if (dark := shadows[i]) is not None:
            own &= dark <= 0
        moves.append(clip.images[i][own])
        ring = dilate_by_distance(mask, round(AROUND * clip.rows)) & ~dilate_by_distance(mask, 3)
        around.append(clip.images[i][ring])
    moving, still = ColourModel(np.concatenate(moves)), ColourModel(np.concatenate(around))
    of_moving = [moving.log_density(image) for image in clip.images]
    return Colours(of_moving, [a - still.log_density(b) for a, b in zip(of_moving, clip.images, strict=True)])


def _smooth(
    evidence: np.ndarray, image: UInt8[np.ndarray, "H W 3"], reach: float, sigma: float
) -> Float32[np.ndarray, "H W"]:
    return densify(evidence, np.ones(evidence.shape), image, strength=reach**2, sigma=sigma)
