"""Peak memory of the features stage on a long clip: the figure of docs/benchmarks.md#features.

Frames are noise, and the DINO network has random weights and fewer blocks than the published one: keys, windows and
arrays have the published sizes, which is what memory depends on (the published network's weights are 75 MB more).
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import _root  # noqa: F401
import cv2
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--size", type=int, nargs=2, default=(288, 512), metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--stride", type=int, default=1, help="features.stride (SAFF: 1)")
    parser.add_argument("--depth", type=int, default=1, help="blocks of the network (published: 12)")
    parser.add_argument("--work", type=Path, help="folder for the scene (some GB; default: a temporary one)")
    given = parser.parse_args()

    import timm

    from nsff.cameras import Cameras
    from nsff.config import FeaturesConfig
    from nsff.files.io import write_json
    from nsff.priors.features import stage as features
    from nsff.priors.features.describer import FeatureBackend
    from nsff.priors.features.dino import DinoFeatures
    from nsff.priors.features.dino_network import DinoNetwork
    from nsff.priors.features.registry import FEATURES
    from nsff.scene import Scene

    (rows, columns), n = given.size, given.frames
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        scene = Scene(Path(folder) / "scene")
        write_json(scene.manifest_path, {"n_frames": n, "width": columns, "height": rows, "frames": []})
        pose = np.tile(np.eye(4)[:3], (n, 1, 1))
        Cameras(np.tile(np.eye(3), (n, 1, 1)), pose, np.tile([1.0, 9.0], (n, 1)), columns, rows).save(
            scene.cameras_path
        )
        for i in range(n):
            noise = generator.integers(0, 255, (rows // 8, columns // 8, 3)).astype(np.uint8)
            scene.write_image(i, cv2.resize(noise, (columns, rows)))
        model = timm.create_model("vit_small_patch8_224", pretrained=False, num_classes=0, depth=given.depth).eval()
        network = DinoNetwork(model, 4, (0, 2, 4, 5))
        FEATURES.backends["dino"] = FeatureBackend(
            "dino", lambda config, weights: lambda scene: DinoFeatures(scene, config, network), attention=True
        )
        before, start = peak(), time.monotonic()
        features.run_features(scene, FeaturesConfig(backend="dino", stride=given.stride))
        seconds = time.monotonic() - start
        size = (scene.features_dir / "features.npy").stat().st_size / 2**30
    print(
        f"{n} frames of {rows}x{columns}, stride {given.stride}, {given.depth} blocks: peak {peak():.2f} GB "
        f"({before:.2f} GB before), features.npy {size:.2f} GB, {seconds:.0f} s"
    )


def peak() -> float:
    """Largest resident memory of this process so far, GB (2^30 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
