"""Motion masks against the truth, beside simple baselines: the table of docs/benchmarks.md#motion-masks.

Intersection over union (Jaccard) of each frame with something in it, mean over the frames, with the mean share of the
truth that is found (recall) and of the mask that is right (precision). The baselines: every pixel moves; nothing moves
(Jaccard 0); flow longer than a threshold; flow further than a threshold from the homography that explains most of the
frame (found by a robust fit). Their thresholds are 1 pixel, and the best one of many for the scene, chosen by truth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from _scenes import arguments, markdown, prepared, true_motion

from nsff.config import MotionConfig
from nsff.config.presets import PRESETS
from nsff.geometry.epipolar import pixel_centres
from nsff.geometry.robust_fit import fit_homography
from nsff.geometry.two_view import homography_distance
from nsff.priors.motion.background import grid_matches
from nsff.priors.motion.stage import run_motion
from nsff.scene import Scene

THRESHOLDS = np.round(np.geomspace(0.25, 16, 25), 2)
HEAD = ["scene", "masks", "Jaccard", "recall", "precision", "covered"]


def scores(masks: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Mean Jaccard, recall and precision over the frames with anything in their truth; (N,H,W) bool both."""
    found = []
    for mask, true in zip(masks, truth, strict=True):
        if true.any():
            both = (mask & true).sum()
            found.append((both / (mask | true).sum(), both / true.sum(), both / max(mask.sum(), 1)))
    jaccard, recall, precision = np.mean(found, axis=0)
    return float(jaccard), float(recall), float(precision)


def frame_flows(scene: Scene) -> list[tuple[np.ndarray, np.ndarray]]:
    """Flow and its mask from each frame to the next, of the last one to the one before."""
    n = scene.n_frames
    return [scene.flow(i, "fwd") if i + 1 < n else scene.flow(i, "bwd") for i in range(n)]


def flow_lengths(scene: Scene) -> np.ndarray:
    return np.stack([np.linalg.norm(flow, axis=2) for flow, _ in frame_flows(scene)])


def homography_residuals(scene: Scene) -> np.ndarray:
    """Pixels between flow and the frame's dominant homography, (N,H,W); 0 where none was found."""
    result = []
    for flow, mask in frame_flows(scene):
        x = pixel_centres(*mask.shape)
        first, second, _ = grid_matches(flow, mask)
        H = fit_homography(first, second, threshold=0.5)
        result.append(np.zeros(mask.shape) if H is None else homography_distance(H, x, x + flow))
    return np.stack(result)


def main() -> None:
    given = arguments(__doc__ or "")
    rows: list[list[str]] = []

    def add(scene: str, title: str, masks: np.ndarray, truth: np.ndarray) -> None:
        jaccard, recall, precision = scores(masks, truth)
        rows.append([scene, title, f"{jaccard:.3f}", f"{recall:.2f}", f"{precision:.2f}", f"{masks.mean():.1%}"])

    for name in given.only:
        scene = prepared(name, given.scenes, given.work)
        truth = true_motion(name, given.scenes, scene)
        for title, config in (
            ("default", MotionConfig(instances="off")),
            ("gaps not filled", MotionConfig(instances="off", hole_filling_radius=0)),
            ("nor memory", MotionConfig(instances="off", hole_filling_radius=0, temporal_propagation=0)),
            ("as NSFF, without instances", MotionConfig(**PRESETS["nsff"]["motion"], instances="off")),
        ):
            run_motion(scene, config)
            add(name, title, scene.motion_masks(), truth)
        add(name, "coarse masks, before cameras", coarse(scene), truth)
        add(name, "every pixel", np.ones_like(truth), truth)
        add(name, "no pixel", np.zeros_like(truth), truth)
        measures: tuple[tuple[str, Callable[[Scene], np.ndarray]], ...] = (
            ("length of flow", flow_lengths), ("flow against the dominant homography", homography_residuals),
        )  # fmt: skip
        for title, measure in measures:
            values = measure(scene)
            best = max(THRESHOLDS, key=lambda t: scores(values > t, truth)[0])
            add(name, f"{title} > 1 px", values > 1, truth)
            add(name, f"{title} > {best:g} px (best for the scene)", values > best, truth)
        rows[-1][0] = name
    print(markdown(HEAD, rows))


def coarse(scene: Scene) -> np.ndarray:
    """Coarse masks (ingested size) at the canonical size, (N,H,W) bool."""
    import cv2

    from nsff.files.io import read_mask, read_npz

    at = read_npz(scene.pixel_map_path, ["map"])["map"].astype(np.float32) - 0.5
    masks = [read_mask(scene.coarse_masks_dir / f"{i:05d}.png") for i in range(scene.n_frames)]
    return np.stack([cv2.remap(mask, at, None, cv2.INTER_NEAREST) > 127 for mask in masks])  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
