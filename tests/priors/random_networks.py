"""Small networks with random weights, pictures for them, and a scene that they can be run on."""

from __future__ import annotations

import numpy as np
import torch

from nsff.files.io import write_image
from nsff.layout import frame_name


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """All parameters and running statistics random, none of them zero or one."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("num_batches_tracked") or not value.is_floating_point():
                continue
            if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                value.uniform_(0.5, 1.5, generator=generator)
            else:
                fan = value[0].numel() if value.ndim > 1 else 9
                value.normal_(0.0 if value.ndim > 1 else 0.1, fan**-0.5, generator=generator)
    return model


def picture(height: int = 64, width: int = 96, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def still_room(tmp_path, layered):
    """A scene of a wall in which nothing moves; ``layered`` is the fixture of that name."""
    scene = layered.make_scene(tmp_path / "scene", layered.make_cameras(4, (0.08, 0, 0)), [layered.Layer(4.0)])
    for i in range(4):
        write_image(scene.motion_dir / frame_name(i), np.zeros((48, 64), np.uint8))
    return scene
