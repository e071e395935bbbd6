"""One clip from the file to the report: what ``nsff run`` and ``nsff init`` do, and what they tell."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from nsff.config import SceneConfig, load_config
from nsff.config.project import SCENE_NAME
from nsff.errors import ConfigError, InputError
from nsff.machine.overview import Machine, this_machine
from nsff.workflow.choices import (
    Asked,
    Choice,
    choose,
    existing_config,
    most_frames,
    same_file,
    scene_name,
    write_config,
)
from nsff.workflow.clip import NO_PARALLAX, STANDS_STILL, ClipLook, look_at
from nsff.workflow.costs import Costs, costs_of, duration, slow_notes
from nsff.workflow.quiet_run import QuietRun, Teller, ask, command, free_folder
from nsff.workflow.target_names import checked_targets, stages_for

ALL = "report.html"
"""The target that is made unless another is asked for."""


class SingleScene:
    """A clip, what was asked for, and the folder in which the workflow is started."""

    def __init__(self, video: Path, asked: Asked, folder: Path, told: str, machine: Machine | None = None) -> None:
        """``told``: the command line, for the head of the configuration. Raises InputError where there is no clip."""
        self.video, self.asked, self.folder, self.told = video.expanduser(), asked, folder, told
        if not self.video.exists():
            if re.match("[a-z]{2,}:/", str(video)):  # a path has one stroke where an address has two
                raise InputError(video, "is a web address", "download the video, and give its file")
            raise InputError(video, "no such file or folder", "name a video, or a folder of images")
        self.name = asked.name or scene_name(self.video)
        if not SCENE_NAME.fullmatch(self.name):
            raise InputError(f"--name {self.name}", "is no name for a scene", "use letters, digits, _ and -")
        self._machine = machine
        self.teller = Teller(sys.stdout, sys.stdout.isatty())

    @cached_property
    def machine(self) -> Machine:
        return self._machine or this_machine(self.folder)

    @property
    def config(self) -> Path:
        return Path(f"{self.name}.yaml")

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.name

    def run(
        self,
        targets: Sequence[str],
        snakemake: Sequence[str],
        cores: int | None,
        config_only: bool,
        dry_run: bool,
        question: bool,
        launch: Callable[[QuietRun, list[str]], int] = lambda run, arguments: run(arguments),
    ) -> int:
        """Does it all; returns the exit status. ``launch`` starts the run (tests give another)."""
        say = self.teller.line
        say(f"machine  {self.machine}")
        settings = self.existing()
        if settings is None:
            settings = self._new(dry_run)
            frames, size = self.look.frames, self.look.size
        else:
            say(f"config   {self.config}, which is there already: it is followed as it is")
            frames, size = self._known_size(settings)
        targets = checked_targets(settings, self.name, targets) or [ALL]
        stages = stages_for(settings, targets)
        costs = costs_of(
            settings, frames, size, bool(self.machine.gpus), cores or self.machine.cores, self._raft(settings)
        )
        self._tell_costs(settings, costs, stages, frames)
        if config_only:
            say(f"go on    nsff run {shlex.quote(str(self.video))}" + self._named)
            return 0
        wanted = [f"results/{self.name}/{target}" for target in targets]
        arguments = command(self.folder, self.config, wanted, cores or self.machine.cores, snakemake)
        if dry_run:
            say(f"stages   {', '.join(stages)}")
            say(f"runs     {shlex.join(['snakemake', *arguments[3:]])}")
            return 0
        if question and not ask("Go on?"):
            say(f"nothing was run; {self.config} is kept")
            return 0
        for line in free_folder(self.folder):
            say(line)
        quiet = QuietRun(self.folder, self.name, stages, costs, self.teller)
        return self._ended(quiet, launch(quiet, arguments), targets, arguments)

    # --- the configuration -------------------------------------------------------------------------------------------
    def existing(self) -> SceneConfig | None:
        """Settings of an earlier run, where the options do not ask for a new look. Raises ConfigError."""
        settings = existing_config(self.folder / self.config, self.name, self.video, self.folder)
        self._check_results()
        return None if settings is None or self.asked.given else settings

    def _check_results(self) -> None:
        """Results of another clip under this name are left alone."""
        try:
            made_of = json.loads((self.results / "manifest.json").read_bytes())["source"]["path"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        if not same_file(self.folder / made_of, self.video):
            raise ConfigError(
                self.results, f"holds the scene of another clip, {made_of}", "choose another name with --name"
            )

    @cached_property
    def look(self) -> ClipLook:
        return look_at(
            self.video, most_frames(self.machine, self.asked), self.asked.start or 0, self.asked.end, self.teller.below
        )

    def _new(self, dry_run: bool) -> SceneConfig:
        choice = self.choice
        self.teller.line(f"clip     {self.look.described()}")
        for reason in choice.reasons:
            self.teller.line(f"chosen   {reason}")
        for text in [*self.look.complaints, *self._on_motion()]:
            self.teller.line(f"mind     {text}")
        if dry_run:
            return load_config(choice.content, self.folder)[self.name]
        written = write_config(self.folder / self.config, choice, self.told)
        self.teller.line(f"config   {self.config}" + ("" if written else ", which is there already and is followed"))
        return load_config(self.folder / self.config, self.folder)[self.name]

    @cached_property
    def choice(self) -> Choice:
        return choose(self.look, self.name, self.machine, self.asked, self.folder)

    def _on_motion(self) -> list[str]:
        look = self.look
        walk = "walk around the scene; if something moves, masks and objects can be had without depth"
        if look.shift is not None and look.shift < STANDS_STILL:
            return [f"the camera seems to stand still: {walk}, by sfm: {{still: accept}} in {self.config}"]
        if look.parallax is not None and look.parallax < NO_PARALLAX:
            return [f"the camera seems to turn without moving: {walk}"]
        return []

    # --- what it costs -----------------------------------------------------------------------------------------------
    def _known_size(self, settings: SceneConfig) -> tuple[int, tuple[int, int]]:
        """Frames and (height, width) of the source: of its manifest, or else of a new look."""
        try:
            manifest = json.loads((self.results / "manifest.json").read_bytes())
            return int(manifest["n_frames"]), (int(manifest["height"]), int(manifest["width"]))
        except (OSError, ValueError, KeyError, TypeError):
            return self._counted(settings)

    def _counted(self, settings: SceneConfig) -> tuple[int, tuple[int, int]]:
        from nsff.datasets.registry import open_source

        source = open_source(self.video, settings.input.kind)
        first = next(source.frames(settings.input.start, None, 1))
        end = settings.input.end or source.count or max(source.about, default=settings.input.start + 48)
        height, width = first.image.shape[:2]
        return max(2, -(-(end - settings.input.start) // settings.input.stride)), (height, width)

    def _raft(self, settings: SceneConfig) -> bool:
        from nsff.priors.registries import weight_files

        return bool(weight_files("flow", settings))

    def _tell_costs(self, settings: SceneConfig, costs: Costs, stages: Sequence[str], frames: int) -> None:
        say = self.teller.line
        text = f"cost     about {duration(costs.total(stages))}, {costs.memory:.1f} GB of memory"
        text += f", {costs.gpu_memory:.1f} GB on the GPU" if costs.gpu_memory else ""
        say(f"{text}, {costs.disk:.1f} GB of disk for {frames} frames")
        for note in slow_notes({self.name: settings}, bool(self.machine.gpus), self.machine.cores, frames):
            say(f"mind     {note}")
        for needs, has, what in (
            (costs.memory, self.machine.memory, "memory"),
            (costs.disk, self.machine.disk, "free disk"),
        ):
            if has and needs > has:
                say(f"mind     there are {has:.1f} GB of {what}: free some, or take less (--frames, --height)")

    # --- the end -----------------------------------------------------------------------------------------------------
    @property
    def _named(self) -> str:
        return "" if self.asked.name is None else f" --name {self.name}"

    @property
    def _again(self) -> str:
        return f"nsff run {shlex.quote(str(self.video))}{self._named}"

    def _ended(self, quiet: QuietRun, status: int, targets: Sequence[str], arguments: Sequence[str]) -> int:
        say = self.teller.line
        again = self._again + "".join(f" --target {target}" for target in targets if target != ALL)
        if quiet.stopped:
            say(f"stopped. What is done is kept; to go on: {again}")
            return 128 + quiet.stopped
        if status:
            for line in quiet.failures():
                say(line)
            say(f"not complete. Mend what the error names, then give the same command again: {again}")
            say(f"what the workflow said: {quiet.log}")
            return 1
        for line in quiet.complaints():
            say(line)
        for target in targets:
            say(f"made     {self.results / target}")
        page = self.results / "scene.html"
        if page.exists():
            say(f"         {page}: the scene itself, in any browser; in full quality: nsff view {self.results}")
        say(f"go on    edit {self.config} and give the same command again: {again}")
        say(f"         one part alone: {self._again} --target NAME; names: nsff targets {self.name}")
        say(f"         Snakemake itself: {shlex.join(['snakemake', *arguments[3:]])}")
        return 0
