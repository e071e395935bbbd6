"""Object masks of presets on a prepared scene: the whole chain from training to scores, and the seconds of each stage.

The scene's folder must hold the canonical data (snakemake results/NAME/depth results/NAME/motion_masks
results/NAME/features); it is read, and each run writes a scene of its own, --out/RUN, with scores.csv and
score_pictures/. Stages that an earlier run of the same name has finished are not done again. The workflow does all this
too, and better; this is for machines without it.

    python scripts/benchmarks/object_masks.py --scene results/demo --truth demo/truth --protocol masks \
        --run fast --run saff:train.steps=12000 --out results/benchmarks/masks
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import _root  # noqa: F401
from _scenes import link, markdown
from train_presets import settings

from nsff.config import SceneConfig
from nsff.decompose.clustering import run_cluster
from nsff.decompose.crf import run_crf
from nsff.decompose.postprocess import run_postprocess
from nsff.files.io import read_json, write_json
from nsff.metrics.score import run_score
from nsff.metrics.table import collect_scores, wide
from nsff.rendering.maps import run_maps
from nsff.scene import Scene
from nsff.training.run import run_train

READ = (
    "manifest.json", "cameras.json", "points.npz", "pixel_map.npz",
    "images", "flow", "depth", "motion_masks", "features",
)  # fmt: skip
METRICS = ("jaccard", "ari", "fg_ari")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=Path, required=True, metavar="DIR", help="the scene's folder")
    parser.add_argument("--truth", type=Path, required=True, metavar="DIR", help="truth of the protocol")
    parser.add_argument(
        "--protocol", choices=("masks", "saff"), default="masks", help="what is scored (default: masks)"
    )
    parser.add_argument(
        "--run", action="append", required=True, metavar="PRESET[:KEY=VALUE,...]", help="one chain; may be repeated"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the scenes of the runs go")
    return parser.parse_args()


def own_scene(source: Path, target: Path) -> Scene:
    """A scene that reads the canonical data of another one and writes the rest itself."""
    target.mkdir(parents=True, exist_ok=True)
    link(source, target, READ)
    shutil.copytree(source / "summaries", target / "summaries", dirs_exist_ok=True)
    return Scene(target)


def chain(scene: Scene, config: SceneConfig) -> dict[str, float]:
    """Seconds of every stage; those that were done before are not done again."""
    times = scene.path("seconds.json")
    seconds: dict[str, float] = read_json(times) if times.exists() else {}
    stages: dict[str, Any] = {
        "train": lambda: run_train(scene, config),
        "maps": lambda: run_maps(scene, config.render),
        "cluster": lambda: run_cluster(scene, config.decompose),
        "postprocess": lambda: run_postprocess(scene, config.decompose),
        "crf": lambda: run_crf(scene, config.crf),
        "score": lambda: run_score(scene, config),
    }
    for name, run in stages.items():
        if name not in seconds:
            begin = time.perf_counter()
            run()
            seconds[name] = round(time.perf_counter() - begin, 1)
            write_json(times, seconds)
    return seconds


def scores(scene: Scene) -> list[list[str]]:
    """Rows of split, variant, and the metrics, standard variant of each."""
    table = wide(collect_scores([scene.scores_path])).dropna(subset="jaccard")
    return [
        [str(row.split), str(row.variant), *(f"{getattr(row, metric):.3f}" for metric in METRICS)]
        for row in table.itertuples()
    ]


def main() -> None:
    arguments = parsed()
    rows: list[list[str]] = []
    for run in arguments.run:
        scored = [{"protocol": arguments.protocol, "truth": str(arguments.truth)}]
        overlays = ["on_saff"] if arguments.protocol == "saff" else []
        name, config = settings(run, arguments.scene, evaluation=scored, overlays=overlays)
        scene = own_scene(arguments.scene, arguments.out / name)
        print(name, chain(scene, config), flush=True)
        rows += [[name, *row] for row in scores(scene)]
    print(markdown(["run", "split", "masks", *METRICS], rows))


if __name__ == "__main__":
    main()
