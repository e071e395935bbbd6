"""The last step of depth: moving things get the depth with which they move most evenly, where the camera's motion
determines it.

Notation. x is the logarithm of the factor on the inverse depth of a node
(nsff.priors.depth.motion_prior_triangulation), its deviation the relative standard deviation of the depth. The maps are
rewritten in place: the inside of a thing keeps its relief where a network or a sensor gave it one; where it was filled
in from the surroundings (classical depth) it gets the relief that its flow shows (nsff.priors.depth.relief), and is
placed once more with it. Where motion finds a thing at the depth of the floor that it touches, it stands there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from nsff.config import DepthConfig
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.priors.depth.classical import GROUND_CONTACT_CONFIDENCE
from nsff.priors.depth.maps import plausible_bounds, read_map, write_map
from nsff.priors.depth.motion_prior_triangulation import Prior, Solution, triangulate_with_motion_prior
from nsff.priors.depth.motion_tracks import track_pixels
from nsff.priors.depth.relief import add_relief
from nsff.priors.depth.static_triangulation import near_motion
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache
from nsff.tracking.components import moving_components
from nsff.tracking.tracklets import Nodes, link_tracklets, number_nodes, successive_nodes

SPANS = (1, 2, 3)
"""Frames from the middle of a track to its ends."""
PRIOR_RANGE = (0.25, 0.5)
"""Relative deviation of the depth that was there: three times what its confidence says, within these bounds."""
FRAME_TO_FRAME = 0.1
"""Standard deviation of the change of x from one frame to the next."""
FLOOR = 0.02
"""Relative deviation of the depth of a thing that stands on the floor, all frames of a tracklet as one observation."""
STANDING = 0.8
"""Share of a tracklet's pixels whose depth by motion is that of the floor, within its deviation, if it stands there."""
SETTLED, SETTLED_FRAME = 0.03, 0.02
"""Deviations as in PRIOR_RANGE and FRAME_TO_FRAME of the second placing, with relief (chosen on toss)."""
REFUTING = 0.25
"""Deviation up to which motion counts if it contradicts the depth of the floor by more than the deviation (chosen on
street, whose ball bounces; what moves in demo agrees with the floor)."""
CAUTION = 2.0
"""Tracks and spans share errors, so that true deviations are about twice those of the curvature (measured on toss)."""
TRUST, TYPICAL_ERROR = 0.5, 0.05
"""Confidence of what is determined: TRUST / (1 + (deviation / TYPICAL_ERROR)^2)."""
NETWORK = 0.7
"""Share of depth.moving_deviation up to which the motion prior takes precedence over a network's or a sensor's
depth."""
AIR = (
    " Only {:.0%} of what moves stands on a floor: the depth of the rest is filled in from what lies around it, too "
    "far for things in the air."
)


@dataclass(frozen=True)
class Placed:
    """The result of motion-prior triangulation for the nodes of a scene."""

    nodes: Nodes
    solution: Solution
    deviation: Float[np.ndarray, " n"]
    """Relative standard deviation of the depth of every node, CAUTION times that of the solution."""
    used: Bool[np.ndarray, " n"]
    pixels: Float[np.ndarray, " n"]
    base: list[Float32[np.ndarray, "H W"]]
    """Disparity of the frames that the factors belong to."""
    link: FlowCache


def place_moving(scene: Scene, depth: DepthConfig, folder: Path, numbers: dict[str, Any]) -> dict[str, Any]:
    """Rewrites moving pixels of the maps in ``folder`` and returns ``numbers`` of the summary with a message about
    them.

    Maps that came in scene units, or have none, stay as they are. Raises StageError where flow, masks or maps are
    missing or corrupt.
    """
    classical = "grounded_fraction" in numbers
    if not (classical or numbers.get("aligned")):
        return numbers
    placed = None
    if depth.moving != "surroundings":
        placed = find_depths(scene, depth, folder, flat=classical)
        if placed is not None and placed.used.any():
            _rewrite(scene, folder, placed, classical)
    return _told(numbers, placed)


def find_depths(scene: Scene, depth: DepthConfig, folder: Path, flat: bool) -> Placed | None:
    """Triangulation with a motion prior of everything on the motion masks; None where nothing moves or no frame has a
    neighbour each side.

    ``flat``: things have one inverse depth in each frame, the median of what the maps have there.
    """
    masks = scene.motion_masks()
    if scene.n_frames < 3 or not masks.any():
        return None
    link = FlowCache(scene.flow, keep=4 * max(SPANS) + 8)
    labels = moving_components(masks, link)
    nodes = number_nodes(labels, link_tracklets(labels, link))
    if not len(nodes):
        return None
    maps, confidences = zip(*(read_map(folder, i) for i in range(scene.n_frames)), strict=True)
    start = [flatten_nodes(one, nodes.maps[i]) if flat else one for i, one in enumerate(maps)]
    tracks = track_pixels(nodes, scene.cameras, start, link, SPANS, step=_step(scene))
    prior = _prior(nodes, start, confidences, masks)
    solution = triangulate_with_motion_prior(tracks, prior, scene.cameras.focal)
    deviation = CAUTION * solution.deviation
    used = np.isin(np.arange(len(nodes)), tracks.node)
    pixels = np.asarray(sum(np.bincount(one[one >= 0], minlength=len(nodes)) for one in nodes.maps), float)
    if depth.moving == "auto":
        limit = depth.moving_deviation * (1 if flat else NETWORK)
        used &= counts(solution.log_factor, deviation, nodes.tracklet, pixels, limit, REFUTING if flat else 0.0)
    if flat:
        grounded = _known_to(GROUND_CONTACT_CONFIDENCE, nodes, confidences)
        standing = stands(solution.log_factor, deviation, nodes.tracklet, pixels * grounded, pixels)
        if standing.any():
            prior = replace(prior, deviation=np.where(standing, FLOOR, prior.deviation))
            solution = triangulate_with_motion_prior(tracks, prior, scene.cameras.focal)
            deviation = CAUTION * solution.deviation
    return Placed(nodes, solution, deviation, used, pixels, start, link)


def tracklet_mean(
    value: Float[np.ndarray, " n"], tracklet: Int[np.ndarray, " n"], pixels: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """For every node the mean of its tracklet over all frames, weighted by pixels; 1 and more count as 1.

    A tracklet takes its depth from motion in all frames or in none: otherwise it would jump between two kinds of depth.
    """
    number_nodes = np.unique(tracklet, return_inverse=True)[1]
    mean = np.bincount(number_nodes, np.minimum(value, 1) * pixels) / np.bincount(number_nodes, pixels)
    return mean[number_nodes]


def counts(
    log_factor: Float[np.ndarray, " n"],
    deviation: Float[np.ndarray, " n"],
    tracklet: Int[np.ndarray, " n"],
    pixels: Float[np.ndarray, " n"],
    limit: float,
    refuting: float,
) -> Bool[np.ndarray, " n"]:
    """Nodes of tracklets whose depth motion tells: with a mean deviation below ``limit``, or below ``refuting`` and
    less than the mean change of the depth that was there (``log_factor``), which is wrong then."""
    known = tracklet_mean(deviation, tracklet, pixels)
    return (known < limit) | ((known < refuting) & (tracklet_mean(np.abs(log_factor), tracklet, pixels) > known))


def stands(
    log_factor: Float[np.ndarray, " n"],
    deviation: Float[np.ndarray, " n"],
    tracklet: Int[np.ndarray, " n"],
    grounded: Float[np.ndarray, " n"],
    pixels: Float[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Nodes of tracklets that stand on the floor: motion finds there what the floor where they touch it says.

    ``log_factor`` is what motion says of that depth, and ``deviation`` how well it knows; ``grounded`` are the
    ``pixels`` of the nodes that touch a floor, which half of a tracklet's have to. Something in the air would have to
    be far behind to touch the floor that is seen below it.
    """
    number = np.unique(tracklet, return_inverse=True)[1]
    agree, touch, every = (
        np.bincount(number, one) for one in (grounded * (np.abs(log_factor) < deviation), grounded, pixels)
    )
    return np.asarray((touch >= 0.5 * every) & (agree >= STANDING * touch))[number]


def _known_to(confidence: float, nodes: Nodes, confidences: tuple[np.ndarray, ...]) -> Bool[np.ndarray, " n"]:
    """Whether the median confidence of each node is at least that."""
    medians = [np.median(confidences[i][nodes.maps[i] == k]) for k, i in enumerate(nodes.frame)]
    return np.array(medians) >= confidence - 1e-3


def flatten_nodes(disparity: Float32[np.ndarray, "H W"], node: np.ndarray) -> Float32[np.ndarray, "H W"]:
    """Every node at the median of its disparity."""
    result = disparity.copy()
    for one in np.unique(node[node >= 0]):
        result[node == one] = np.median(disparity[node == one])
    return result


def _prior(nodes: Nodes, disparity: list[np.ndarray], confidences: tuple[np.ndarray, ...], masks: np.ndarray) -> Prior:
    deviation, least = np.empty(len(nodes)), np.full(len(nodes), -np.inf)
    for k, i in enumerate(nodes.frame):
        part = nodes.maps[i] == k
        confidence = float(np.clip(np.median(confidences[i][part]), 1e-3, 1))
        deviation[k] = np.clip(3 * TYPICAL_ERROR * np.sqrt(1 / confidence - 1), *PRIOR_RANGE)
        behind = far_surface(part, masks[i], disparity[i], confidences[i])
        if behind is not None:
            least[k] = np.log(behind / np.median(disparity[i][part])) - TYPICAL_ERROR
    return Prior(deviation, nodes.tracklet, least, successive_nodes(nodes), FRAME_TO_FRAME)


def far_surface(
    part: Bool[np.ndarray, "H W"],
    moving: Bool[np.ndarray, "H W"],
    disparity: Float32[np.ndarray, "H W"],
    confidence: Float32[np.ndarray, "H W"],
) -> float | None:
    """Disparity of the static surface behind a part: the lower quartile of what is known around it; None if little is.

    What moves hides what is there, so it is not farther than that.
    """
    reach = max(5, round(14 * part.shape[0] / REFERENCE_ROWS))
    ring = morphology(part, cv2.MORPH_DILATE, reach) & ~near_motion(moving) & (confidence > 0.1)
    return float(np.quantile(disparity[ring], 0.25)) if ring.sum() >= 12 else None


def _rewrite(scene: Scene, folder: Path, placed: Placed, flat: bool) -> None:
    """Moves the things that are used to their depth; what was filled in flat gets the relief that its flow shows."""
    nodes, used = placed.nodes, np.append(placed.used, False)
    factor = np.append(np.exp(placed.solution.log_factor), 1.0)
    # Node -1, what does not move, is the last entry of both: not used, factor 1.
    maps = [
        np.where(used[node], base * factor[node], base).astype(np.float32)
        for base, node in zip(placed.base, nodes.maps, strict=True)
    ]
    if flat:
        relief = add_relief(scene.cameras, nodes, placed.used, maps, placed.link)
        factor = np.append(np.where(placed.used & ~relief.placed, _settled(scene, placed, relief.maps), 1.0), 1.0)
        maps = [(one * factor[node]).astype(np.float32) for one, node in zip(relief.maps, nodes.maps, strict=True)]
    trust = np.append(TRUST / (1 + (placed.deviation / TYPICAL_ERROR) ** 2), 0.0)
    for i, node in enumerate(nodes.maps):
        moved = used[node]
        if moved.any():
            disparity, confidence = read_map(folder, i)
            disparity[moved] = np.clip(maps[i][moved], *plausible_bounds(scene.cameras.near_far[i]))
            confidence[moved] = trust[node[moved]]
            write_map(folder, i, disparity, confidence)


def _settled(scene: Scene, placed: Placed, maps: list[Float32[np.ndarray, "H W"]]) -> Float[np.ndarray, " n"]:
    """Factors on the inverse depth of the nodes with which they move most evenly now that they have relief."""
    nodes, n = placed.nodes, len(placed.nodes)
    tracks = track_pixels(nodes, scene.cameras, maps, placed.link, SPANS, step=_step(scene))
    prior = Prior(np.full(n, SETTLED), nodes.tracklet, np.full(n, -np.inf), successive_nodes(nodes), SETTLED_FRAME)
    return np.exp(triangulate_with_motion_prior(tracks, prior, scene.cameras.focal).log_factor)


def _step(scene: Scene) -> int:
    """Pixels from one track to the next."""
    return max(2, round(4 * scene.size[0] / REFERENCE_ROWS))


def _told(numbers: dict[str, Any], placed: Placed | None) -> dict[str, Any]:
    """The summary, with numbers and message on moving things."""
    message, standing = numbers["message"], numbers.get("grounded_fraction")
    share, result = 0.0, dict(numbers)
    if placed is not None:
        used, pixels = placed.used, placed.pixels
        share = float(pixels[used].sum() / pixels.sum())
        factors = np.exp(placed.solution.log_factor[used])
        spread = float(np.median(placed.deviation[used])) if used.any() else None
        result |= {
            "least_motion_fraction": share,
            "least_motion_deviation": spread,
            "least_motion_factors": [float(f) for f in np.quantile(factors, [0.1, 0.5, 0.9])] if used.any() else None,
            "moving_deviation": float(np.average(np.minimum(placed.deviation, 10), weights=pixels)),
        }
        if used.any():
            low, high = np.quantile(1 / factors, [0.1, 0.9])
            message += (
                f" {share:.0%} of what moves is placed where it moves most evenly, at {low:.2f} to {high:.2f} times "
                f"the depth it had before, uncertain by {spread:.0%}."
            )
        if share < 0.95:
            message += (
                f" For {'the rest' if used.any() else 'what moves'} the camera's motion and the flow do not tell the "
                "depth: it keeps what it had."
            )
    if standing is not None and standing < 0.5 and share + standing < 0.8:
        message += AIR.format(standing)
    return result | {"message": message}
