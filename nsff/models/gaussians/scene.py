"""The parts of a scene of Gaussians: a static and a moving cloud, a background, corrections of training frames."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nsff.cameras.spaces import Space
from nsff.models.base import SceneModel
from nsff.models.gaussians.cloud import MovingCloud, StaticCloud
from nsff.models.gaussians.frame import Frame


class GaussianScene(SceneModel):
    """The parameters, and the few things that training and drawing both do with them.

    ``channels``: of features, 0 for none. ``window``: frames of a path. ``space``: the normalised space in which points
    tell clusters their direction. ``static``, ``moving``: numbers of Gaussians. ``cells``: places
    whose light changes, 0 for none.
    """

    def __init__(
        self,
        n_frames: int,
        channels: int,
        saliency: bool,
        window: int,
        space: Space,
        static: int = 0,
        moving: int = 0,
        cells: int = 0,
    ) -> None:
        super().__init__()
        self.space = space
        self.n_frames, self.channels, self.has_saliency, self.window = n_frames, channels, saliency, window
        self.frame = Frame()
        self.static = StaticCloud(static, channels, saliency, cells, n_frames)
        self.moving = MovingCloud(moving, channels, saliency, window)
        self.raw_background = nn.Parameter(torch.zeros(3))
        self.pose_correction = nn.Parameter(torch.zeros(n_frames, 6))
        """For each training frame a rotation vector, radians, and a translation in the model's units, of the camera."""
        self.exposure = nn.Parameter(torch.zeros(n_frames, 2, 3))
        """For each training frame the logarithm of the gain, and the offset, of each colour."""

    @property
    def background(self) -> Float[Tensor, "3"]:
        """The colour where nothing is, in [0, 1]."""
        return self.raw_background.sigmoid()

    def corrected_pose(self, frame: int, world_to_camera: Float[Tensor, "3 4"]) -> Float[Tensor, "3 4"]:
        """The pose of a training camera in the model's units, with its correction. Corrections have no mean, so that
        all cameras together stay where they were."""
        pose = self.frame.pose(world_to_camera)
        if not self.pose_correction.requires_grad:
            return pose
        own = self.pose_correction[frame] - self.pose_correction.mean(0)
        x, y, z = own[:3]
        zero = torch.zeros_like(x)
        turn = torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3))
        moved = turn @ pose
        return torch.cat([moved[:, :3], moved[:, 3:] + own[3:, None]], 1)

    def exposed(self, frame: int, picture: Float[Tensor, "H W 3"]) -> Float[Tensor, "H W 3"]:
        """A picture as the training frame was exposed; gains and offsets have no mean over the frames."""
        if not self.exposure.requires_grad:
            return picture
        own = self.exposure[frame] - self.exposure.mean(0)
        return picture * own[0].exp() + own[1]
