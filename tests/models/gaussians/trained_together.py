"""A program for the tests, which torchrun starts in several processes: trains a scene of Gaussians through growth.

Arguments: the scene's folder, the folder to save each rank's parameters in, the settings as JSON.
"""

import json
import sys
from pathlib import Path

import torch

from nsff.config import resolve_scene
from nsff.models.supervision import TrainingData
from nsff.scene import Scene
from nsff.training.checkpoints import CheckpointStore
from nsff.training.distributed import joined
from nsff.training.run import build_model
from nsff.training.trainer import Trainer


def main(scene_folder, out, settings):
    torch.set_num_threads(1)
    scene, config = Scene(Path(scene_folder)), resolve_scene("tiny", json.loads(settings), "gaussians", {})
    with joined(config.train, torch.device("cpu")) as (ranks, device):
        data = TrainingData(scene, config.field, config.train, 0.5, device)
        model = build_model(scene, config, data)
        begun = len(model.static) + len(model.moving)
        trainer = Trainer(model, data, config, CheckpointStore(Path(out) / f"state{ranks.rank}", "x"), ranks)
        frames = []
        for step in range(config.train.steps):
            frames.append(int(model.sample_batch(step, trainer.execution.generator, ranks.rank).index[0]))
            trainer.one_step()
        end = torch.cat([p.detach().flatten() for p in model.parameters()])
        saw = {"end": end, "frames": frames, "begun": begun, "grown": len(model.static) + len(model.moving)}
        torch.save(saw, Path(out) / f"{ranks.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
