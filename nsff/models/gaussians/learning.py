"""How a scene of Gaussians is trained: one frame a step, learning rates, corrections of cameras and exposure."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nsff.config import SceneConfig
from nsff.models.base import BatchIndex, Camera, ParameterGroup, Terms
from nsff.models.clock import Clock
from nsff.models.gaussians.drawing import Picture, camera_inside
from nsff.models.gaussians.frame_terms import FrameTerms
from nsff.models.gaussians.growth import Growth
from nsff.models.gaussians.lifting import disparities
from nsff.models.gaussians.objective import feature_terms
from nsff.models.gaussians.options import Options
from nsff.models.gaussians.scene import GaussianScene
from nsff.models.supervision import TrainingData

EPSILON = 1e-15
"""Added to Adam's denominators: gradients of single Gaussians are small."""
LEAVE_OUT_STREAM = 1
"""Tells the random numbers of leave_out from others of the same seed and step."""


class Learning:
    """The part of a scene of Gaussians that is there in training alone."""

    def __init__(self, model: GaussianScene, data: TrainingData, config: SceneConfig) -> None:
        self.model, self.data, self.config = model, data, config
        self.options = Options(**config.model.options)
        self.train = config.train
        self.terms = FrameTerms(model, data, disparities(data, self.options), self.options, self.train.cuda_graphs)
        most = int(self.options.most_per_pixel * data.height * data.width)
        self.growth = Growth(model, self.options, self.train.steps, most)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Parameters of both clouds by name, and the corrections."""
        given, model = self.options, self.model
        rates = {
            "log_scale": given.rate_scales,
            "rotation": given.rate_rotations,
            "opacity_logit": given.rate_opacities,
            "raw_colour": given.rate_colours,
            "feature": given.rate_features,
            "raw_saliency": given.rate_features,
            "log_span": given.rate_spans,
        }
        groups = [
            ParameterGroup([model.static.position], given.rate_positions * given.rate_static, EPSILON),
            ParameterGroup([model.moving.position], given.rate_positions, EPSILON),
        ]
        for name, rate in rates.items():
            found = [getattr(cloud, name, None) for cloud in (model.static, model.moving)]
            members = [p for p in found if isinstance(p, nn.Parameter)]
            if members:
                groups.append(ParameterGroup(members, rate, EPSILON))
        if len(model.static.light):
            groups.append(ParameterGroup([model.static.light.log_factor], given.rate_light, EPSILON))
        groups.append(ParameterGroup([model.raw_background], given.rate_colours, EPSILON))
        for parameter, rate in ((model.pose_correction, given.rate_cameras), (model.exposure, given.rate_exposure)):
            parameter.requires_grad_(rate > 0)
            if rate > 0:
                groups.append(ParameterGroup([parameter], rate, EPSILON))
        return groups

    def frame_of(self, step: int, rank: int) -> int:
        """The training frame of a step: all frames in random order, then all in another order."""
        frames = self.data.frames
        epoch, place = divmod(step, len(frames))
        order = np.random.default_rng((self.train.seed, epoch, rank)).permutation(len(frames))
        return frames[int(order[place])]

    def leaves_out(self, step: int) -> bool:
        """Whether this step's frame is drawn without the dynamic Gaussians that were made of it."""
        share = self.options.leave_out
        return share > 0 and bool(np.random.default_rng((self.train.seed, LEAVE_OUT_STREAM, step)).random() < share)

    def sample_batch(self, step: int, rank: int) -> BatchIndex:
        return BatchIndex(torch.tensor([self.frame_of(step, rank)], device=self.data.device), 1)

    def losses(self, batch: BatchIndex, step: int, clock: Clock) -> tuple[Terms, Terms]:
        """Terms and monitors of one frame."""
        data, model, given, frame = self.data, self.model, self.options, int(batch.index[0])
        camera = Camera(data.intrinsics[frame], data.world_to_camera[frame], data.height, data.width)
        with clock("drawing"):
            pose = model.corrected_pose(frame, camera.world_to_camera)
            picture = Picture(
                model.static, model.moving, model.background, camera_inside(camera, pose), float(frame), ("rgb",),
                others=self.leaves_out(step),
            )  # fmt: skip
        terms, squared_error = self.terms(picture, frame)
        if len(model.static.light):
            terms["light"] = given.w_light * model.static.light.log_factor[:, frame].abs().mean()
        begun = step >= given.features_from * self.train.steps
        if data.features is not None and begun and step % given.features_every == 0:
            with clock("features"):
                terms |= self._features(camera, pose, frame)
        return terms, {"mse": squared_error}

    def _features(self, camera: Camera, pose: Float[Tensor, "3 4"], frame: int) -> Terms:
        """Terms of a picture as small as the features are; positions, shapes and opacities are left alone."""
        data, model = self.data, self.model
        assert data.features is not None
        h, w = data.features.shape[1:3]
        zoom = torch.tensor([w / data.width, h / data.height, 1.0], device=data.device)
        small = Camera(camera.intrinsics * zoom[:, None], camera.world_to_camera, h, w)
        names = ("features",) if data.saliency is None else ("features", "saliency")
        picture = Picture(
            model.static, model.moving, model.background, camera_inside(small, pose.detach()), float(frame), names,
            fixed=True,
        )  # fmt: skip
        saliency = None if data.saliency is None else picture.channel("saliency")[..., 0]
        salient = None if data.saliency is None else data.saliency[frame].float()
        return feature_terms(picture.channel("features"), data.features[frame].float(), saliency, salient, self.options)
