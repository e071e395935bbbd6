"""The world that a reconstruction belongs to: what flow says about it, and the masks of what moves in it.

Notation. A model is a pycolmap.Reconstruction of the ingested frames with one SIMPLE_RADIAL camera. Flow (pixels of
raw_flow/) is brought to pinhole pictures of the flow's size with the model's focal length; image ``00012.png`` of the
model is frame 12. Frames without a pose are passed over.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64

from nsff.cameras.colmap import from_reconstruction
from nsff.geometry.epipolar import pixel_centres, segment_distance
from nsff.geometry.static_world import ALLOWED, NEAR_MARGIN, Pair, WorldCheck, check_world
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache, chain_flows
from nsff.tracking.flow_pairs import flow_pairs

GROWTH = 3
"""Pixels at 288 rows by which masks of what moves grow: too much is better than too little."""


class World:
    """A model, with the flow of its scene."""

    def __init__(self, scene: Scene, model: Any) -> None:
        import pycolmap

        self.scene = scene
        self.link = FlowCache(scene.raw_flow)
        self.size = scene.raw_flow(0, "fwd")[1].shape
        self.lens = copy.deepcopy(next(iter(model.cameras.values())))
        straight = pycolmap.Reconstruction(model)
        f, cx, cy = (float(value) for value in self.lens.params[:3])
        for camera in straight.cameras.values():
            camera.model, camera.params = "PINHOLE", [f, f, cx, cy]
        found = from_reconstruction(straight)
        self.cameras = found.cameras.resized(*self.size)
        self.index = {int(Path(name).stem): k for k, name in enumerate(found.names)}

    def check(self) -> WorldCheck:
        """The figures of the cameras by flow."""
        return check_world(self.cameras, self._pairs())

    def _pairs(self) -> Iterator[Pair]:
        for i, j, x, x_other in flow_pairs(self.link, self.scene.n_frames):
            if i in self.index and j in self.index:
                yield self.index[i], self.index[j], self.straight(x), self.straight(x_other)

    def straight(self, x: Float[np.ndarray, "*P 2"]) -> Float64[np.ndarray, "*P 2"]:
        """Pixels of flow on the pinhole pictures."""
        scale = np.array([self.lens.width / self.size[1], self.lens.height / self.size[0]])
        flat = self.lens.cam_from_img((x * scale).reshape(-1, 2))
        K = self.cameras.intrinsics[0]
        return (flat * [K[0, 0], K[1, 1]] + K[:2, 2]).reshape(x.shape)

    def moving(self, i: int) -> Bool[np.ndarray, "H W"]:
        """True where no depth explains the flow from frame i to the frames next to it, at the size of the flow."""
        if i not in self.index:
            return np.zeros(self.size, bool)
        k, rows = self.index[i], self.size[0] / REFERENCE_ROWS
        x = pixel_centres(*self.size)
        at, nearest = self.straight(x), float(self.cameras.near_far[k, 0]) * NEAR_MARGIN
        moves, known = np.zeros(self.size), np.zeros(self.size)
        ends = [j for j in (i - 2, i - 1, i + 1, i + 2) if j in self.index and 0 <= j < self.scene.n_frames]
        for j, (flow, mask) in chain_flows(self.link, i, ends).items():
            there = self.straight(x + flow)
            distance = segment_distance(self.cameras, k, self.index[j], at, there, nearest)
            moves += mask & (distance > ALLOWED * rows * np.sqrt(abs(i - j)))
            known += mask
        mask = morphology((moves >= 0.5 * known) & (known > 0), cv2.MORPH_OPEN, max(1, round(rows)))
        return morphology(mask, cv2.MORPH_DILATE, round(GROWTH * max(1.0, rows)))
