"""The costs of a scene: seconds of each stage, memory and disk, from a small model of every stage.

A stage takes a fixed time (starting Python and its libraries) and a time for each frame and megapixel. Coefficients
were measured on two cores of a virtual machine with the scenes below, and on one NVIDIA H200; another machine may well
take half or twice as long, a small GPU several times. A run corrects what is left by what its stages took.

    demo     24 frames of 320x180, preset demo: `make demo` on two idle cores of an AMD EPYC, 2026-11-30, by the files
             results/demo/benchmarks/*.tsv: 362 s of stages in 287 s, as stages run beside each other
    planes   the same with preset demo_planes, earlier that day
    toss     24 frames of 480x270, one H200 (docs/benchmarks.md, "Speed and memory", "New views", "Object masks")
    davis    48 frames of 854x480 (docs/benchmarks.md, "Cameras")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nsff.config import SceneConfig
from nsff.training.schedule import for_frames
from nsff.workflow.progress import stages_of
from nsff.workflow.video_size import enlargement

GPU_PRESETS = ("fast", "gaussians", "planes", "nsff", "saff")
FEW_STEPS = 500
"""So few steps are nobody's training, and need no warning."""
MEASURED_CORES = 2
MOST_CORES = 8
"""More cores than this are of no use to most stages; in between time is taken to fall by cores to the power of 0.7."""
CORE_POWER = 0.7


@dataclass(frozen=True)
class Coefficients:
    """Seconds of a stage: ``fixed`` and for each frame and megapixel of the picture it works on."""

    fixed: float
    growing: float = 0.0


ON_CPU = {
    "ingest": Coefficients(1.2, 0.3),  # demo 1.6; megapixels of the source
    "flow": Coefficients(1.2, 8.4),  # demo 12.9 (DIS, with the search for cuts)
    "coarse_masks": Coefficients(3.6, 3.1),  # demo 7.9
    "sfm": Coefficients(3.5, 0.0),  # and SFM_FRAME for each frame
    "cameras": Coefficients(1.8, 2.8),  # demo 5.6
    "motion": Coefficients(2.0, 3.5),  # demo 6.9
    "depth": Coefficients(2.0, 6.1),  # demo 10.5 (classical)
    "features": Coefficients(1.7, 5.1),  # demo 8.8 (classical)
    "points": Coefficients(8.0, 29.0),  # growth as of clusters of features
    "cluster": Coefficients(3.0, 9.0),  # demo 15.4 (objects by motion)
    "postprocess": Coefficients(1.4, 0.3),  # demo 1.7
    "crf": Coefficients(3.0, 4.3),  # demo 8.9
    "extract": Coefficients(8.0, 72.0),  # growth as of maps
    "page": Coefficients(16.0, 11.0),  # demo 31.7, most of it the fit; planes take longer
    "score": Coefficients(11.0, 0.0),  # and REFITTED, and SCORED where there is truth
    "report": Coefficients(2.5, 1.7),  # demo 4.9
}
"""Stages that train and draw nothing, on two cores."""
UNKNOWN = Coefficients(5.0, 5.0)
"""A stage that has no line yet."""
SFM_FRAME = 1.3
"""Seconds a frame, whose features are searched for at up to 540 rows: demo 1.3; davis-train 1.1, toss 1.1 in
docs/benchmarks.md."""
SCORED = {"demo": 38.0}
"""Seconds of scoring where there is truth: six held-out views and 24 masks; other presets SCORED_OTHERS."""
SCORED_OTHERS = 118.0
REFITTED = 0.35
"""Seconds a frame of the score without truth: demo 8.7 for 24 frames, of one core."""
BESIDE = 0.7
"""Share of the time of stages that passes where two may run beside each other, training aside, which takes all cores:
demo 255 s in 180 s."""
RAFT_PAIR = {"cpu": 22.7, "gpu": 0.25}
"""Seconds a pair of flow by RAFT at its long side of 768: docs/benchmarks.md, "Optical flow", for the CPU; on a GPU
assumed from RAFT's published speed, not measured here."""


@dataclass(frozen=True)
class Speed:
    """Speed of a preset on a device: seconds a training step, and seconds a megapixel of a picture."""

    step: float
    megapixel: float
    start: float = 15.0


SPEEDS = {
    ("demo", "cpu"): Speed(0.118, 1.1, 24.0),  # demo: 107 s for 700 steps, 96 pictures of 320x180 in 12 s
    ("demo_planes", "cpu"): Speed(0.44, 70.0),  # demo: 2.27 steps a second; 24 pictures of 320x180 in 94 s
    # One step beside one of preset demo, same scene and machine: 13.6 times the processor time for fast. Pictures are
    # not measured: taken to cost as many times more as samples and width of the networks.
    ("fast", "cpu"): Speed(6.0, 280.0),
    ("gaussians", "cpu"): Speed(1.0, 4.0, 60.0),  # not measured: 2.6 times the pixels of demo's steps
    # Not measured: the arithmetic of the published networks at 60 billion operations a second.
    ("nsff", "cpu"): Speed(40.0, 2500.0),
    ("saff", "cpu"): Speed(30.0, 2500.0),
    ("demo", "gpu"): Speed(0.008, 0.02, 60.0),  # a prototype's 8 ms a step and 3 ms a picture of 480x270
    ("demo_planes", "gpu"): Speed(0.011, 0.2, 30.0),  # not measured: as fast
    ("fast", "gpu"): Speed(0.0106, 0.2, 30.0),  # nsff bench: 10.6 ms, 38 pictures of 480x270 a second
    ("gaussians", "gpu"): Speed(0.0068, 0.02, 30.0),  # 6.8 ms a step on an H200, 2.2 ms a picture of 480x270
    ("nsff", "gpu"): Speed(0.0183, 1.33, 30.0),  # 18.3 ms, 5.8 pictures
    ("saff", "gpu"): Speed(0.0151, 1.5, 30.0),  # 15.1 ms, 5.0 to 5.2 pictures
}
"""By preset and device."""
GPU_START = 8.0
"""Seconds until a stage that draws on a GPU has loaded its libraries and the model."""

MEMORY_BASE, MEMORY_GROWTH = 1.4, 0.15
"""Gigabytes of main memory: demo's training held 1.6; growth with frames and megapixels as on the GPU."""
GPU_MEMORY = {"nsff": 4.7, "saff": 3.5}
"""Gigabytes on the GPU (nsff bench); other presets 2.2 and MEMORY_GROWTH: 2.4 GB at 12 frames of 480x270, 2.7 at 24,
6.0 to 6.5 at 200."""
GPU_BASE = 2.2
DISK_FIXED = {"demo": 0.3, "demo_planes": 0.11}
"""Gigabytes of model and state: 0.12 for the Gaussians of demo, 0.30 for those of davis-train; others DISK_OTHERS."""
DISK_OTHERS = 0.5
DISK_GROWTH, DISK_SOURCE = 0.185, 0.002
"""Gigabytes for each frame and megapixel, at the canonical size (demo: 253 MB of 24 frames) and at the ingested one."""


@dataclass(frozen=True)
class Costs:
    """Seconds by stage, in the order of the pipeline; gigabytes of main memory, on the GPU and on disk."""

    seconds: dict[str, float]
    memory: float
    gpu_memory: float
    disk: float
    device: str
    beside: float = 1.0
    """Share of a stage's seconds that counts, training aside: below 1 where stages run beside each other."""

    def counted(self, stage: str, seconds: float) -> float:
        """Seconds by which a stage of ``seconds`` delays the end of all.

        >>> Costs({}, 1.6, 0.0, 0.5, "cpu", 0.7).counted("flow", 10.0)
        7.0
        """
        return seconds if stage == "train" else self.beside * seconds

    def total(self, stages: Iterable[str]) -> float:
        """Seconds until these stages are done."""
        return sum(self.counted(stage, self.seconds.get(stage, 0.0)) for stage in stages)


def canonical_megapixels(settings: SceneConfig, size: tuple[int, int]) -> float:
    """Megapixels of a canonical frame for a source of ``size`` (height, width)."""
    height, width = size
    rows = min(height, settings.canonical.resize_height)
    return rows * rows * width / height / 1e6


def speed_of(preset: str, device: str) -> Speed:
    """Speed of a preset on a device, ``cpu`` or ``gpu``."""
    return SPEEDS.get((preset, device), SPEEDS["fast", device])


def costs_of(
    settings: SceneConfig, frames: int, size: tuple[int, int], gpu: bool, cores: int, raft: bool = False
) -> Costs:
    """The costs of a scene.

    Args:
        settings: the scene's.
        frames: that are taken of the clip.
        size: height and width of the source.
        gpu: whether training and rendering use a GPU.
        cores: of the processor.
        raft: whether flow is RAFT's.
    """
    device = "gpu" if gpu and settings.train.device != "cpu" else "cpu"
    small = canonical_megapixels(settings, size)
    rows = min(size[0], settings.input.max_height or size[0])
    source = rows * rows * size[1] / size[0] / 1e6
    speed = speed_of(settings.preset, device)
    faster = (min(max(cores, 1), MOST_CORES) / MEASURED_CORES) ** CORE_POWER
    seconds = {}
    for stage in stages_of(settings):
        if stage == "train":
            steps = 0 if settings.checkpoint else for_frames(settings, frames).train.steps
            seconds[stage] = speed.start + steps * _scaled(speed.step, device, faster)
        elif stage.startswith("render") or stage in ("maps", "extract"):
            count = settings.render.frames if stage.startswith("render") else frames
            pictures = count * small / settings.render.render_factor**2 * _scaled(speed.megapixel, device, faster)
            if stage.startswith("render"):
                high = min(size[0], settings.canonical.resize_height)
                own = (high, round(high * size[1] / size[0]))
                pictures *= enlargement(settings.render, own, rows, speed.megapixel) ** 2
            seconds[stage] = (GPU_START if device == "gpu" else 6.0) + pictures
        else:
            seconds[stage] = _prior(stage, settings, frames, source if stage == "ingest" else small, faster)
    if raft and "flow" in seconds:
        pairs = sum(max(frames - step, 0) for step in (1, *settings.flow.far))
        seconds["flow"] += 2 * pairs * _scaled(RAFT_PAIR[device], device, faster)
    data = MEMORY_GROWTH * frames * small
    return Costs(
        seconds,
        MEMORY_BASE + data,
        0.0 if device == "cpu" else GPU_MEMORY.get(settings.preset, GPU_BASE + data),
        DISK_FIXED.get(settings.preset, DISK_OTHERS) + frames * (DISK_GROWTH * small + DISK_SOURCE * source),
        device,
        BESIDE if device == "cpu" and cores > 1 else 1.0,
    )


def _prior(stage: str, settings: SceneConfig, frames: int, megapixels: float, faster: float) -> float:
    known = ON_CPU.get(stage, UNKNOWN)
    growing = known.growing * frames * megapixels
    growing += SFM_FRAME * frames if stage == "sfm" else 0.0
    if stage == "score":
        growing += SCORED.get(settings.preset, SCORED_OTHERS) if settings.evaluation else 0.0
        growing += REFITTED * frames if settings.score.refit_steps else 0.0
    return known.fixed + growing / faster


def _scaled(seconds: float, device: str, faster: float) -> float:
    return seconds if device == "gpu" else seconds / faster


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(50), duration(900), duration(20000), duration(600000)
    ('50 s', '15 min', '5.6 h', '7 days')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{round(seconds / 86400)} days"


def slow_notes(scenes: Mapping[str, SceneConfig], gpu: bool, cores: int, frames: int = 24) -> list[str]:
    """A line for each scene whose preset is made for a GPU and would be trained on the CPU, with the time it takes."""
    notes = []
    for name, settings in scenes.items():
        if not made_for_gpu(settings) or (gpu and settings.train.device != "cpu"):
            continue
        size = (settings.canonical.resize_height, settings.canonical.resize_height * 16 // 9)
        took = duration(costs_of(settings, frames, size, False, cores).seconds["train"])
        notes.append(
            f"{name}: preset {settings.preset} is made for a GPU; its training takes about {took} on {cores}"
            f" processor core{'s' * (cores > 1)}. Preset demo takes minutes."
        )
    return notes


def made_for_gpu(settings: SceneConfig) -> bool:
    """Whether training with these settings is too much for a CPU."""
    return settings.preset in GPU_PRESETS and settings.checkpoint is None and settings.train.steps > FEW_STEPS
