"""The interface of scene models: whatever can be trained, drawn and read.

The trainer, the renderer and the stages after them know a model by ``SceneModel`` alone. A kind of model is one folder
of nsff/models (nsff.models.registry); nsff/models/ray_fields is the usual one.

Notation. A scene has N frames; times are frame indices, as floats. World axes are OpenCV's. A step is one update of
the parameters, counted from 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64
from safetensors.torch import save_file
from torch import Tensor, nn

from nsff.config import SceneConfig
from nsff.errors import ConfigError, StageError
from nsff.models.clock import Clock
from nsff.models.supervision import TrainingData
from nsff.scene import Scene
from nsff.splats.scene import SplatScene
from nsff.weights.tensors import load_safetensors

Terms = dict[str, Float[Tensor, ""]]

OUTPUTS = (
    "rgb", "depth", "blend", "saliency", "features", "static_rgb", "dynamic_rgb", "opacity", "moved_prev", "moved_post",
    "ndc_depth",
)  # fmt: skip
"""The maps that a model may have; rgb, depth and blend are had by all.

rgb, static_rgb, dynamic_rgb (3): the whole picture, what rests and what moves alone. depth: z in scene units. blend:
the share of what moves. opacity; saliency; features (C). moved_prev, moved_post (3): world points where what moves is
at the last and the next frame, NaN where nothing does. ndc_depth: SAFF's depth in [0, 1], where the space is NDC."""


@dataclass(frozen=True)
class Camera:
    """One pinhole camera (OpenCV axes) and the size of its picture."""

    intrinsics: Float[Tensor, "3 3"]
    """Pixels."""
    world_to_camera: Float[Tensor, "3 4"]
    height: int
    width: int
    enlarged: float = 1.0
    """Sides of the picture over those of the pictures that the model was fitted to, where these are smaller:
    Gaussians were fitted with the blur of those pixels, and would show gaps with less."""

    @staticmethod
    def of(
        intrinsics: Float[np.ndarray, "3 3"],
        world_to_camera: Float[np.ndarray, "_ 4"],
        height: int,
        width: int,
        device: torch.device,
    ) -> Camera:
        """From arrays; rows of the pose below the third are left out."""
        tensor = lambda value: torch.as_tensor(np.asarray(value), dtype=torch.float32, device=device)  # noqa: E731
        return Camera(tensor(intrinsics), tensor(world_to_camera)[:3], height, width)


@dataclass(frozen=True)
class MovingLayer:
    """The moving content of one frame's picture, before it is splatted to another time, and the picture behind it."""

    values: Float[Tensor, "H W C"]
    """Colour, or another output, multiplied by opacity."""
    opacity: Float[Tensor, "H W"]
    displacement: Float[Tensor, "H W 2"]
    """Pixels, (right, down)."""
    static: Float[Tensor, "H W C"]
    """The picture of the static content alone."""


@dataclass(frozen=True)
class DepthPlanes:
    """P pictures of what lies at P depths, front to back, before what moves is splatted. C channels of an output."""

    static: Float[Tensor, "P C1 H W"]
    """Values and opacity."""
    dynamic: tuple[Float[Tensor, "P C2 H W"], Float[Tensor, "P C2 H W"]]
    """The planes of the frames before and after: values, opacity, and the dynamic share of the density."""
    displacement: tuple[Float[Tensor, "P 2 H W"], Float[Tensor, "P 2 H W"]]
    """The displacement of either frame's planes, pixels (right, down); not finite where it leads behind the camera."""
    additive: bool
    """Whether opacities come from densities that add up."""


@dataclass(frozen=True)
class Points:
    """P points of a scene at a time."""

    positions: Float[Tensor, "P 3"]
    """In the world."""
    normalised: Float[Tensor, "P 3"]
    """In the model's own coordinates, of which clusters may know the direction."""
    features: Float[Tensor, "P C"] | None = None
    """Vectors of unit length."""
    colours: Float[Tensor, "P 3"] | None = None
    """In [0, 1]."""
    saliency: Float[Tensor, "P"] | None = None
    """In [0, 1]."""
    motion: Float[Tensor, "P 3"] | None = None
    """Displacement to the next frame, in the world; zero where nothing moves."""
    pixel: Int[Tensor, "P"] | None = None
    """Row · W + column in the picture of the camera that sees them."""
    time: Float[Tensor, "P"] | None = None
    """When each is at its position, frames; left out where all are of one time, known to whoever asked for them."""
    moving: Bool[Tensor, "P"] | None = None
    """Whether they are of what moves; given where points are left out of pictures."""


@dataclass(frozen=True)
class Parts:
    """Objects taken out of a scene, as one camera sees them."""

    rgba: dict[int, Float32[np.ndarray, "H W 4"]]
    """By object number (0: all together): colour, not multiplied by alpha, and alpha, in [0, 1]."""
    depth: Float32[np.ndarray, "H W"]
    """z of all together, scene units; 0 where there is nothing."""
    seen: float
    """How much of them the picture of the whole scene shows, 0 to 1."""


Numbering = Callable[[Points], Int64[np.ndarray, "P"]]
"""Gives points the number of the object that they belong to, 0 for none. Reads positions, normalised and features."""

LeftOut = Callable[[Points, float], Bool[np.ndarray, "P"]]
"""Says which points at a time are left out of pictures. Reads positions, normalised, features and moving."""


@dataclass(frozen=True)
class BatchIndex:
    """The data of one step, as indices: pixels of the training frames, or whatever else a model counts.

    The host chooses it before the work on the device begins, so that a recorded step reads it in place.
    """

    index: Int[Tensor, "R"]
    main: int
    """How many of the first entries were drawn evenly from whole images; the rest come from the motion masks."""

    def __len__(self) -> int:
        return len(self.index)

    def micro_batch(self, count: int, number: int) -> BatchIndex:
        """Number ``number`` of ``count`` parts: every ``count``-th entry of either kind, so that sizes differ by one
        entry at most of each kind.

        >>> [BatchIndex(torch.arange(5), 3).micro_batch(2, i).index.tolist() for i in (0, 1)]
        [[0, 2, 3], [1, 4]]
        """
        images, masks = self.index[: self.main][number::count], self.index[self.main :][number::count]
        return BatchIndex(torch.cat([images, masks]), len(images))


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that Adam updates alike."""

    parameters: list[nn.Parameter]
    learning_rate: float
    """At the start; the trainer lets it fall (train.learning_rate_decay_steps)."""
    epsilon: float = 1e-8
    """Added to Adam's denominator."""
    update_every: int = 1
    """Steps between two updates, each by the sum of the gradients since the last. Groups with more than one step
    share the same number."""
    in_place: bool = False
    """Whether the model's own kernels add to gradients that are there, which then stay in one buffer (CUDA)."""


def ends_accumulation(step: int, every: int) -> bool:
    """Whether an update every ``every`` steps follows step number ``step``.

    >>> [ends_accumulation(step, 3) for step in range(4)]
    [False, False, True, False]
    """
    return (step + 1) % every == 0


class SceneModel(nn.Module, ABC):
    """A scene as a model of one kind. ``n_frames``: N."""

    kind: str = ""
    """Its name in the configuration (model.kind), which is its folder's."""
    recordable: bool = False
    """Whether ``losses`` and its gradients can be recorded as a CUDA graph: nothing in them waits for the device,
    copies from the host or has a shape that data decide."""
    divisible: bool = True
    """Whether a batch can be computed in micro-batches where it does not fit into memory."""
    n_frames: int
    pixel_centre: float = 0.5
    """Offset of pixel centres."""
    continuous: bool = True
    """Whether pictures can be drawn at any time. Otherwise they can at whole frames, and between two frames their
    moving layers, or depth planes, are splatted (nsff.rendering.between)."""
    whole_pictures: bool = True
    """Whether some pixels cost as much as the whole picture."""
    reduced_precision: bool = False
    """Networks compute matrix products in bfloat16 (CUDA); what they return is float32 all the same."""
    clock: Clock = Clock()
    """Times the parts of a step where somebody asks (nsff.training.bench)."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    # --- training ------------------------------------------------------------------------------------------------
    @abstractmethod
    def start_training(self, data: TrainingData, config: SceneConfig) -> None:
        """Gets the supervision and the settings that all methods of training below go by."""

    @abstractmethod
    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters that are trained, each in one group."""

    @abstractmethod
    def sample_batch(self, step: int, generator: torch.Generator, rank: int = 0) -> BatchIndex:
        """Draws the data of a step. ``rank`` is the process's number where several train together."""

    @abstractmethod
    def losses(self, batch: BatchIndex, step: int, generator: torch.Generator) -> tuple[Terms, Terms]:
        """Weighted loss terms by name, whose sum is minimised, and unweighted monitors.

        ``mse`` among the monitors is the mean squared colour error of the entries from whole images.
        """

    def heaviest_batch(self, generator: torch.Generator) -> tuple[BatchIndex, int]:
        """A batch and a step whose terms take as much memory as those of any step."""
        return self.sample_batch(0, generator), 0

    def split_batches(self, count: int) -> None:
        """From now on ``losses`` gets one of ``count`` parts of each batch at a time."""

    def before_step(self, step: int) -> None:
        """Called before each step: sets what changes from step to step and must not be recorded."""

    def after_step(self, step: int, optimiser: torch.optim.Adam) -> bool:
        """Called after step number ``step``; returns whether parameters were replaced, with their moments in
        ``optimiser`` (growth and pruning). Recordings and the buffer of gradients are then made anew."""
        return False

    def stage(self, step: int) -> Hashable:
        """All that the host decides about a step and that stays for many: recordings of another stage are given up."""
        return 0

    def variant(self, step: int) -> Hashable:
        """A value that alternates from step to step within a stage: each value has a recording of its own."""
        return 0

    def start_recording(self) -> None:
        """Called where steps are recorded: from now on numbers that change from step to step live on the device."""

    @classmethod
    def explain_losses(cls, config: SceneConfig, n_frames: int | None, step: int | None) -> str:
        """A table of the loss terms of a training for people: at ``step``, or all over the training. ``n_frames`` is
        the clip's number of frames where that is known."""
        raise ConfigError(
            "model.kind",
            f"is {cls.kind}, which does not explain its losses",
            f"read {cls.__module__.replace('.', '/')}.py",
        )

    # --- drawing -------------------------------------------------------------------------------------------------
    @property
    @abstractmethod
    def outputs(self) -> frozenset[str]:
        """Those of OUTPUTS that this model has."""

    @abstractmethod
    def render(
        self, camera: Camera, time: float, outputs: Sequence[str] = ("rgb",), chunk: int = 0
    ) -> dict[str, Float[Tensor, "H W *C"]]:
        """Maps of one picture, those of ``outputs`` that the model has; differentiable in the camera.

        ``chunk`` is how much of a picture is worked on at a time where a model does it piece by piece (rays);
        0: ``chunk_for`` says it anew.
        """

    def chunk_for(self, camera: Camera) -> int:
        """The ``chunk`` for pictures of such a camera, by the memory that is free; 0 where they are drawn whole."""
        return 0

    def render_pixels(
        self, camera: Camera, pixels: Int[Tensor, "R"], time: float, chunk: int = 0
    ) -> Float[Tensor, "R 3"]:
        """Colours of pixels (row · W + column), differentiable in the camera."""
        return self.render(camera, time, ("rgb",), chunk)["rgb"].flatten(0, 1)[pixels]

    def moving_layer(
        self, camera: Camera, frame: int, side: str, fraction: float, output: str = "rgb", chunk: int = 0
    ) -> MovingLayer:
        """The moving layer of ``frame``, and its displacement for a ``fraction`` of its way to the next (``side`` post)
        or last frame (prev). Only models that are not ``continuous`` need it."""
        raise ValueError(f"models of kind {self.kind} have no moving layers")

    def depth_planes(
        self, camera: Camera, frame: int, rho: float, output: str = "rgb", chunk: int = 0
    ) -> Iterator[DepthPlanes]:
        """Groups of depth planes, front to back, for the time ``frame`` + ``rho``: those of ``frame`` displaced by
        ``rho`` of their way to the next frame, and those of the next by 1 - ``rho`` of their way back."""
        raise ConfigError(
            "render.interpolation", f"is depth_planes, which models of kind {self.kind} do not have", "set layers"
        )

    # --- reading -------------------------------------------------------------------------------------------------
    @abstractmethod
    def points(
        self, time: float, camera: Camera | None = None, threshold: float = 0.5, chunk: int = 0
    ) -> Iterator[Points]:
        """Points of the scene, in pieces; with a ``camera`` those that it sees, with their pixels.

        Points with less opacity than ``threshold``, or that less light reaches, are left out. Raises ValueError without
        a camera where a model has points along rays alone.
        """

    @abstractmethod
    def render_parts(
        self, camera: Camera, time: float, numbering: Numbering, count: int, occluded: bool = True, chunk: int = 0
    ) -> Parts:
        """Draws objects 1 to ``count`` alone: ``numbering`` says which points belong to which.

        ``occluded``: as if nothing were in front of them; otherwise what hides them in the picture still does.
        """

    def splats(self, numbering: Numbering | None = None) -> SplatScene:
        """The scene as Gaussians, for files; ``numbering`` says which belong to which object, and gets what moves with
        the ``time`` of each. Cameras, frame rate and names of objects are left to whoever asks.

        Raises ConfigError where a model of this kind has none.
        """
        raise ConfigError(
            "model.kind",
            f"is {self.kind}, and only scenes of Gaussians have splats",
            "train the scene with model: {kind: gaussians}",
        )

    def without(self, left_out: LeftOut) -> Self:
        """A model of the same parameters that is drawn without the points that ``left_out`` names: what the scene has
        behind them is seen. Raises ConfigError for kinds that cannot."""
        raise ConfigError(
            "render.without", f"is set, and models of kind {self.kind} cannot leave objects out", "remove it"
        )

    # --- files ---------------------------------------------------------------------------------------------------
    @classmethod
    @abstractmethod
    def create(cls, scene: Scene, config: SceneConfig, data: TrainingData) -> Self:
        """A model before training, on the CPU; initial values are drawn from torch's own generator."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """All that ``from_description`` needs, for model.json: values that JSON has."""

    @classmethod
    @abstractmethod
    def from_description(cls, content: dict[str, Any]) -> Self:
        """A model like that whose description is within ``content``, with any parameters."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Writes the model's own files into ``folder`` (model.safetensors); returns the description."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(tensors, folder / "model.safetensors")
        return self.description()

    @classmethod
    def load(cls, folder: Path, content: dict[str, Any]) -> Self:
        """Reads the model's own files; ``content`` is that of model.json. Raises StageError for values that are not
        finite, other errors for what cannot be read."""
        file = folder / "model.safetensors"
        tensors = load_safetensors(file)
        model = cls.from_description(content)
        model.load_state_dict(tensors)
        broken = next((name for name, value in tensors.items() if not bool(value.isfinite().all())), None)
        if broken is not None:
            raise StageError(file, f"{broken} has values that are not finite", "delete the folder and train again")
        return model

    @classmethod
    def import_checkpoint(cls, file: Path, scene: Scene, config: SceneConfig) -> tuple[Self, int]:
        """The model of a published checkpoint, and the steps that it was trained for."""
        raise ConfigError(
            "checkpoint", f"is set, and models of kind {cls.kind} have no published ones", "remove it, or model.kind"
        )

    def export_checkpoint(self, file: Path, steps: int) -> str:
        """Writes the model as a published checkpoint after ``steps`` steps; returns why it cannot be one, or ''."""
        return f"models of kind {self.kind} have no published form"
