"""Do clusters of features tell the true objects apart? The table of docs/benchmarks.md#features.

Features of all frames (stride 4) are clustered by k-means into K clusters. For every object of the truth: the largest
intersection over union of one cluster with it, over all frames together. With motion weight 0 appearance alone decides;
2.5 is the default. VGG16's weights are looked for as the workflow does (NSFF_WEIGHTS).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from _scenes import arguments, markdown, prepared

from nsff.config import FeaturesConfig, MotionConfig
from nsff.files.io import read_mask, read_npz
from nsff.priors.features.stage import run_features
from nsff.priors.motion.stage import run_motion
from nsff.scene import Scene

STRIDE = 4
CLUSTERS = (6, 12, 20)
OBJECTS = {
    "demo": ("demo/truth/labels/{:05d}.png", {1: "woman"}),
    "toss": ("toss/gt_masks/training_{:2d}.png", {100: "box", 200: "bear"}),
}


def true_labels(scene: Scene, pattern: str) -> np.ndarray:
    """Object labels at the size of the features, (N,h,w)."""
    at = read_npz(scene.pixel_map_path, ["map"])["map"].astype(np.float32) - 0.5
    labels = [read_mask(Path(pattern.format(i))) for i in range(scene.n_frames)]
    canonical = [cv2.remap(label, at, None, cv2.INTER_NEAREST) for label in labels]  # type: ignore[call-overload]
    return np.stack(canonical)[:, ::STRIDE, ::STRIDE]


def main() -> None:
    from sklearn.cluster import MiniBatchKMeans

    given = arguments(__doc__ or "")
    rows = []
    for name in (name for name in given.only if name in OBJECTS):
        scene = prepared(name, given.scenes, given.work)
        run_motion(scene, MotionConfig(instances="off"))
        pattern, objects = OBJECTS[name]
        labels = true_labels(scene, f"{given.scenes}/{pattern}").reshape(-1)
        for backend in ("vgg", "classical"):
            for weight in (0.0, 2.5):
                run_features(scene, FeaturesConfig(backend=backend, stride=STRIDE, motion_weight=weight))
                features = np.asarray(scene.features()[0], np.float32)
                pixels = features.reshape(-1, features.shape[3])
                found: dict[int, list[str]] = {number: [] for number in objects}
                for k in CLUSTERS:
                    model = MiniBatchKMeans(k, n_init=5, random_state=0, batch_size=8192)
                    clusters = model.fit(pixels).labels_
                    for number, values in found.items():
                        true = labels == number
                        parts = (clusters == j for j in range(k))
                        values.append(f"{max((true & part).sum() / (true | part).sum() for part in parts):.2f}")
                for number, values in found.items():
                    rows.append([name, objects[number], backend, f"{weight:g}", *values])
    print(markdown(["scene", "object", "backend", "motion weight", *(f"K = {k}" for k in CLUSTERS)], rows))


if __name__ == "__main__":
    main()
