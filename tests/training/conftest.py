"""A tiny canonical scene with true geometry, as training reads it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.files.io import write_image, write_json
from nsff.scene import Scene

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def tiny_scene(tmp_path, tiny_renderer):
    """The function make(count, height, width) -> Scene with cameras, images, flow, depth, masks and features."""

    def make(count: int = 5, height: int = 24, width: int = 32, name: str = "tiny") -> Scene:
        frames, masks, depth, poses, K = tiny_renderer(count, height, width)
        scene = Scene(tmp_path / name)
        write_json(
            scene.manifest_path, {"n_frames": count, "width": width, "height": height, "given": {"cameras": True}}
        )
        near_far = np.tile([[1.8, 4.5]], (count, 1))
        Cameras(np.repeat(K[None], count, 0), poses, near_far, width, height).save(scene.cameras_path)
        for i in range(count):
            scene.write_image(i, frames[i])
            scene.write_disparity(i, 1 / depth[i], np.ones_like(depth[i]))
            write_image(scene.motion_dir / f"{i:05d}.png", masks[i].astype(np.uint8) * 255)
        u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        for i in range(count):
            for direction, j in (("fwd", i + 1), ("bwd", i - 1)):
                if 0 <= j < count:
                    moved = (poses[j, :, 3] - poses[i, :, 3])[None, None] + masks[i][..., None] * np.array(
                        [0.05 * (j - i), 0, 0]
                    )
                    flow = K[0, 0] * moved[..., :2] / depth[i][..., None]
                    inside = (
                        (u + flow[..., 0] > 0)
                        & (u + flow[..., 0] < width)
                        & (v + flow[..., 1] > 0)
                        & (v + flow[..., 1] < height)
                    )
                    scene.write_flow(i, direction, flow, inside)
        scene.write_summary("depth", {"metric": True})
        small = frames[:, ::2, ::2].astype(np.float32) / 255
        features = small @ np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32) / 8
        scene.write_features(features, masks[:, ::2, ::2].astype(np.float32))
        return scene

    return make
