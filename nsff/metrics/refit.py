"""A score without truth: protocol refit. A short second training, of Gaussians at a reduced size on the CPU, leaves
frames out; they are then drawn at their own cameras and compared with what was filmed.

No colour of the frames left out reaches that training, which finds them grey. Cameras, depth, flow and motion masks
were computed from all frames, as with protocol self. So the score tells whether these fit each other and the clip:
whether what one frame saw is found again where the next one looks. It says nothing of views that no camera filmed, nor
of the scene's own model, which is drawn at the same frames for comparison (variant ``trained``; it has seen them).

Notation. N frames; every k-th is left out, frames k - 1, 2k - 1, …
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from nsff.config import SceneConfig
from nsff.config.model import ModelConfig, TrainConfig
from nsff.metrics.baselines import carried_by_homography
from nsff.metrics.canonical_truth import resize_image
from nsff.metrics.images import ImageResult, score_images
from nsff.metrics.measure import image_scores, to_8bit
from nsff.metrics.protocols import REFIT, held_out_frames
from nsff.metrics.reduced import ReducedScene
from nsff.metrics.refit_signs import carried_by_flow, mask_numbers
from nsff.metrics.table import Record
from nsff.metrics.targets import Target, self_targets
from nsff.models.base import SceneModel
from nsff.models.supervision import TrainingData
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene
from nsff.training.distributed import Ranks
from nsff.training.execution import Execution
from nsff.training.run import build_model

ROWS = 90
"""Height of the pictures of the second training."""
USUAL_FRAMES = 24
"""Frames that score.refit_steps is meant for: longer clips get more steps, in proportion."""
MOST_APART = 8
"""Every so-manieth frame is left out, where the clip is long enough."""


def left_out_every(n_frames: int) -> int:
    """k: as large as leaves out three frames at least, or two or one of a short clip, but never the last one, behind
    which there is no other. 0 where there is no such k.

    >>> [left_out_every(n) for n in (2, 3, 7, 12, 24, 100)]
    [0, 2, 2, 5, 7, 8]
    """
    for least in (3, 2, 1):
        for every in range(MOST_APART, 1, -1):
            if n_frames // every >= least and n_frames % every:
                return every
    return 0


def refit_settings(config: SceneConfig, n_frames: int) -> SceneConfig:
    """Settings of the second training: Gaussians, with the scene's own options where its model is of that kind."""
    steps = max(1, round(config.score.refit_steps * max(1.0, n_frames / USUAL_FRAMES)))
    own = config.model.options if config.model.kind == "gaussians" else {}
    train = TrainConfig(
        device="cpu", steps=steps, learning_rate_decay_steps=steps, hold_out=left_out_every(n_frames), tensorboard=False
    )
    field = config.field.model_copy(update={"features": False, "saliency": False})
    changed = {"model": ModelConfig(kind="gaussians", options=own), "field": field, "train": train}
    return config.model_copy(update=changed)


def train_again(scene: Scene, settings: SceneConfig) -> SceneModel:
    """The model of a training that is kept in memory alone."""
    device, train = torch.device("cpu"), settings.train
    data = TrainingData(scene, settings.field, train, 0.5, device)
    model = build_model(scene, settings, data)
    model.start_training(data, settings)
    execution = Execution(model, device, train, Ranks())
    for step in tqdm(range(train.steps), desc="refit", unit="step", mininterval=2):
        execution.scale_rates(0.1 ** (step / train.learning_rate_decay_steps))
        done = execution.run(step)
    execution.ensure_finite(done["terms"], done["total"], train.steps)
    return model


def carried_records(small: Scene, targets: Sequence[Target]) -> list[Record]:
    """Scores of the frame before each one left out, brought over by a homography (variant ``plane``), and by flow
    (variant ``flow``), which was computed from the frame left out as well."""
    records = []
    for target in targets:
        i, truth = target.index, target.image()
        assert truth is not None
        flow, consistent = small.flow(i, "bwd")
        before = small.image(i - 1)
        plane = carried_by_homography(before, flow, consistent & ~small.motion_mask(i))
        records += _records("plane", target, plane, truth)
        records += _records("flow", target, carried_by_flow(before, flow), truth)
    return records


def _records(variant: str, target: Target, shown: np.ndarray, truth: np.ndarray) -> list[Record]:
    found = image_scores(shown, truth, {"full": None, REFIT.region: target.dynamic()}, REFIT.reference)
    return [
        Record(REFIT.name, variant, target.index, target.split, target.time, region, metric, value)
        for region, scores in found.items()
        for metric, value in scores.items()
    ]


def score_refit(scene: Scene, config: SceneConfig, renderer: Any, folder: Path) -> tuple[ImageResult, dict[str, Any]]:
    """Scores of the frames left out, and numbers for the summary; pictures go into ``folder``.

    ``renderer`` draws the scene's own model, at the scene's own size.
    """
    small, settings = ReducedScene(scene.root, ROWS), refit_settings(config, scene.n_frames)
    held = frozenset(held_out_frames(scene.n_frames, settings.train.hold_out))
    model = train_again(ReducedScene(scene.root, ROWS, held), settings)
    targets = self_targets(small, settings).views
    result = score_images(small, settings, REFIT, targets, Renderer(model), folder, None)
    cameras = scene.cameras
    for target in targets:
        i, (height, width) = target.index, scene.size
        picture = renderer.render(
            cameras.intrinsics[i], cameras.world_to_camera[i], height, width, target.time, ("rgb",)
        )
        shown, truth = resize_image(to_8bit(picture["rgb"]), small.size), target.image()
        assert truth is not None
        result.records += _records("trained", target, shown, truth)
    result.records += carried_records(small, targets)
    # The published codes have no such score, so no ways of their own to measure it.
    result.records = [record for record in result.records if not record.metric.endswith("_reference")]
    numbers = {"views": len(targets), "steps": settings.train.steps, "rows": small.size[0]}
    return result, numbers | mask_numbers(small, [target.index for target in targets])
