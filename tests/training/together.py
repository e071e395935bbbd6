"""A program for the tests, which torchrun starts in several processes: trains a scene, and saves what each one saw.

Arguments: the scene's folder, the folder to save in, the settings as JSON.
"""

import json
import sys
from pathlib import Path

import torch

from nsff.config import resolve_scene
from nsff.errors import StageError
from nsff.models.supervision import TrainingData
from nsff.scene import Scene
from nsff.training.checkpoints import CheckpointStore
from nsff.training.distributed import joined
from nsff.training.run import build_model
from nsff.training.trainer import Trainer


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def poisoned(objective):
    def wrong(batch, step, generator):
        terms, monitors = objective(batch, step, generator)
        return {**terms, "flow": terms["flow"] * float("nan")}, monitors

    for name in ("stage", "clock", "progress", "planes_every", "train"):
        setattr(wrong, name, getattr(objective, name))
    return wrong


def main(scene_folder, out, settings):
    torch.set_num_threads(1)
    scene, config = Scene(Path(scene_folder)), resolve_scene("tiny", json.loads(settings), "demo_planes", {})
    with joined(config.train, torch.device("cpu")) as (ranks, device):
        data = TrainingData(scene, config.field, config.train, 0.5, device)
        model = build_model(scene, config, data)
        with torch.no_grad():  # as a faulty start would leave them: different everywhere
            for parameter in model.parameters():
                parameter.add_(0.01 * ranks.rank)
        trainer = Trainer(model, data, config, CheckpointStore(Path(out) / f"state{ranks.rank}", "x"), ranks)
        saw = {"start": weights(model)}
        execution = trainer.execution
        before = execution.generator.get_state()
        batch = model.sample_batch(0, execution.generator, ranks.rank)
        execution.backward(batch, 0)
        saw |= {"index": batch.index, "own": execution.gradients.flat.clone()}
        ranks.average(execution.gradients.flat)
        saw["averaged"] = execution.gradients.flat.clone()
        execution.generator.set_state(before)
        saw["losses"] = torch.tensor([trainer.one_step(log=True)["loss/total"] for _ in range(4)])
        saw["end"] = weights(model)
        if ranks.rank == 1:
            model.learning.objective = poisoned(model.learning.objective)
        try:
            trainer.one_step()
        except StageError as error:
            saw["error"] = str(error)
        torch.save(saw, Path(out) / f"{ranks.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
