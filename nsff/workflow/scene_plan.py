"""The plan of a scene before any job runs: settings of its stages, input files, processes, GPUs and time limits.

The rules ask a ScenePlan (``of_scene`` in rules/common.smk). All paths are relative to the folder in which Snakemake is
started; files of the scene lie in ``results/{name}``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nsff.config import SceneConfig, load_config, merge
from nsff.config.depends import CHANGES, EXECUTION, chosen
from nsff.errors import ConfigError
from nsff.files.io import write_text
from nsff.metrics.protocols import get_protocol
from nsff.priors.registries import REGISTRIES, weight_files
from nsff.training.schedule import for_frames
from nsff.weights import locate
from nsff.workflow.progress import stages_of
from nsff.workflow.recorded import recorded_text
from nsff.workflow.weight_changes import without_weights

PATHS = ("view", "time", "spacetime", "keyframes")
"""Camera and time paths that videos are rendered along."""


def checked_plans(config: Mapping[str, Any]) -> dict[str, ScenePlan]:
    """The plans of all scenes of a configuration, by name. Raises an NsffError where it cannot be used."""
    plans = {name: ScenePlan(name, settings) for name, settings in load_config(config).items()}
    for plan in plans.values():
        for path in [*plan.sources(), *plan.truths(), *plan.released(), *plan.all_weights()]:
            if re.search("[{}]", path):
                problem = f"{path} has a brace in its name, which Snakemake takes for a wildcard"
                raise ConfigError(f"scenes.{plan.name}", problem, "rename it, or make a link of another name")
    return plans


@dataclass(frozen=True)
class ScenePlan:
    """One scene of the configuration. Input functions return lists of paths, empty where a rule does without."""

    name: str
    settings: SceneConfig
    _weights: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def path(self, name: str) -> str:
        """The path of a file or folder of the scene."""
        return f"results/{self.name}/{name}"

    # --- settings of a stage -----------------------------------------------------------------------------------------
    @cached_property
    def whole(self) -> dict[str, Any]:
        """All settings, as JSON can hold them."""
        return self.settings.model_dump(mode="json")

    def options(self, stage: str) -> dict[str, Any]:
        """The settings that change a stage's results (nsff/config/depends.py): other values re-run it.

        ``stage`` is a rule's name, or ``render_{path}``. As long as no weights are found for the stage, ``auto`` counts
        as what it then means: setting that by name re-runs nothing. The page shows all settings.
        """
        if stage == "report":
            return self.shown
        settings = chosen(self.whole, CHANGES[stage])
        for key, value in self._without_weights(stage).items():
            section, name = key.split(".")
            settings[section] = settings[section] | {name: value}
        return settings

    def execution(self, stage: str) -> dict[str, Any]:
        """The settings that a stage reads beside these: other values re-run nothing."""
        if stage == "report":
            return {}
        own = chosen(self.whole, self._without_weights(stage))
        return merge(own, chosen(self.whole, EXECUTION.get(stage, ())))

    @property
    def shown(self) -> dict[str, Any]:
        """Every setting, for the page; where truth lies is told to scoring alone."""
        hidden = [e | {"truth": e["truth"] and "known to scoring alone"} for e in self.whole["evaluation"]]
        return self.whole | {"evaluation": hidden}

    def options_text(self, stage: str) -> str:
        """``options`` as the text that Snakemake records and compares (nsff/workflow/recorded.py)."""
        return recorded_text(self.options(stage))

    def settings_file(self, stage: str) -> str:
        """The path of the file in which a stage is handed its settings."""
        return self.path(f"settings/{stage}.json")

    def write_settings(self, stage: str) -> None:
        """Writes the settings of a stage to its file, unless the file says the same already."""
        path = Path(self.settings_file(stage))
        told = merge(self.options(stage), self.execution(stage))
        text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
        if not (path.is_file() and path.read_bytes() == text.encode()):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)

    def _without_weights(self, stage: str) -> dict[str, Any]:
        return {} if self.weights(stage) else without_weights(stage, self.settings)

    # --- weights -----------------------------------------------------------------------------------------------------
    def weights(self, stage: str) -> list[str]:
        """Pretrained weights of the stage's learned backend; none where the classical one does the work."""
        if stage not in self._weights:  # looked for once, as every job asks several times
            self._weights[stage] = [str(path) for path in weight_files(stage, self.settings)]
        return self._weights[stage]

    def all_weights(self) -> list[str]:
        """Pretrained weights of all stages."""
        return [path for stage in REGISTRIES for path in self.weights(stage)]

    def lpips_weights(self) -> list[str]:
        """Both files of LPIPS where they are on this machine and pictures are scored; without them no LPIPS is."""
        if not (self.settings.score.lpips and any(get_protocol(e.protocol).images for e in self.settings.evaluation)):
            return []
        files = [locate("alexnet-features"), locate("lpips-alexnet")]
        return [str(path) for path in files] if all(files) else []

    # --- files from outside ------------------------------------------------------------------------------------------
    def sources(self) -> list[str]:
        """The scene's video or folder, depth and tracks of the user's own, and priors from truth where an experiment
        asks for them."""
        settings = self.settings.input
        depth = settings.depth.path if settings.depth else None
        tracks = settings.tracks.path if settings.tracks else None
        return [path for path in (settings.path, depth, tracks, settings.truth_priors) if path is not None]

    def truths(self) -> list[str]:
        """The folders of truth that the scene is scored against, each once. The rule score alone may ask for them."""
        return list(dict.fromkeys(e.truth for e in self.settings.evaluation if e.truth is not None))

    def released(self) -> list[str]:
        """The released checkpoint that takes the place of training, where the scene names one."""
        return [self.settings.checkpoint] if self.settings.checkpoint else []

    def source_digest(self) -> str:
        """A digest of the folders that the scene is read from: Snakemake itself looks at a folder's own time only."""
        if not any(os.path.isdir(path) or path.endswith(".json") for path in self.sources()):
            return ""  # a video has a time of its own
        from nsff.datasets.digest import input_digest  # brings numerical libraries along: not for each start

        return input_digest(self.settings.input)

    def truth_digest(self) -> str:
        """A digest of the folders of truth."""
        if not self.truths():
            return ""
        from nsff.datasets.digest import folder_digest

        return folder_digest(self.truths())

    # --- files that other rules make ---------------------------------------------------------------------------------
    def for_training(self, name: str) -> list[str]:
        """A file or folder of the scene that training reads, and that importing a released checkpoint does not."""
        return [] if self.released() else [self.path(name)]

    def training_features(self) -> list[str]:
        """Features, where the field has a head for them."""
        return self.for_training("features") if self.settings.field.features else []

    def for_refit(self, name: str) -> list[str]:
        """A file or folder of the scene that the second training of the score without truth reads."""
        return [self.path(name)] if self.settings.score.refit_steps else []

    def object_masks(self) -> list[str]:
        """Folders of the decomposition, where there is something to cluster and to vote on."""
        return [self.path(name) for name in ("clusters", "masks", "masks_crf")] if self.settings.has_objects else []

    def clustered(self, source: str, name: str) -> list[str]:
        """A folder that is clustered where ``decompose.source`` is ``source``."""
        return [self.path(name)] if self.settings.decompose.source == source else []

    def grouped(self, name: str) -> list[str]:
        """A folder of priors that objects by motion are found with (``decompose.method``)."""
        return [self.path(name)] if self.settings.decompose.by_motion else []

    def left_out_by(self) -> list[str]:
        """Folders that tell apart the objects which the videos leave out, where they do."""
        named = self.settings.render.without not in ([], "moving")
        return [self.path(name) for name in ("clusters", "masks")] if named else []

    def extracted(self) -> list[str]:
        """Objects alone, where the settings ask for them."""
        return [self.path("extracted")] if self.settings.extract.enabled and self.settings.has_objects else []

    def videos(self) -> list[str]:
        """The videos that the settings ask for."""
        return [self.path(f"renders/{path}.mp4") for path in self.settings.render.paths]

    def path_files(self, path: str) -> list[str]:
        """The user's file of key frames, where videos along ``path`` follow it."""
        file = self.settings.render.path_file
        return [file] if path == "keyframes" and file is not None else []

    def scene_pages(self) -> list[str]:
        """The page to fly through, where the settings ask for it."""
        return [self.path("scene.html")] if self.settings.page.enabled else []

    def summaries(self) -> list[str]:
        """Summaries of the stages that the page shows."""
        unseen = {"points", "extract", "report"}
        return [self.path(f"summaries/{stage}.json") for stage in stages_of(self.settings) if stage not in unseen]

    # --- processes, GPUs and time ------------------------------------------------------------------------------------
    def gpus(self) -> int:
        """GPUs that a job asks for: none where the settings say cpu."""
        return 0 if self.settings.train.device == "cpu" else 1

    def gpus_for(self, stage: str) -> int:
        """GPUs of a stage whose backend may be a learned one."""
        return self.gpus() if self.weights(stage) else 0

    def training_processes(self) -> int:
        """Processes that train together; importing a released checkpoint takes one."""
        return 1 if self.released() else self.settings.train.gpus

    def training_gpus(self) -> int:
        """A GPU for each process that trains, where GPUs are used."""
        return self.gpus() * self.training_processes()

    def training_command(self) -> str:
        """The command that starts the training script: several processes are torchrun's to start and to end together.

        Without the two dashes torchrun takes the script's --log for one of its own options.
        """
        count = self.training_processes()
        return "python" if count == 1 else f"python -m torch.distributed.run --standalone --nproc-per-node {count} --"

    def training_minutes(self) -> int:
        """A generous time limit for schedulers: a hundred steps a minute, and an hour.

        Before the clip is ingested nobody knows its frames; Snakemake asks again when a job is tried again.
        """
        settings, manifest = self.settings, Path(self.path("manifest.json"))
        if manifest.exists():
            settings = for_frames(settings, json.loads(manifest.read_text(encoding="utf-8"))["n_frames"])
        return 60 + settings.train.steps // 100


def files_of_all(plans: Iterable[ScenePlan], ask: Callable[[ScenePlan], list[str]]) -> list[str]:
    """The files that ``ask`` names for each scene, one list."""
    return [path for plan in plans for path in ask(plan)]
