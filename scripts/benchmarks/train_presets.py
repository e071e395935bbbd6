"""Trains presets on a prepared scene and prints quality, time a step and memory: docs/benchmarks.md#new-views.

The scene's folder must hold the canonical data (snakemake results/NAME/depth results/NAME/motion_masks
results/NAME/features). Every run writes NAME.json (figures), NAME.png (held-out view, truth, error) and NAME_curve.csv
into --out. Held-out pictures are rendered outside of the time that is counted.

    python scripts/benchmarks/train_presets.py --scene results/balloon1 --truth DIR --protocol dynnerf12 \
        --run nsff --run saff:train.seed=1 --steps 3000 --every 500 --out results/benchmarks
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import _root  # noqa: F401
import numpy as np
import torch

from nsff.config import SceneConfig, resolve_scene
from nsff.config.changes import with_changes
from nsff.datasets.truth_registry import open_truth
from nsff.files.io import write_csv, write_image, write_json
from nsff.machine.gpu_memory import GIGABYTE, cap_memory, forget_peak, peak_memory
from nsff.metrics.lpips import Lpips, load_lpips
from nsff.metrics.measure import image_scores, to_8bit
from nsff.metrics.protocols import get_protocol
from nsff.metrics.targets import Target, frame_numbers, truth_targets
from nsff.models.supervision import TrainingData
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene
from nsff.training.checkpoints import CheckpointStore
from nsff.training.model_files import write_model
from nsff.training.run import build_model, pick_device
from nsff.training.schedule import for_frames
from nsff.training.trainer import Trainer

WINDOW = 50
"""Steps that are timed together."""
LONGEST_NAME = 150
"""Of a file without its ending; what is longer ends in a hash."""


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=Path, required=True, metavar="DIR", help="the scene's folder")
    parser.add_argument("--truth", type=Path, metavar="DIR", help="truth of the protocol; without it nothing is scored")
    parser.add_argument("--protocol", default="dynnerf12", help="whose held-out views are scored (default: dynnerf12)")
    parser.add_argument(
        "--run", action="append", required=True, metavar="PRESET[:KEY=VALUE,...]", help="one training; may be repeated"
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="the first N steps alone (default: the preset's, for the clip's length)"
    )
    parser.add_argument("--every", type=int, default=500, help="score after every N steps (default: 500)")
    parser.add_argument(
        "--views", type=int, default=0, metavar="N", help="score N views spread over all (default: all)"
    )
    parser.add_argument("--all-at-the-end", action="store_true", help="score all views, not N, after the last step")
    parser.add_argument("--pictures", action="store_true", help="write every view that is scored, for LPIPS elsewhere")
    parser.add_argument(
        "--models", action="store_true", help="keep each model, to be scored elsewhere: NAME_scene/model"
    )
    parser.add_argument("--features", action="store_true", help="also compare rendered features with their targets")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where figures and pictures go")
    return parser.parse_args()


def settings(run: str, scene: Path, **sections: Any) -> tuple[str, SceneConfig]:
    """A name for the run and the scene's settings for it; ``sections`` are those that its name does not tell."""
    preset, _, changes = run.partition(":")
    own = with_changes({"preset": preset, "input": {"path": str(scene)}, **sections}, filter(None, changes.split(",")))
    config = resolve_scene(scene.name, own, preset, {}, [])
    name = "_".join([preset, *(part.replace("=", "-").replace(".", "-") for part in filter(None, changes.split(",")))])
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}_{hashlib.sha256(run.encode()).hexdigest()[:8]}"
    return name, config


def train(scene: Scene, config: Any, targets: list[Target], arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    few = some(targets, arguments.views)
    if not arguments.all_at_the_end:
        targets = few
    device = pick_device(config.train.device)
    cuda = device.type == "cuda"
    forget_peak(device)
    cap_memory(device, config.train.memory_gb)
    data = TrainingData(scene, config.field, config.train, config.sampling.pixel_centre, device)
    model = build_model(scene, config, data).to(device)
    lpips = load_lpips(device=device) if targets else None
    curve: list[dict[str, Any]] = []
    windows: list[float] = []
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, data, config, CheckpointStore(Path(folder), name))
        trainer.fit_into_memory()
        while trainer.step < config.train.steps:
            started = time.perf_counter()
            count = min(WINDOW, arguments.every, config.train.steps - trainer.step)
            for i in range(count):
                monitors = trainer.one_step(log=i + 1 == count)
            if cuda:
                torch.cuda.synchronize()
            windows.append((time.perf_counter() - started) / count * 1000)
            seconds += time.perf_counter() - started
            last = trainer.step >= config.train.steps
            if last and arguments.models:
                kept = Scene(arguments.out / f"{name}_scene")
                kept.root.mkdir(parents=True, exist_ok=True)
                for path in (scene.manifest_path, scene.cameras_path):
                    shutil.copy(path, kept.root)
                write_model(kept, model, config, trainer.step, seconds, trainer.history)
            if targets and (trainer.step % arguments.every == 0 or last):
                scores = scored(model, targets if last else few, arguments.protocol, lpips)
                if arguments.features and data.features is not None:
                    scores["features_cosine"] = cosine(Renderer(model), scene)
                model.train().requires_grad_(True)
                assert monitors is not None
                row: dict[str, Any] = {"step": trainer.step, "seconds": round(seconds, 2)}
                row["train_psnr"] = round(monitors["psnr"], 3)
                row |= {key: round(value, 4) if np.isfinite(value) else None for key, value in scores.items()}
                curve.append(row)
                # What is scored is kept, whatever comes of the rest.
                write_csv(arguments.out / f"{name}_curve.csv", list(curve[0]), curve)
                print(name, row, flush=True)
    result: dict[str, Any] = {
        "run": name, "device": torch.cuda.get_device_name() if cuda else "cpu", "torch": torch.__version__,
        "precision": config.train.precision, "steps": config.train.steps, "seconds": round(seconds, 2),
        "rays": [config.train.rays, config.train.motion_rays], "samples": config.sampling.samples,
        "milliseconds_a_step": round(float(np.median(windows[2:] or windows)), 2),
        "peak_memory_gb": round(peak_memory(device) / GIGABYTE, 2) if cuda else None,
        "curve": curve,
    }  # fmt: skip
    renderer = Renderer(model)
    if arguments.features and data.features is not None:
        result["features_cosine"] = curve[-1]["features_cosine"] if curve else round(cosine(renderer, scene), 4)
    if targets:
        sheet(arguments.out / f"{name}.png", renderer, targets)
        for target in targets if arguments.pictures else []:
            write_image(arguments.out / "views" / f"{name}_{target.index}.png", to_8bit(render(renderer, target)))
    write_json(arguments.out / f"{name}.json", result)
    return result


def some(targets: list[Target], count: int) -> list[Target]:
    """``count`` of the views, spread over all; all for 0."""
    if not count:
        return targets
    return [targets[i] for i in np.linspace(0, len(targets) - 1, min(count, len(targets))).round().astype(int)]


def scored(model: Any, targets: list[Target], name: str, lpips: Lpips | None) -> dict[str, float]:
    """Mean PSNR and SSIM over the views, and LPIPS where there is its network, whole and where it moves; PSNR of
    each."""
    protocol, renderer = get_protocol(name), Renderer(model)
    found: dict[str, list[float]] = {}
    single = []
    for target in targets:
        picture = to_8bit(render(renderer, target))
        regions = {"full": None, "dynamic": target.dynamic()}
        regions = {key: value for key, value in regions.items() if key == "full" or value is not None}
        for region, scores in image_scores(picture, target.image(), regions, protocol.reference, lpips).items():
            for metric in (m for m in ("psnr", "ssim", "lpips") if m in scores):
                found.setdefault(f"{metric}_{region}", []).append(scores[metric])
        single.append(found["psnr_full"][-1])
    result = {key: float(np.nanmean(values)) for key, values in found.items()}
    return result | (
        {f"psnr_view_{t.index}": v for t, v in zip(targets, single, strict=True)} if len(single) < 9 else {}
    )


def render(renderer: Renderer, target: Target) -> torch.Tensor:
    height, width = target.size
    return renderer.render(target.intrinsics, target.starts[0], height, width, target.time)["rgb"]


def cosine(renderer: Renderer, scene: Scene, count: int = 3) -> float:
    """Mean cosine of rendered features to their targets on some training views."""
    features, cameras, (height, width) = scene.features()[0], scene.cameras, scene.size
    values = []
    for i in np.unique(np.linspace(0, scene.n_frames - 1, count).round().astype(int)):
        found = renderer.render(
            cameras.intrinsics[i], cameras.world_to_camera[i], height, width, float(i), ("features",)
        )["features"].numpy()
        rows = np.arange(height) * features.shape[1] // height
        columns = np.arange(width) * features.shape[2] // width
        target = features[i].astype(np.float32)[rows][:, columns]
        norms = np.linalg.norm(found, axis=2) * np.linalg.norm(target, axis=2)
        values.append(float(((found * target).sum(2) / np.maximum(norms, 1e-8)).mean()))
    return float(np.mean(values))


def sheet(path: Path, renderer: Renderer, targets: list[Target]) -> None:
    """Some views as rows of truth, rendering and four times their difference."""
    rows = []
    for target in targets[:: max(1, (len(targets) + 1) // 3)][:3]:
        picture, truth = to_8bit(render(renderer, target)), target.image()
        assert truth is not None
        error = np.clip(4 * np.abs(picture.astype(int) - truth), 0, 255).astype(np.uint8)
        rows.append(np.concatenate([truth, picture, error], 1))
    write_image(path, np.concatenate(rows))


def main() -> None:
    arguments = parsed()
    arguments.out.mkdir(parents=True, exist_ok=True)
    scene = Scene(arguments.scene)
    results = []
    for run in arguments.run:
        name, config = settings(run, arguments.scene)
        if arguments.steps is None:
            config = for_frames(config, scene.n_frames)
        else:
            # The schedule stays the preset's: these are the first steps of a long run.
            config = config.model_copy(update={"train": config.train.model_copy(update={"steps": arguments.steps})})
        targets: list[Target] = []
        if arguments.truth:
            protocol = get_protocol(arguments.protocol)
            truth = open_truth(protocol.name, arguments.truth, frame_numbers(scene))
            targets = [t for t in truth_targets(scene, config, protocol, truth).views if t.split != "training"]
        results.append(train(scene, config, targets, arguments, name))
    head = [
        f"{'run':40s}",
        *(f"{key:>8s}" for key in ("ms/step", "seconds", "GB", "PSNR", "dynamic", "SSIM", "LPIPS", "cosine")),
    ]
    print(*head)
    for r in results:
        last = r["curve"][-1] if r["curve"] else {}
        values = [r["milliseconds_a_step"], r["seconds"], r["peak_memory_gb"], last.get("psnr_full")]
        values += [last.get("psnr_dynamic"), last.get("ssim_full"), last.get("lpips_full")]
        values += [r.get("features_cosine")]
        print(f"{r['run']:40s}", *(f"{float('nan') if v is None else v:8.3f}" for v in values), flush=True)


if __name__ == "__main__":
    main()
