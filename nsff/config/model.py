"""Sections of the scene model and its training: kind, field, sampling, losses, optimisation."""

from __future__ import annotations

import importlib
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from nsff.config.base import StageConfig, explain
from nsff.errors import ConfigError


class ModelConfig(StageConfig):
    """The kind of scene model."""

    kind: str = "ray_fields"
    """ray_fields: a static and a dynamic field, sampled along rays (sections field, sampling and losses are theirs).
    Others are folders of nsff/models, or of installed packages (docs/extending.md)."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of the kind's own; ray_fields has none here."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        """The kind is there, and its options are those that it has."""
        # By name: kinds of models lie in a room below this one, and bring the class that checks their options.
        registry = importlib.import_module("nsff.models.registry")
        try:
            registry.options_class(self.kind).model_validate(self.options)
        except ConfigError as error:
            raise ValueError(f"{error.problem} ({error.remedy})") from None
        except ValidationError as error:
            found = explain(error, registry.options_class(self.kind), "options")
            raise ValueError(f"{found.subject}: {found.problem} ({found.remedy})") from None
        return self


class FieldConfig(StageConfig):
    """The static and the dynamic field."""

    kind: Literal["mlp", "planes"] = "planes"
    """mlp: the networks of NSFF and SAFF. planes: factorised space-time feature planes with small networks."""
    space: Literal["auto", "ndc", "contraction"] = "auto"
    """auto: NDC when all cameras look forward, else contraction of unbounded space."""
    near: float = Field(0.9, gt=0, le=1)
    """NDC: the near plane, as a fraction of the depth of the nearest static content (NSFF: 0.9). Nothing in front of it
    can be shown, and what moves may be nearer than what does not."""
    composition: Literal["blending", "additive"] = "blending"
    """blending: NSFF's weight v; additive: densities add up (nsff_pl)."""
    features: bool = True
    """SAFF's feature head on both fields."""
    saliency: bool = True
    """SAFF's saliency head on both fields."""
    feature_tanh: bool = True
    """tanh on the feature head (published: on)."""
    view_axes: Literal["world", "average"] = "world"
    """Axes that view directions are given in: the world's, or those of the average camera (NSFF)."""
    dynamic_views: bool = True
    """planes: colour of the dynamic field depends on the view direction. One camera sees each moment: what the field
    learns of other directions is chance."""
    static_only: bool = False
    """Train the static field alone (a baseline)."""
    dynamic_only: bool = False
    """disable_rigid: v is 1 everywhere (an ablation)."""
    depth: int = Field(8, ge=1)
    """mlp: hidden layers (8)."""
    width: int = Field(256, ge=8)
    """mlp: hidden units (256)."""
    position_frequencies: int = Field(10, ge=0)
    """mlp: octaves of the position encoding (10)."""
    direction_frequencies: int = Field(4, ge=0)
    """mlp: octaves of the direction encoding (4)."""
    shallow_features: bool = True
    """mlp: one linear layer as feature head (published), else two."""
    plane_resolutions: list[int] = [64, 128, 256]
    """planes: resolutions of the spatial planes, coarse to fine."""
    dynamic_resolutions: list[int] = [48, 128]
    """planes: resolutions of the dynamic field's planes, which exist for every frame."""
    motion_resolution: int = Field(0, ge=0)
    """planes: resolution of planes of their own for scene flow and disocclusion; 0: they are read off what density and
    colour are read off.
    """
    plane_channels: int = Field(8, ge=2)
    """planes: channels per plane and resolution."""
    plane_time: int = Field(0, ge=0)
    """planes: time resolution; 0 follows the number of frames."""
    hidden: int = Field(32, ge=8)
    """planes: hidden units of the small networks."""


class SamplingConfig(StageConfig):
    """Samples along rays."""

    kind: Literal["stratified", "importance"] = "importance"
    """stratified: NSFF's uniform bins; importance: a coarse density pass first, then samples where the weight is."""
    samples: int = Field(128, ge=2)
    """Samples per ray that are rendered (NSFF: 128)."""
    coarse_samples: int = Field(64, ge=2)
    """importance: samples of the coarse pass."""
    pixel_centre: float = Field(0.5, ge=0, le=0.5)
    """Offset of pixel centres; NSFF uses 0."""
    noise: float = Field(0.0, ge=0)
    """Standard deviation of the noise on raw densities in training (NSFF: 1)."""


class LossConfig(StageConfig):
    """Weights of the losses, and their schedules (nsff explain losses); a weight of 0 turns its term off."""

    w_rgb: float = Field(1.0, ge=0)
    """Photometric loss on the composited colour, the dynamic colour and the warped colours."""
    w_warp: float = Field(1.0, ge=0)
    """Factor on colour, features and saliency of the dynamic field rendered alone, at its own time and warped from the
    neighbours (NSFF: 1)."""
    warp_trains: Literal["field", "flow"] = "field"
    """field: warped renderings teach scene flow and the field at the neighbouring frame (NSFF); flow: scene flow alone,
    so that a wrong flow or depth cannot break up the neighbours' geometry."""
    w_features: float = Field(0.04, ge=0)
    """Features (SAFF dino_coe)."""
    w_saliency: float = Field(0.04, ge=0)
    """Saliency (SAFF sal_coe)."""
    w_depth: float = Field(0.04, ge=0)
    """Depth against the prior, up to scale and shift (NSFF)."""
    w_flow: float = Field(0.02, ge=0)
    """Projected scene flow against optical flow, pixels (NSFF w_optical_flow)."""
    flow_guessed: float = Field(1.0, ge=0)
    """Factor on w_flow if the depth of all that moves is a guess, of a network or of its surroundings; where part of it
    was measured, or triangulated along flow, the factor is nearer to 1 (1: none, as in NSFF).
    """
    w_cycle: float = Field(0.1, ge=0)
    """Scene flow to a neighbouring frame and back is zero (NSFF)."""
    w_scene_flow: float = Field(0.1, ge=0)
    """Magnitude of scene flow (NSFF w_sf_reg)."""
    w_smooth: float = Field(0.1, ge=0)
    """Spatial smoothness of scene flow, and least kinetic energy (NSFF w_sm)."""
    w_disocclusion: float = Field(0.1, ge=0)
    """Sparsity of disocclusion (NSFF w_prob_reg)."""
    w_entropy: float = Field(1e-3, ge=0)
    """Entropy of the blending weight (NSFF)."""
    w_static_rgb: float = Field(0.0, ge=0)
    """Static field alone against the image outside the motion masks (not in NSFF)."""
    w_dynamic_mask: float = Field(0.0, ge=0)
    """Dynamic weight against the motion masks (not in NSFF)."""
    w_distortion: float = Field(0.0, ge=0)
    """Compactness of the weights along a ray (mip-NeRF 360; not in NSFF)."""
    w_occluded: float = Field(0.0, ge=0)
    """Opacity of the dynamic field behind the surface that a ray sees, where no image constrains it (not in NSFF)."""
    occluded_margin: float = Field(0.03, ge=0)
    """w_occluded counts what lies farther behind the surface, along the normalised ray: how thick things may be."""
    w_surface: float = Field(0.0, ge=0)
    """Weights along a ray gather at the prior's surface, where its depth is metric (not in NSFF)."""
    w_plane_smooth: float = Field(0.0, ge=0)
    """Total variation of the feature planes (not in NSFF)."""
    decay_steps: int = Field(30_000, ge=1)
    """Length of a decay period in steps (1000 decay_iteration)."""
    decay_by_frames: bool = False
    """A decay period is decay_steps or 1000 steps a frame, whichever is more, up to 250,000 (NSFF). Presets nsff and
    saff say true; where a file sets decay_steps and not this, decay_steps counts as it is.
    """
    decay_depth: bool = True
    """Depth weight falls tenfold each decay period."""
    decay_flow: bool = True
    """Flow weight falls tenfold each decay period."""
    decay_extra: bool = False
    """Feature and saliency weights fall tenfold each decay period."""
    depth_full: bool = False
    """Depth loss on the composited instead of the dynamic depth."""
    surface_tolerance: float = Field(0.01, ge=0)
    """Distance along the normalised ray that w_surface forgives."""
    surface_fade: float = Field(0.7, gt=0)
    """Fraction of the training after which w_surface would be 0, falling in a straight line to its floor."""
    surface_floor: float = Field(0.1, ge=0, le=1)
    """The fraction of w_surface that stays to the end."""
    mask_fade: float = Field(0.7, gt=0)
    """Fraction of the training after which w_dynamic_mask would be 0, falling in a straight line to its floor."""
    mask_floor: float = Field(0.1, ge=0, le=1)
    """The fraction of w_dynamic_mask that stays to the end."""
    mask_dynamic_always: bool = False
    """Renderings of the dynamic field alone count by its weight in the composite from the first step on (published:
    after the first decay period).
    """
    smooth_space: Literal["euclidean", "world", "normalised"] = "euclidean"
    """Where w_smooth measures. euclidean: in the axes of the average camera and in units of the near plane, whatever
    those of the world are (NSFF). world: another name for it. normalised: in normalised space, in which far samples
    weigh no more than near ones.
    """
    warp_beyond_ends: bool = False
    """Count also what is warped from beyond the first and the last frame, as the published code does; otherwise these
    renderings are left out.
    """
    chain: bool = True
    """After two decay periods also render through scene flow that is followed twice, to t±2 (NSFF chain_sf)."""
    scene_flow_axis: Literal["reference", "fixed"] = "fixed"
    """reference: the published sum over x, y and z instead of over samples; fixed: rendered scene flow."""
    kinetic_energy_count: int = Field(2, ge=0)
    """How often the least-kinetic-energy term is added (published code: 2)."""


class TrainConfig(StageConfig):
    """Optimisation."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    memory_gb: float | None = Field(None, gt=0)
    """GPU memory, 10^9 bytes, that training and rendering take at most; null: what is free. Batches that do not fit are
    trained in parts: gradients are added up, and losses with masks or a median are normalised part by part.
    """
    gpus: int = Field(1, ge=1)
    """GPUs of one machine that train together. Each draws rays and motion_rays of its own, so that a step has that many
    times as many; steps and learning rates stay as they are.
    """
    seed: int = 0
    """Seed of all random numbers in training."""
    precision: Literal["fp32", "tf32", "bf16"] = "tf32"
    """Precision of matrix products in the networks, on a GPU; geometry, compositing and losses are always fp32."""
    cuda_graphs: bool = True
    """On a GPU: record a step's kernels once and replay them, which spares the time between them."""
    steps: int = Field(20_000, ge=1)
    """Optimisation steps."""
    steps_for_frames: int = Field(0, ge=0)
    """Frames that steps are meant for: other clips get steps, learning_rate_decay_steps and losses.decay_steps in
    proportion, but at least half of them, and from twice as many frames on, the planes of what moves are updated every
    second step or less often; 0: clips of any length train alike.
    """
    rays: int = Field(1024, ge=1)
    """Rays per step drawn from the whole image(s) (N_rand)."""
    motion_rays: int = Field(512, ge=0)
    """Additional rays per step drawn from the motion masks (num_extra_sample)."""
    motion_rays_always: bool = False
    """Keep drawing them after the first decay period."""
    warp_rays: int | None = Field(None, ge=0)
    """Rays of a step that get the warped renderings; null: all. Motion rays come first."""
    frames_per_batch: int = Field(1, ge=0)
    """Frames that a batch is drawn from; 1 as NSFF, 0 all frames."""
    learning_rate: float = Field(5e-4, gt=0)
    """Adam's learning rate at the start."""
    plane_learning_rate: float = Field(0.02, gt=0)
    """planes: learning rate of the feature planes at the start."""
    learning_rate_decay_steps: int = Field(300_000, ge=1)
    """Steps in which the learning rates fall tenfold."""
    hold_out: int = Field(0, ge=0)
    """Every hold_out-th frame is left out of training for protocol self; 0: none."""
    checkpoint_every: int = Field(10_000, ge=1)
    """Steps between checkpoints; the last two are kept."""
    log_every: int = Field(100, ge=1)
    """Steps between scalars."""
    preview_every: int = Field(0, ge=0)
    """Steps between previews of the middle frame (state/previews/ and TensorBoard); 0: none."""
    keep_state: bool = False
    """Whether the checkpoints, with the optimiser's state, stay once the model is written. Without them state/ keeps a
    copy of the model, which is all that running the same training again needs."""
    tensorboard: bool = True
    """Write TensorBoard event files beside the training state."""
