"""Supervision of a scene as tensors that stay on the device, and batches of rays drawn from them.

Shapes: N frames of H×W; flow (N,H,W,2) pixels (right, down); features (N,h,w,C) at reduced size, looked up by
floor(row h/H), floor(column w/W) as in SAFF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nsff.cameras.rays import pixel_rays
from nsff.config import FieldConfig, TrainConfig
from nsff.models.rays import Rays
from nsff.scene import Scene


@dataclass
class Batch:
    """R rays with their targets. The first ``main`` rays come from whole images, the rest from the motion masks."""

    rays: Rays
    main: int
    frame: Int[Tensor, "R"]
    pixel: Float[Tensor, "R 2"]
    rgb: Float[Tensor, "R 3"]
    disparity: Float[Tensor, "R"]
    confidence: Float[Tensor, "R"]
    moving: Bool[Tensor, "R"]
    flow_post: Float[Tensor, "R 2"]
    valid_post: Bool[Tensor, "R"]
    flow_prev: Float[Tensor, "R 2"]
    valid_prev: Bool[Tensor, "R"]
    features: Float[Tensor, "R C"] | None
    saliency: Float[Tensor, "R"] | None


class TrainingData:
    """All supervision of a scene on one device."""

    def __init__(
        self, scene: Scene, field: FieldConfig, train: TrainConfig, pixel_centre: float, device: torch.device
    ) -> None:
        cameras = scene.cameras
        self.n_frames, self.height, self.width = len(cameras), cameras.height, cameras.width
        self.device, self.pixel_centre = device, pixel_centre
        # With pixel centres at 0 (NSFF) the principal point stays width/2: rays then differ by half a pixel, as
        # published.
        self.intrinsics = torch.tensor(cameras.intrinsics, dtype=torch.float32, device=device)
        self.world_to_camera = torch.tensor(cameras.world_to_camera, dtype=torch.float32, device=device)
        self.images = torch.from_numpy(scene.images()).to(device)
        disparity = [scene.disparity(i) for i in range(self.n_frames)]
        self.disparity = torch.from_numpy(np.stack([d for d, _ in disparity])).to(device)
        self.confidence = torch.from_numpy(np.stack([c for _, c in disparity])).to(device)
        depth = scene.depth_result()
        self.metric_depth, self.guessed_depth = depth.metric, depth.guessed_share
        self.moving = torch.from_numpy(scene.motion_masks()).to(device)
        self.flow_post, self.valid_post = self._flow(scene, "fwd")
        self.flow_prev, self.valid_prev = self._flow(scene, "bwd")
        self.far = {pair: self._far_flow(scene, *pair) for pair in scene.far_pairs()}
        """Consistent flow of pixels that move, between frames further apart: (row, column) (P,2) and flow (P,2)."""
        self.tracks = scene.tracks()
        self.features = self.saliency = None
        if field.features:
            features, saliency = scene.features()
            self.features = torch.from_numpy(np.array(features)).to(device)
            if field.saliency:
                self.saliency = torch.from_numpy(np.array(saliency)).to(device)
        held = range(train.hold_out - 1, self.n_frames, train.hold_out) if train.hold_out else range(0)
        self.frames = [i for i in range(self.n_frames) if i not in held]
        self.train_frames = torch.tensor(self.frames, device=device)
        moving = self.moving.clone()
        moving[list(held)] = False
        self.moving_pixels = moving.flatten().nonzero()[:, 0]
        ends = torch.cumsum(moving.flatten(1).sum(1), 0)
        self.moving_start = torch.cat([ends.new_zeros(1), ends]).tolist()

    def _flow(self, scene: Scene, direction: str) -> tuple[Tensor, Tensor]:
        flow = torch.zeros(self.n_frames, self.height, self.width, 2)
        valid = torch.zeros(self.n_frames, self.height, self.width, dtype=torch.bool)
        for i in range(self.n_frames):
            if (direction, i) not in (("fwd", self.n_frames - 1), ("bwd", 0)):
                f, m = scene.flow(i, direction)
                flow[i], valid[i] = torch.from_numpy(f), torch.from_numpy(m)
        return flow.to(self.device), valid.to(self.device)

    def _far_flow(self, scene: Scene, i: int, j: int) -> tuple[Int[Tensor, "P 2"], Float[Tensor, "P 2"]]:
        flow, valid = (torch.from_numpy(array).to(self.device) for array in scene.far_flow(i, j))
        pixels = (valid & self.moving[i]).nonzero()
        return pixels, flow[pixels[:, 0], pixels[:, 1]]

    def batches_differ(self, train: TrainConfig) -> bool:
        """Whether batches differ in size: some frame has fewer moving pixels than are drawn from one frame."""
        ends = self.moving_start
        moving = [ends[i + 1] - ends[i] for i in self.frames]
        return train.frames_per_batch == 1 and min(moving) < train.motion_rays

    def choose(
        self, train: TrainConfig, with_motion: bool, generator: torch.Generator, step: int, rank: int = 0
    ) -> tuple[Int[Tensor, "R"], int]:
        """The pixels of a random batch as flat indices over (N, H, W), and how many of them come from whole images:
        train.rays; then follow up to train.motion_rays from the motion masks.

        Where a batch has one frame, seed and step decide which, and the process's rank where several train together:
        the host knows it without waiting for the device.
        """
        area = self.height * self.width
        if train.frames_per_batch == 1:
            chooser = np.random.default_rng((train.seed, step, rank) if rank else (train.seed, step))
            frame = self.frames[int(chooser.integers(len(self.frames)))]
            main = frame * area + torch.randperm(area, generator=generator, device=self.device)[: train.rays]
            pool = self.moving_pixels[self.moving_start[frame] : self.moving_start[frame + 1]]
        else:
            frames = self.train_frames
            if 0 < train.frames_per_batch < len(frames):
                frames = frames[
                    torch.randperm(len(frames), generator=generator, device=self.device)[: train.frames_per_batch]
                ]
            chosen = frames[torch.randint(len(frames), (train.rays,), generator=generator, device=self.device)]
            main = chosen * area + torch.randint(area, (train.rays,), generator=generator, device=self.device)
            pool = self.moving_pixels
        count = min(train.motion_rays, len(pool)) if with_motion else 0
        if count:
            if train.frames_per_batch == 1:
                extra = pool[torch.randperm(len(pool), generator=generator, device=self.device)[:count]]
            else:
                extra = pool[torch.randint(len(pool), (count,), generator=generator, device=self.device)]
            return torch.cat([main, extra]), len(main)
        return main, len(main)

    def gather(self, index: Int[Tensor, "R"], main: int) -> Batch:
        """Rays and targets of flat pixel indices over (N, H, W)."""
        area = self.height * self.width
        frame, rest = index // area, index % area
        row, column = rest // self.width, rest % self.width
        pixel = torch.stack([column, row], -1).float() + self.pixel_centre
        origins, directions = pixel_rays(self.intrinsics[frame], self.world_to_camera[frame], pixel[:, 0], pixel[:, 1])
        features = saliency = None
        if self.features is not None:
            h, w = self.features.shape[1:3]
            at = (frame, row * h // self.height, column * w // self.width)
            features = self.features[at].float()
            saliency = None if self.saliency is None else self.saliency[at].float()
        pick = lambda tensor: tensor.flatten(0, 2)[index]  # noqa: E731
        return Batch(
            Rays(origins, directions, frame.float()),
            main,
            frame,
            pixel,
            pick(self.images).float() / 255,
            pick(self.disparity),
            pick(self.confidence),
            pick(self.moving),
            pick(self.flow_post),
            pick(self.valid_post),
            pick(self.flow_prev),
            pick(self.valid_prev),
            features,
            saliency,
        )
