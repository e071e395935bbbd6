"""Measures training and rendering of presets on this machine: milliseconds a step, rays a second, where the time of a
step goes, memory, and pictures a second.

Needs a scene whose priors are made, such as the demo's: snakemake results/demo/depth results/demo/motion_masks
results/demo/features. Nothing is written into its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

HELP = "measure speed and memory of presets on this machine"
EXAMPLES = (
    "bench --preset fast nsff saff",
    "bench --scene results/holiday --preset fast --set train.rays=2048",
    "bench --json bench.json",
)


def run(
    *,
    scene: Annotated[Path, Parameter(help="prepared scene (default: results/demo)")] = Path("results/demo"),
    preset: Annotated[
        list[str] | None,
        Parameter(help="presets to measure (default: fast and nsff on a GPU, demo without)", consume_multiple=True),
    ] = None,
    changes: Annotated[
        list[str] | None, Parameter(name="--set", help="a setting over the presets', SECTION.KEY=VALUE; repeatable")
    ] = None,
    steps: Annotated[int | None, Parameter(help="steps that are timed (default: 100, 10 without a GPU)")] = None,
    views: Annotated[int | None, Parameter(help="pictures that are timed (default: 10, 1 without a GPU)")] = None,
    threads: Annotated[int | None, Parameter(help="threads of numerical libraries (default: theirs)")] = None,
    json: Annotated[Path | None, Parameter(help="write the figures to this file as well")] = None,
) -> None:
    """Measures training and rendering."""
    from nsff.machine.threads import set_threads

    set_threads(threads)
    import torch

    from nsff.files.io import write_json
    from nsff.models.gaussians.rasterisers import rasteriser_line
    from nsff.training.bench import bench

    gpu = torch.cuda.is_available()
    prepared = _scene(scene)
    presets = preset or (["fast", "nsff"] if gpu else ["demo"])
    settings = [_settings(prepared.name, name, changes or []) for name in presets]
    rows = []
    for config in settings:
        rows.append(bench(prepared, config, steps or (100 if gpu else 10), views or (10 if gpu else 1)))
        if gpu:
            torch.cuda.empty_cache()
    print(_table(rows, prepared))
    print(f"\n{rasteriser_line(torch.device('cuda' if gpu else 'cpu'))}")
    if json:
        write_json(json, rows)


def _scene(folder: Path) -> Any:
    from nsff.errors import ConfigError
    from nsff.scene import Scene

    scene = Scene(folder)
    for path in (scene.cameras_path, scene.flow_dir, scene.depth_dir, scene.motion_dir, scene.features_dir):
        if not path.exists():
            raise ConfigError(
                f"--scene {folder}",
                f"has no {path.name}",
                f"make it first: snakemake --cores all {folder}/depth {folder}/motion_masks {folder}/features"
                f" (with scene {scene.name} in config.yaml)",
            )
    return scene


def _settings(name: str, preset: str, changes: list[str]) -> Any:
    from nsff.config import resolve_scene
    from nsff.config.changes import with_changes

    own = with_changes({"preset": preset, "input": {"path": name}}, changes)
    return resolve_scene(name, own, preset, {})


def _table(rows: list[dict[str, Any]], scene: Any) -> str:
    height, width = scene.size
    lines = [f"{scene.n_frames} frames of {width}x{height}, {rows[0]['device']}", ""]
    head = ["preset", "precision", "rays", "batches", "ms/step", "rays/s", "peak GB"]
    table = [[*head, *(f"fps {name}" for name in rows[0]["frames_a_second"])]]
    for row in rows:
        peak = row["peak_gb"]
        cells = [row["preset"], row["precision"], str(row["rays"]), str(row["micro_batches"])]
        cells += [f"{row['milliseconds_a_step']:.1f}"]
        cells += [f"{row['rays_a_second']:,.0f}", "-" if peak is None else f"{peak:.2f}"]
        table.append([*cells, *(f"{value:.2f}" for value in row["frames_a_second"].values())])
    columns = max(map(len, table))
    table = [cells + ["-"] * (columns - len(cells)) for cells in table]
    widths = [max(len(cells[i]) for cells in table) for i in range(columns)]
    lines += ["  ".join(cell.rjust(w) for cell, w in zip(cells, widths, strict=True)) for cells in table]
    lines += ["", "share of a step:"]
    for row in rows:
        shares = ", ".join(f"{name} {value:.0%}" for name, value in row["parts"].items())
        lines.append(f"  {row['preset']}: {shares}")
    return "\n".join(lines)
