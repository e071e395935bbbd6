"""Depth without a network: triangulation along flow, moving things on the floor, interpolation along the image.

Notation. Disparity (H,W) is 1/z in 1/scene units. Confidence (H,W) in [0,1] is low where a value was filled in.
Static pixels are triangulated (nsff.geometry.triangulation), moving components stand on the floor
(nsff.priors.depth.ground_contact), and the rest is interpolated along the image (nsff.imaging.densify).
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from tqdm import tqdm

from nsff.cameras import Cameras
from nsff.config import DepthConfig
from nsff.errors import StageError
from nsff.geometry.epipolar import has_parallax
from nsff.geometry.triangulation import Triangulation
from nsff.imaging.densify import densify
from nsff.priors.depth.ground_contact import Contact, ground_contact, smooth_contacts
from nsff.priors.depth.maps import plausible_bounds, point_ratios, write_map
from nsff.priors.depth.static_triangulation import SceneTriangulation, near_motion, smoothness
from nsff.scene import Scene
from nsff.tracking.components import moving_components
from nsff.tracking.tracklets import link_tracklets

GROUND_CONTACT_CONFIDENCE = 0.3
"""Confidence of moving pixels that take the depth of the floor on which they stand."""
GROUND_CONTACT_WEIGHT = 0.01
"""Weight of these pixels in the interpolation: enough to fill the rim of their own component, too little to spread into
the static pixels around it."""

LEAST_TURN = 0.01
"""Radians between two viewing directions of a camera that turns."""


def classical_depth(scene: Scene, depth: DepthConfig, folder: Path) -> dict[str, Any]:
    """Triangulation, ground contact and edge-aware interpolation of all frames."""
    cameras, n = scene.cameras, scene.n_frames
    if only_turns(cameras):
        return one_distance(scene, folder)
    triangulation = SceneTriangulation(scene, depth)
    masks, link = triangulation.masks, triangulation.link
    measured = [triangulation(i) for i in tqdm(range(n), desc="triangulation", unit="frame")]
    if not any(one.confidence.any() for one in measured):
        raise StageError(
            scene.flow_dir,
            "no pixel of any frame could be triangulated",
            "the camera hardly moves, or flow and cameras disagree: look at the cameras, or bring depth of your own",
        )
    labels = moving_components(masks, link)
    contacts = [_contacts(labels[i], masks[i], measured[i], scene.image(i)) for i in range(n)]
    contacts = smooth_contacts(contacts, link_tracklets(labels, link))
    static_confidence, fallback = [], _typical(measured)
    for i in tqdm(range(n), desc="interpolation", unit="frame"):
        disparity, confidence = fill_frame(measured[i], scene.image(i), masks[i], labels[i], contacts[i], fallback)
        low, high = plausible_bounds(cameras.near_far[i])
        write_map(folder, i, np.clip(disparity, low, high), confidence)
        static_confidence.append(float(measured[i].confidence[~masks[i]].mean()) if (~masks[i]).any() else 0.0)
    grounded = sum(
        int((labels[i] == part).sum())
        for i, frame in enumerate(contacts)
        for part, contact in frame.items()
        if contact.weight >= 1
    )
    return _verdict(scene, folder, measured, masks, float(np.mean(static_confidence)), grounded)


def only_turns(cameras: Cameras) -> bool:
    """Whether the camera turns, and no pair of frames shows parallax, so that nothing can be triangulated."""
    nearest, pairs = cameras.near_far[:, 0], list(combinations(range(len(cameras)), 2))
    if any(has_parallax(cameras, i, j, float(nearest[i])) for i, j in pairs):
        return False
    axes = cameras.world_to_camera[:, 2, :3]
    return bool(pairs) and float((axes @ axes.T).min()) < np.cos(LEAST_TURN)


def one_distance(scene: Scene, folder: Path) -> dict[str, Any]:
    """Disparity of a camera that only turns: everything lies at the distance of the points, with little confidence.
    What stands still is seen right from all frames at any distance."""
    cameras = scene.cameras
    for i in range(scene.n_frames):
        at = float(1 / np.sqrt(cameras.near_far[i, 0] * cameras.near_far[i, 1]))
        write_map(folder, i, np.full(scene.size, at, np.float32), np.full(scene.size, 0.02, np.float32))
    return {
        "metric": True,
        "triangulated_fraction": 0.0,
        "moving_fraction": float(scene.motion_masks().mean()),
        "verdict": "poor",
        "message": "The camera only turns, so nothing tells depth: all lies at one distance. Bring depth of your own, "
        "or weights of a network (`nsff weights get`).",
    }


def fill_frame(
    measured: Triangulation,
    image: np.ndarray,
    moving: Bool[np.ndarray, "H W"],
    labels: np.ndarray,
    contacts: dict[int, Contact],
    fallback: float,
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """Disparity and confidence everywhere: what was measured, moving components on the floor, the rest interpolated."""
    values = measured.inverse_depth.copy()
    weight = measured.confidence * smoothness(measured.inverse_depth)
    weight[near_motion(moving)] *= 0.1
    weight[moving] = 0
    confidence = weight.copy()
    standing = [(labels == part, contact) for part, contact in contacts.items() if contact.weight > 0]
    for region, contact in standing:
        values[region] = contact.disparity
        weight[region] = GROUND_CONTACT_WEIGHT
        confidence[region] = GROUND_CONTACT_CONFIDENCE * contact.weight
    if not weight.any():
        return np.full(moving.shape, fallback, np.float32), np.zeros(moving.shape, np.float32)
    dense = densify(values, weight, image)
    for region, contact in standing:
        dense[region] = contact.disparity
    return dense, np.clip(confidence, 0.02, 1.0).astype(np.float32)


def _contacts(
    labels: np.ndarray, moving: Bool[np.ndarray, "H W"], measured: Triangulation, image: np.ndarray
) -> dict[int, Contact]:
    weight = measured.confidence * smoothness(measured.inverse_depth)
    return {
        part: ground_contact(labels == part, moving, measured.inverse_depth, measured.confidence * (weight > 0.01))
        for part in range(1, int(labels.max()) + 1)
    }


def _typical(measured: list[Triangulation]) -> float:
    known = [one.inverse_depth[one.confidence > 0] for one in measured if one.confidence.any()]
    return float(np.median(np.concatenate([values[:: max(1, len(values) // 1000)] for values in known])))


def _verdict(
    scene: Scene, folder: Path, measured: list[Triangulation], masks: np.ndarray, confidence: float, grounded: int
) -> dict[str, Any]:
    """``grounded`` is the number of moving pixels of all frames whose component touches a floor."""
    static = ~masks
    share = float(np.sum([(one.confidence > 0).sum() for one in measured]) / max(static.sum(), 1))
    ratios = point_ratios(scene, folder)
    # Relative error of depth: 1 / (d z) - 1.
    error = float(np.median(np.abs(1 / np.maximum(ratios, 1e-9) - 1))) if len(ratios) else None
    verdict = "good" if share > 0.7 and confidence > 0.4 and (error or 0) < 0.05 else "doubtful"
    if share < 0.3 or (error or 0) > 0.2:
        verdict = "poor"
    message = f"{share:.0%} of the static pixels were triangulated; {masks.mean():.1%} of all pixels move."
    standing = grounded / masks.sum() if masks.any() else None
    if error is not None:
        message += f" Sparse points differ by {error:.1%} in depth (median)."
    if verdict != "good":
        message += " Little camera motion, poor flow, or cameras that disagree with the flow are likely."
    return {
        "metric": True,
        "triangulated_fraction": share,
        "mean_static_confidence": confidence,
        "points_depth_error": error,
        "moving_fraction": float(masks.mean()),
        "grounded_fraction": standing,
        "verdict": verdict,
        "message": message,
    }
