"""Training state on disk: atomic checkpoints, the last two kept, tied to a fingerprint of inputs and configuration.

The state directory is not an output of the workflow, so that a failed or killed job finds it again
(docs/architecture.md).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from nsff.config import ModelConfig, SceneConfig
from nsff.errors import StageError
from nsff.files.io import atomic_path, write_text
from nsff.files.reading import reading
from nsff.scene import Scene
from nsff.weights.tensors import load_torch

SECTIONS = ("field", "sampling", "losses", "train")
# Settings that do not change what is learned: a run may continue with other values of these.
HARMLESS = {
    "device",
    "memory_gb",
    "cuda_graphs",
    "checkpoint_every",
    "log_every",
    "preview_every",
    "tensorboard",
    "keep_state",
}


def fingerprint(scene: Scene, config: SceneConfig) -> str:
    """A hash of every input file's content and of the sections that training depends on."""
    digest = hashlib.sha256()
    for section in SECTIONS:
        values = {k: v for k, v in getattr(config, section).model_dump().items() if k not in HARMLESS}
        digest.update(json.dumps(values, sort_keys=True).encode())
    if config.model != ModelConfig():
        digest.update(config.model.model_dump_json().encode())
    files = [scene.cameras_path]
    for folder in (scene.images_dir, scene.flow_dir, scene.motion_dir, scene.depth_dir, scene.features_dir):
        files += sorted(path for path in folder.glob("*.*") if path.is_file() and not path.name.startswith("."))
    for path in files:
        if path.suffix in (".png", ".npz", ".npy", ".json"):
            digest.update(path.name.encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


class CheckpointStore:
    """Checkpoints of one training run in ``folder``; state of another fingerprint is thrown away on opening."""

    def __init__(self, folder: Path, print_: str, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        mark = folder / "fingerprint.txt"
        if mark.is_file() and mark.read_bytes().strip() == print_.encode():
            return
        if folder.exists():
            # A link stays, and the folder that it leads to is emptied.
            shutil.rmtree(folder.resolve())
            folder.resolve().mkdir()
        write_text(mark, print_ + "\n")

    def save(self, step: int, state: dict[str, Any]) -> Path:
        path = self._path(step)
        with atomic_path(path) as temporary:
            torch.save(state, temporary)
        for old in self.paths()[: -self.keep]:
            old.unlink()
        return path

    def finish(self, step: int, state: dict[str, Any]) -> None:
        """Keeps ``state`` alone, of a training that has ended: what is needed to write its model once more.

        Where there is no room for it on the disk, all stays as it is.
        """
        try:
            path = self.save(step, state)
        except StageError as error:
            print(f"checkpoints are kept as they are: {error}")
            return
        for old in self.paths():
            if old != path:
                old.unlink()

    def _path(self, step: int) -> Path:
        return self.folder / f"step_{step:09d}.pt"

    def paths(self) -> list[Path]:
        """Existing checkpoints, oldest first."""
        return sorted(self.folder.glob("step_*.pt"))

    def at(self, step: int, device: torch.device) -> dict[str, Any]:
        """The state that was saved at a step."""
        path = self._path(step)
        with reading(path, f"delete the folder {self.folder} and train again"):
            return load_torch(path, device)

    def latest(self, device: torch.device) -> dict[str, Any] | None:
        """The newest readable state, or None. A damaged file is passed over with a note."""
        for path in reversed(self.paths()):
            try:
                with reading(path):
                    return load_torch(path, device)
            except StageError as error:
                print(f"checkpoint {path} is {error.problem}; using an older one")
                path.unlink()
        return None
