"""Sections of settings and provenance: what was asked for, which versions made it, how long it took, on what."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import nsff
from nsff.config import SceneConfig, resolve_scene
from nsff.files.reading import read_table, reading
from nsff.report.content import Absent, Cell, Part, Section, Table, Text, facts
from nsff.report.gather import Material, Parts
from nsff.report.stages import STAGES
from nsff.report.verdicts import plain_number
from nsff.scene import Scene

PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "scikit-image", "opencv-python-headless", "pycolmap", "kornia", "timm",
    "faiss-cpu", "cupy-cuda13x", "pydensecrf2", "lpips", "av", "imageio", "pandas", "pydantic", "snakemake",
)  # fmt: skip


def settings_section(material: Material) -> Section:
    config = material.config
    parts: list[Part] = []
    changed = differences(config)
    if changed:
        rows = [[Cell(key), Cell(_plain(own)), Cell(_plain(preset))] for key, own, preset in changed]
        parts.append(Table(f"What differs from preset {config.preset}", ("key", "here", "preset"), rows))
    else:
        parts.append(facts("Settings", [("preset", f"{config.preset}, unchanged")]))
    whole = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
    parts.append(Text("Every setting of this scene (YAML, as in config.yaml)", whole))
    return Section("settings", "Settings", (), "Meaning and default of every key: docs/configuration.md.", parts)


def differences(config: SceneConfig) -> list[tuple[str, Any, Any]]:
    """(key, value, the preset's value) of all settings that are not the preset's; the input always counts as one."""
    own = config.model_dump(mode="json")
    base = resolve_scene("scene", {"input": {"path": config.input.path}}, config.preset, {}).model_dump(mode="json")
    found: list[tuple[str, Any, Any]] = [("input.path", config.input.path, "")]
    for section, values in own.items():
        if isinstance(values, dict):
            found += [
                (f"{section}.{key}", v, base[section][key]) for key, v in values.items() if v != base[section][key]
            ]
        elif values != base[section]:
            found.append((section, values, base[section]))
    return found


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).strip().removesuffix("\n...")


def provenance_section(material: Material) -> Section:
    parts = Parts()
    parts.add("Time of each stage", lambda: _times(material.scene))
    parts.add("Versions", lambda: facts("Versions", versions(material.scene)))
    parts.add("Machine", lambda: facts("Machine that made this page", machine()))
    intro = (
        f"Made {datetime.now().astimezone():%d %B %Y, %H:%M %Z}. Versions are those found when this page was made; "
        "stages that ran in environments of their own have theirs in envs/."
    )
    return Section("provenance", "Provenance", (), intro, parts.parts)


def _times(scene: Scene) -> list[Part]:
    """Wall time, memory and processor load from Snakemake's benchmarks, in the order of the pipeline."""
    order = {stage.name: number for number, stage in enumerate(STAGES)}
    paths = sorted(scene.benchmarks_dir.glob("*.tsv"), key=lambda p: (order.get(p.stem, 99), p.stem))
    if not paths:
        return [Absent("Time of each stage", "benchmarks/ is empty: times are taken when Snakemake runs the stages")]
    titles = {stage.name: stage.title for stage in STAGES}
    rows, total = [], 0.0
    for path in paths:
        seconds, memory, load = _benchmark(path)
        total += seconds
        rows.append(
            [
                Cell(titles.get(path.stem, path.stem)),
                Cell(duration(seconds), number=True),
                Cell(memory, number=True),
                Cell(load, number=True),
            ]
        )
    rows.append([Cell("together, one after another", True), Cell(duration(total), True, True), Cell(""), Cell("")])
    return [
        Table(
            "Time of each stage",
            ("stage", "time", "memory, MB", "cores busy"),
            rows,
            note="The last run of each stage.",
        )
    ]


def _benchmark(path: Path) -> tuple[float, str, str]:
    with reading(path, "delete it and run the stage again", message="not readable as a benchmark"):
        last = read_table(path, sep="\t", na_values=["-"]).iloc[-1]
        memory, load = last.get("max_rss"), last.get("mean_load")
        return (
            float(last["s"]),
            "" if memory is None or pd.isna(memory) else f"{float(memory):.0f}",
            "" if load is None or pd.isna(load) else f"{float(load) / 100:.1f}",
        )


def duration(seconds: float) -> str:
    """3.2 s, 4 min 05 s, 2 h 07 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def versions(scene: Scene) -> list[tuple[str, str]]:
    pairs = [("nsff", nsff.__version__), ("commit", commit() or "not known: not a git checkout")]
    pairs.append(("Python", platform.python_version()))
    for name in PACKAGES:
        try:
            pairs.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            pairs.append((name, "not installed here"))
    return pairs


def commit() -> str | None:
    """The commit of the checkout that this package lies in, and whether files were changed since; None elsewhere."""
    root = Path(nsff.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (", with local changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def machine() -> list[tuple[str, str]]:
    """Kind of machine, never its name."""
    pairs = [
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("processor", _processor()),
        ("cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())),
    ]
    if sys.platform == "linux":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        pairs.append(("memory", f"{plain_number(round(memory, 1))} GiB"))
    return [*pairs, ("GPUs", _gpus())]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "not known"


def _gpus() -> str:
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return ", ".join(done.stdout.strip().splitlines()) or "none"
    except (OSError, subprocess.SubprocessError):
        return "none found"
