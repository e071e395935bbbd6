"""The training loop: seeded steps, the schedule, logging, checkpoints, resuming, and a clean way out on signals.

Learning rates fall by lr(s) = lr(0) · 0.1^(s / learning_rate_decay_steps), as NSFF's do. How a step is carried out:
nsff.training.execution.
"""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tqdm import tqdm

from nsff.config import SceneConfig
from nsff.files.io import write_image
from nsff.models.base import Camera, SceneModel
from nsff.models.supervision import TrainingData
from nsff.training.checkpoints import CheckpointStore
from nsff.training.distributed import Ranks
from nsff.training.execution import Execution
from nsff.training.memory_plan import planned_micro_batches

INTERRUPTED = 75
"""Exit status after a signal: the state is saved, run again to continue (EX_TEMPFAIL)."""
STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
"""Signals that ask to stop: from a scheduler before its time limit, and from Ctrl-C."""


class Trainer:
    """Optimises a scene model. ``history`` holds (step, name, value) rows of everything logged.

    With ``ranks`` of several processes, all train the same model, each on batches of its own.
    """

    def __init__(
        self,
        model: SceneModel,
        data: TrainingData,
        config: SceneConfig,
        store: CheckpointStore,
        ranks: Ranks | None = None,
    ) -> None:
        self.model, self.data, self.config, self.store = model, data, config, store
        self.ranks = ranks or Ranks()
        self.device = data.device
        torch.set_float32_matmul_precision("highest" if config.train.precision == "fp32" else "high")
        model.reduced_precision = config.train.precision == "bf16" and self.device.type == "cuda"
        model.start_training(data, config)
        self.execution = Execution(model, self.device, config.train, self.ranks)
        self.step = 0
        self.seconds = 0.0
        self.history: list[tuple[int, str, float]] = []
        self._stop: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether no gradients wait for a later step's update: only then is the state all there is."""
        return self.execution.is_complete(self.step - 1)

    # --- state ---------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """All that training goes on from: tensors and plain values."""
        execution = self.execution
        return {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimiser": execution.optimiser.state_dict(),
            "waiting": {} if execution.delayed is None else execution.delayed.optimiser.state_dict(),
            "generator": execution.generator.get_state(),
            "history_steps": [row[0] for row in self.history],
            "history_names": [row[1] for row in self.history],
            "history_values": [row[2] for row in self.history],
        }

    def ended_state(self) -> dict[str, Any]:
        """The part of the state that a training that has ended needs to write its model once more."""
        return {key: value for key, value in self.state().items() if key not in ("optimiser", "waiting")}

    def resume(self) -> bool:
        """Continues from the newest checkpoint, if there is one; all processes from the one that the first reads.

        A training that has ended needs no optimiser (``ended_state``).
        """
        state = self.store.latest(self.device) if self.ranks.leader else None
        step = self.ranks.largest_number(-1 if state is None else state["step"])
        if step < 0:
            return False
        state = state or self.store.at(step, self.device)
        execution = self.execution
        self.model.load_state_dict(state["model"])
        if "optimiser" in state:
            execution.optimiser.load_state_dict(state["optimiser"])
        if execution.delayed is not None and "waiting" in state:
            execution.delayed.optimiser.load_state_dict(state["waiting"])
        execution.prepare_recording()
        self.ranks.same(self.model.state_dict().values())
        if self.ranks.leader:
            execution.generator.set_state(state["generator"].cpu())
        else:
            execution.generator.manual_seed(self.ranks.seed(self.config.train.seed, step))
        self.step, self.seconds = state["step"], state["seconds"]
        self.history = list(zip(state["history_steps"], state["history_names"], state["history_values"], strict=True))
        return True

    # --- the loop ------------------------------------------------------------------------------------------------
    def run(self, log_folder: Path | None = None) -> None:
        """Trains to the configured number of steps; raises SystemExit(75) after saving when a signal asks to stop."""
        train = self.config.train
        resumed = self.resume()
        self.fit_into_memory()
        together = f", {self.ranks.count} processes together" if self.ranks.count > 1 else ""
        word = "resuming" if resumed else "starting"
        self.say(f"{word} at step {self.step} of {train.steps} on {self.device}{together}")
        writer = _tensorboard(log_folder) if train.tensorboard and log_folder and self.ranks.leader else None
        previous = {s: signal.signal(s, self._on_signal) for s in STOPPING}
        try:
            with tqdm(
                total=train.steps,
                initial=self.step,
                desc="train",
                unit="step",
                smoothing=0.02,
                mininterval=2,
                disable=not self.ranks.leader,
            ) as bar:
                self._loop(bar, writer)
        finally:
            for number, handler in previous.items():
                # The first of several processes to leave makes torchrun send signals to those that are leaving too.
                leaving = self._stop is not None and self.ranks.count > 1
                signal.signal(number, signal.SIG_IGN if leaving else handler)
            if writer is not None:
                writer.close()

    def _loop(self, bar: tqdm, writer: Any) -> None:
        train = self.config.train
        started = time.monotonic() - self.seconds
        while self.step < train.steps:
            monitors = self.one_step(log=(self.step + 1) % train.log_every == 0 or self.step + 1 == train.steps)
            self.seconds = time.monotonic() - started
            bar.update()
            if monitors:
                bar.set_postfix(psnr=f"{monitors['psnr']:.2f}")
                self._log(monitors, writer)
            if train.preview_every and self.step % train.preview_every == 0 and self.ranks.leader:
                self._preview(writer)
            if stop := self._told_to_stop():
                self._save()
                self.say(f"signal {stop}: state saved at step {self.step}; run the same command to continue")
                # torchrun ends all when one leaves: not before the state is saved.
                self.ranks.wait()
                raise SystemExit(INTERRUPTED)
            since = self.step % train.checkpoint_every
            if self.is_complete and since < self.execution.update_every and self.step < train.steps:
                self._save()

    def one_step(self, log: bool = False) -> dict[str, float] | None:
        """One optimisation step; returns all terms as numbers if asked (which waits for the device)."""
        self._schedule()
        done = self.execution.run(self.step)
        # Looked at only where the device is waited for anyway, or often enough that a broken run cannot go far.
        if log or self.step % 50 == 0:
            self.execution.ensure_finite(done["terms"], done["total"], self.step)
        self.step += 1
        if not log:
            return None
        monitors = done["monitors"]
        numbers = {f"loss/{name}": float(value) for name, value in done["terms"].items()}
        numbers |= {"loss/total": float(done["total"]), "dynamic_weight": float(monitors.get("dynamic_weight", 0.0))}
        numbers["psnr"] = -10 * math.log10(max(float(monitors["mse"]), 1e-10))
        return numbers

    def _schedule(self) -> None:
        """Sets the learning rates of this step."""
        self.execution.scale_rates(0.1 ** (self.step / self.config.train.learning_rate_decay_steps))

    def fit_into_memory(self) -> None:
        """Splits batches into as many micro-batches as the memory that this process may take asks for."""
        count, line = planned_micro_batches(self.execution, self.config.train, self.data)
        if line:
            self.say(line)
        self.execution.split(count)

    # --- saving and logging --------------------------------------------------------------------------------------
    def _save(self) -> None:
        if self.ranks.leader:
            self.store.save(self.step, self.state())

    def say(self, text: str) -> None:
        """Prints a line, once for all processes."""
        if self.ranks.leader:
            print(text, flush=True)

    def _told_to_stop(self) -> int:
        """The signal that came, or 0: the same answer in all processes, which signals reach at different steps."""
        if self.step % self.ranks.agree_every or not self.is_complete:
            return 0
        stop = self.ranks.largest_number(self._stop or 0)
        self._stop = stop or self._stop
        return stop

    def _log(self, numbers: dict[str, float], writer: Any) -> None:
        for name, value in numbers.items():
            self.history.append((self.step, name, value))
            if writer is not None:
                writer.add_scalar(name, value, self.step)

    @torch.no_grad()
    def _preview(self, writer: Any, rays: int = 4096) -> None:
        """The middle frame as rendered now beside the image itself: previews/{step}.png in the state folder, and
        TensorBoard."""
        data, frame = self.data, self.data.n_frames // 2
        camera = Camera(data.intrinsics[frame], data.world_to_camera[frame], data.height, data.width)
        drawn = self.model.render(camera, float(frame), ("rgb",), -(-rays // self.execution.micro_batches))
        picture = drawn["rgb"].clamp(0, 1).cpu()
        both = (torch.cat([255 * picture, data.images[frame].cpu().float()], 1)).round().byte().numpy()
        write_image(self.store.folder / "previews" / f"{self.step:09d}.png", both)
        if writer is not None:
            writer.add_image("preview", both, self.step, dataformats="HWC")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._stop == signal.SIGINT:
            raise KeyboardInterrupt  # Ctrl-C a second time: at once, without saving
        self._stop = number


def _tensorboard(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def seed_everything(seed: int) -> None:
    """Seeds the initial weights; training itself draws from a generator of its own (Execution.generator)."""
    torch.manual_seed(seed)
