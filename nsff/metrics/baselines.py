"""The baselines that need no model: a training frame shown as it is.

Notation. Frame i of N was filmed by camera i, centre (3,), at time i.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from nsff.datasets.truth import Truth, TruthView
from nsff.files.io import read_image
from nsff.geometry.epipolar import pixel_centres
from nsff.geometry.robust_fit import fit_homography
from nsff.scene import Scene

TRAINING = "training"
"""The split whose views are training frames: a copied frame says nothing there."""

POINTS, OFF_PLANE = 2000, 1.0
"""Pixels of flow that a homography is fitted to, and the distance, pixels, at which they count as off the plane."""

Centre = Float64[np.ndarray, " 3"]


@dataclass(frozen=True)
class TrainingFrames:
    """The frames that were trained on, to be shown in place of a render."""

    frames: Sequence[int]
    read: Callable[[int], UInt8[np.ndarray, "H W 3"]]
    centres: Float64[np.ndarray, "N 3"] | None
    """None where cameras are not known; then ties go to the earlier frame, and no camera is the nearest."""

    @staticmethod
    def of_scene(scene: Scene, held_out: Sequence[int] = ()) -> TrainingFrames:
        """The canonical frames without those held out of training."""
        frames = [i for i in range(scene.n_frames) if i not in set(held_out)]
        return TrainingFrames(frames, scene.image, scene.cameras.centres)

    @staticmethod
    def of_truth(truth: Truth) -> TrainingFrames | None:
        """The input frames that lie beside the truth; None where its layout has none."""
        paths = truth.frame_paths
        if not paths:
            return None
        centres = None if truth.training_cameras is None else truth.training_cameras.centres
        return TrainingFrames(range(len(paths)), lambda i: read_image(paths[i]), centres)

    def pictures(self, time: float, centre: Centre | None) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
        """``copy``: the frame nearest in time (ties: nearer camera). ``copy_camera``: the one from the nearest camera
        (ties: nearer time); left out where cameras are not known.

        Cameras as near as a thousandth of the path's extent are the same camera.
        """
        if self.centres is None or centre is None:
            return {"copy": self.read(min(self.frames, key=lambda i: abs(i - time)))}
        distance = {i: math.dist(self.centres[i], centre) for i in self.frames}
        limit = min(distance.values()) + 1e-3 * float(np.ptp(self.centres, axis=0).max())
        in_time = min(self.frames, key=lambda i: (abs(i - time), distance[i]))
        in_space = min((i for i in self.frames if distance[i] <= limit), key=lambda i: abs(i - time))
        return {"copy": self.read(in_time), "copy_camera": self.read(in_space)}


def centre_of(pose: Float64[np.ndarray, "3 4"]) -> Centre:
    """The camera's centre in the world, from world to camera [R | t]."""
    return -pose[:, :3].T @ pose[:, 3]


def centre_of_view(view: TruthView, truth: Truth) -> Centre | None:
    """The centre of a true view in the truth's world, or None."""
    if view.camera is not None:
        return centre_of(view.camera.world_to_camera)
    if truth.training_cameras is None or view.training_camera is None:
        return None
    return truth.training_cameras.centres[view.training_camera]


def carried_by_homography(
    picture: UInt8[np.ndarray, "H W 3"], flow: Float32[np.ndarray, "H W 2"], static: Bool[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W 3"]:
    """A frame brought over to another by the one homography that explains most of the ``flow`` from there to it, where
    ``static``: all that a single plane, or a camera that only turns, tells. As it is where there is none.

    Unlike a frame shown as it is, this is a feat to beat also where the camera jumps from frame to frame.
    """
    height, width = static.shape
    step = max(1, int(np.sqrt(static.size / POINTS)))
    chosen = np.zeros_like(static)
    chosen[::step, ::step] = True
    chosen &= static
    x = pixel_centres(height, width)
    M = fit_homography(x[chosen], x[chosen] + flow[chosen], OFF_PLANE) if chosen.sum() >= 8 else None
    if M is None:
        return picture
    corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # OpenCV has pixel centres at whole numbers
    return cv2.warpPerspective(
        picture, np.linalg.inv(corner) @ M @ corner, (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
