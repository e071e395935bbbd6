"""A program for the tests: trains a scene in two processes, and saves what each one saw.

They are forked once everything is imported, and have the variables that torchrun would give them.

Arguments: the scene's folder, the folder to save in, the settings as JSON.
"""

import json
import os
import signal
import socket
import sys
import traceback
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


def fork(rank: int, port: int) -> int:
    """The number of a process of this rank of two; in that process itself, which does its work here, no return."""
    if child := os.fork():
        return child
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", TORCHELASTIC_RUN_ID="fork")
    signal.alarm(170)  # where the other fails, this one would wait for hours
    try:
        main(*sys.argv[1:])
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    children = [fork(rank, number) for rank in range(2)]
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
