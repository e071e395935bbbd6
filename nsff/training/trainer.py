"""The training loop: seeded steps, schedules, logging, checkpoints, resume, and a clean way out on signals.

Learning rates fall by lr(s) = lr(0) · 0.1^(s / learning_rate_decay_steps), as NSFF's do.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from nsff.config import SceneConfig
from nsff.errors import StageError
from nsff.files.io import write_image
from nsff.models.clock import Clock
from nsff.models.ray_fields.gradient_accumulation import DYNAMIC, WaitingPlanes, ends_wait, steps_between
from nsff.models.ray_fields.model import RayFields
from nsff.models.ray_fields.objective import Objective
from nsff.models.ray_fields.planes import PLANES
from nsff.models.supervision import TrainingData
from nsff.training.checkpoints import CheckpointStore
from nsff.training.distributed import Ranks
from nsff.training.gradients import GradientBuffer
from nsff.training.memory_plan import planned_parts
from nsff.training.micro_batches import Mean, of_part, share
from nsff.training.recording import Outputs, Recorder

INTERRUPTED = 75
"""Exit status after a signal: the state is saved, run again to continue (EX_TEMPFAIL)."""
STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
"""Signals that ask to stop: from a scheduler before its time limit, and from Ctrl-C."""


class Trainer:
    """Optimises a scene model. ``history`` holds (step, name, value) rows of everything logged.

    With ``ranks`` of several processes, all train the same model, each on rays of its own.
    """

    def __init__(
        self,
        model: RayFields,
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
        self.objective = Objective(model, data, config.losses, config.train)
        every = steps_between(config.train, data.n_frames)
        named = dict(model.named_parameters())
        waiting = {name: named.pop(name) for name in list(named) if every > 1 and name.startswith(DYNAMIC)}
        self.optimiser = make_optimiser(named, config)
        self.waiting: WaitingPlanes | None = None
        if waiting:
            self.waiting = WaitingPlanes(make_optimiser(waiting, config))
            self.objective.planes_every = every
        self.base_rates = [float(group["lr"]) for group in self._groups()]
        self.gradients: GradientBuffer | None = None
        self._split(1)
        self.generator = torch.Generator(self.device).manual_seed(self.ranks.seed(config.train.seed, 0))
        self.recorder = Recorder(self.device, self.generator, config.train.cuda_graphs)
        self._chosen: dict[tuple[int, int], torch.Tensor] = {}
        self._ready_for_recording()
        self.ranks.same(model.state_dict().values())
        self.step = 0
        self.seconds = 0.0
        self.history: list[tuple[int, str, float]] = []
        self._stop: int | None = None

    @property
    def clock(self) -> Clock:
        return self.objective.clock

    @property
    def whole(self) -> bool:
        """Whether no gradients wait for a later step's update: only then is the state all there is."""
        return self.waiting is None or self._ends_wait(self.step - 1)

    # --- state ---------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "waiting": {} if self.waiting is None else self.waiting.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "history_steps": [row[0] for row in self.history],
            "history_names": [row[1] for row in self.history],
            "history_values": [row[2] for row in self.history],
        }

    def ended_state(self) -> dict[str, Any]:
        """What of the state a training that has ended needs to write its model once more."""
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
        self.model.load_state_dict(state["model"])
        if "optimiser" in state:
            self.optimiser.load_state_dict(state["optimiser"])
        if self.waiting is not None and "waiting" in state:
            self.waiting.optimiser.load_state_dict(state["waiting"])
        self._ready_for_recording()
        self.ranks.same(self.model.state_dict().values())
        if self.ranks.leader:
            self.generator.set_state(state["generator"].cpu())
        else:
            self.generator.manual_seed(self.ranks.seed(self.config.train.seed, step))
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
            if self.whole and since < self.objective.planes_every and self.step < train.steps:
                self._save()

    def _save(self) -> None:
        if self.ranks.leader:
            self.store.save(self.step, self.state())

    def say(self, text: str) -> None:
        """Prints a line, once for all processes."""
        if self.ranks.leader:
            print(text, flush=True)

    def _told_to_stop(self) -> int:
        """The signal that came, or 0: the same answer in all processes, which signals reach at different steps."""
        if self.step % self.ranks.agree_every or not self.whole:
            return 0
        stop = self.ranks.largest_number(self._stop or 0)
        self._stop = stop or self._stop
        return stop

    def one_step(self, log: bool = False) -> dict[str, float] | None:
        """One optimisation step; returns all terms as numbers if asked (which waits for the device)."""
        train, losses = self.config.train, self.config.losses
        self._schedule()
        mining = train.motion_rays > 0 and (train.motion_rays_always or self.step < losses.decay_steps)
        with self.clock("batch"):
            chosen, main = self.data.choose(train, mining, self.generator, self.step, self.ranks.rank)
        done = self._on_device(chosen, main, mining)
        # Looked at only where the device is waited for anyway, or often enough that a broken run cannot go far.
        if log or self.step % 50 == 0:
            self._ensure_finite(done["terms"], done["total"])
        self.step += 1
        if not log:
            return None
        monitors = done["monitors"]
        numbers = {f"loss/{name}": float(value) for name, value in done["terms"].items()}
        numbers |= {"loss/total": float(done["total"]), "dynamic_weight": float(monitors.get("dynamic_weight", 0.0))}
        numbers["psnr"] = -10 * math.log10(max(float(monitors["mse"]), 1e-10))
        return numbers

    def _ends_wait(self, step: int) -> bool:
        """Whether this step updates the planes that wait."""
        return self.waiting is not None and ends_wait(step, self.objective.planes_every)

    def _on_device(self, index: torch.Tensor, main: int, mining: bool) -> dict[str, Any]:
        """What a step does on the device, from recordings where steps are recorded."""
        step, stage = self.step, (self.objective.stage(self.step), mining)
        if self.parts == self.ranks.count == 1:
            return self._run(stage, index, main, step, self._work)
        assert self.gradients is not None
        self.gradients.clear()
        mean = Mean(self.parts)
        for number in range(self.parts):
            mean.add(self._run(stage, *share(index, main, self.parts, number), step, self.backward))
        self.gradients.flat.div_(self.parts)
        # Between two recordings: processes may have batches of different sizes, and record at different steps.
        with self.clock("averaging"):
            self.ranks.average(self.gradients.flat)
            if self.waiting is not None and self._ends_wait(step):
                self.ranks.average(self.waiting.gradients.flat)
        self.recorder.run(stage, ("update", self._ends_wait(step)), lambda: self._update(step))
        return mean.outputs()

    def _run(self, stage: Any, index: torch.Tensor, main: int, step: int, work: Callable[..., Outputs]) -> Outputs:
        # In place, for a recording.
        place = self._chosen.setdefault((len(index), main), torch.empty_like(index)).copy_(index)
        key = (len(index), main, step % 2, self._ends_wait(step))
        return self.recorder.run(stage, key, lambda: work(place, main, step))

    def fit_into_memory(self) -> None:
        """Batches in as many parts as the memory asks for that this process may take (nsff.training.memory_plan)."""
        self._split(planned_parts(self))

    def _split(self, parts: int) -> None:
        """From now on batches are trained in so many parts (nsff.training.micro_batches)."""
        self.parts = parts
        self.objective.train = of_part(self.config.train, parts)
        # Planes are read several times a step: their gradients are added up in place.
        in_place = self.device.type == "cuda" and any(PLANES in name for name, _ in self.model.named_parameters())
        if self.gradients is None and (in_place or parts > 1 or self.ranks.count > 1):
            self.gradients = GradientBuffer.of(self.optimiser)

    def clear_gradients(self, waiting: bool = True) -> None:
        """Of all parameters; without ``waiting`` of those that every step updates."""
        if waiting and self.waiting is not None:
            self.waiting.gradients.clear()
        if self.gradients is None:
            self.optimiser.zero_grad(set_to_none=True)
        else:
            self.gradients.clear()

    def _work(self, index: torch.Tensor, main: int, step: int) -> dict[str, Any]:
        """A step of one process: terms of the batch, gradients, new parameters."""
        self.clear_gradients(waiting=False)
        done = self.backward(index, main, step)
        self._update(step)
        return done

    def _update(self, step: int) -> dict[str, Any]:
        with self.clock("optimiser"):
            self.optimiser.step()
            if self.waiting is not None and self._ends_wait(step):
                self.waiting.update()
        return {}

    def backward(self, index: torch.Tensor, main: int, step: int) -> dict[str, Any]:
        """Terms of the batch, and their gradients, added to those that are there."""
        with self.clock("batch"):
            batch = self.data.gather(index, main)
        with self.clock("forward"):
            terms, monitors = self.objective(batch, step, self.generator)
            total = torch.stack(list(terms.values())).sum()
        # On the CPU always before the backward pass: that of grid_sample crashes on coordinates that are NaN.
        if self.device.type == "cpu":
            self._ensure_finite(terms, total)
        with self.clock("backward"):
            total.backward()
        return {
            "terms": {name: value.detach() for name, value in terms.items()},
            "monitors": monitors,
            "total": total.detach(),
        }

    def _groups(self) -> list[dict[str, Any]]:
        """Of both optimisers."""
        return self.optimiser.param_groups + ([] if self.waiting is None else self.waiting.optimiser.param_groups)

    def _schedule(self) -> None:
        """Learning rates, and what fades, of this step."""
        train = self.config.train
        rate = 0.1 ** (self.step / train.learning_rate_decay_steps)
        for group, base in zip(self._groups(), self.base_rates, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(base * rate)
            else:
                group["lr"] = base * rate
        if self.objective.progress is not None:
            self.objective.progress.fill_(self.step / train.steps)

    def _ready_for_recording(self) -> None:
        """Numbers that change from step to step live on the device where steps are recorded."""
        if not self.recorder.enabled:
            return
        for group in self._groups():
            group["lr"] = torch.as_tensor(float(group["lr"]), dtype=torch.float32, device=self.device)
            group["capturable"] = True
        self.objective.progress = torch.zeros((), device=self.device)

    def _ensure_finite(self, terms: dict[str, torch.Tensor], total: torch.Tensor) -> None:
        """Raises StageError, in all processes, where the loss of one is not finite."""
        wrong = self.ranks.largest((~torch.isfinite(torch.stack([*terms.values(), total]).detach())).int()).tolist()
        if not any(wrong):
            return
        broken = [name for name, is_wrong in zip(terms, wrong, strict=False) if is_wrong]
        raise StageError(
            "train",
            f"the loss is not finite at step {self.step} (terms: {', '.join(broken) or 'their sum'})",
            "look for NaN in depth, flow or features; lower train.learning_rate and train.plane_learning_rate. "
            "The last good checkpoint is kept.",
        )

    def _log(self, numbers: dict[str, float], writer: Any) -> None:
        for name, value in numbers.items():
            self.history.append((self.step, name, value))
            if writer is not None:
                writer.add_scalar(name, value, self.step)

    @torch.no_grad()
    def _preview(self, writer: Any, rays: int = 4096) -> None:
        """The middle frame as rendered now beside the image itself: previews/{step}.png in the state folder, and
        TensorBoard."""
        data, parts, chunk = self.data, [], -(-rays // self.parts)
        frame, area = data.n_frames // 2, data.height * data.width
        for start in range(0, area, chunk):
            index = frame * area + torch.arange(start, min(start + chunk, area), device=self.device)
            samples = self.model.sample(data.gather(index, len(index)).rays, None)
            parts.append(self.model.composited(self.model.evaluate(samples), "rgb"))
        picture = torch.cat(parts).reshape(data.height, data.width, 3).clamp(0, 1)
        both = (torch.cat([255 * picture, data.images[frame].float()], 1)).round().byte().cpu().numpy()
        write_image(self.store.folder / "previews" / f"{self.step:09d}.png", both)
        if writer is not None:
            writer.add_image("preview", both, self.step, dataformats="HWC")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._stop == signal.SIGINT:
            raise KeyboardInterrupt  # Ctrl-C a second time: at once, without saving
        self._stop = number


def make_optimiser(parameters: dict[str, nn.Parameter], config: SceneConfig) -> torch.optim.Adam:
    """Adam of named parameters; feature planes have a learning rate of their own."""
    planes = [p for name, p in parameters.items() if PLANES in name]
    others = [p for name, p in parameters.items() if PLANES not in name]
    groups = [{"params": others, "lr": config.train.learning_rate}] if others else []
    if planes:
        groups.append({"params": planes, "lr": config.train.plane_learning_rate})
    return torch.optim.Adam(groups, betas=(0.9, 0.999), eps=1e-8 if not planes else 1e-15, fused=True)


def _tensorboard(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def seed_everything(seed: int) -> None:
    """Seeds the initial weights; training itself draws from the trainer's own generator."""
    torch.manual_seed(seed)
