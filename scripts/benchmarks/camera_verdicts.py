"""Verdicts on cameras by flow, for prepared scenes and broken twins of them: is what is wrong called wrong?

A scene is a folder with cameras.json and flow/ (results/SCENE, or what any_clip.py prepared). Twins:

- follows: the camera stands still in the world of a thing that stays in the picture; its rotation is kept;
- jittered: centres are off by 5 % of the path's extent, at random;
- inverted: the camera goes the other way, so that all depth lies behind infinity;
- focal: the focal length is 1.5 times as long;
- flow of SCENE: flow of another scene of the list, brought to this one's size.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from _root import ROOT  # noqa: F401
from _scenes import markdown

from nsff.cameras import Cameras
from nsff.cameras.align import extent
from nsff.geometry.static_world import check_world
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.priors.canonical.stage import world_doubts
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache
from nsff.tracking.flow_pairs import flow_pairs

HEAD = ["scene", "cameras", "static", "border", "order", "far/near", "verdict"]


def follows(cameras: Cameras) -> Cameras:
    poses = cameras.world_to_camera.copy()
    poses[:, :, 3] = -np.einsum("nij,j->ni", poses[:, :, :3], cameras.centres[0])
    return replace(cameras, world_to_camera=poses)


def jittered(cameras: Cameras) -> Cameras:
    poses = cameras.world_to_camera.copy()
    poses[:, :, 3] += np.random.default_rng(0).normal(0, 0.05 * extent(cameras.centres), (len(cameras), 3))
    return replace(cameras, world_to_camera=poses)


def inverted(cameras: Cameras) -> Cameras:
    poses = cameras.world_to_camera.copy()
    centres = 2 * cameras.centres[0] - cameras.centres
    poses[:, :, 3] = -np.einsum("nij,nj->ni", poses[:, :, :3], centres)
    return replace(cameras, world_to_camera=poses)


def focal(cameras: Cameras) -> Cameras:
    K = cameras.intrinsics.copy()
    K[:, 0, 0] *= 1.5
    K[:, 1, 1] *= 1.5
    return replace(cameras, intrinsics=K)


def flow_of(scene: Scene, size: tuple[int, int]) -> Callable[[int, str], FlowAndMask]:
    def read(i: int, direction: str) -> FlowAndMask:
        flow, mask = scene.flow(min(i, len(scene.cameras) - (2 if direction == "fwd" else 1)), direction)
        return resize_flow(flow, size), resize_frame(mask.astype(np.uint8), size) > 0

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path, metavar="DIR")
    scenes = [Scene(path) for path in parser.parse_args().scenes]
    rows = []
    for k, scene in enumerate(scenes):
        own, other = scene.cameras, scenes[(k + 1) % len(scenes)]
        size = (own.height, own.width)
        twins: list[tuple[str, Cameras, Callable[[int, str], FlowAndMask]]] = [
            (name, change(own), scene.flow)
            for name, change in (
                ("as they are", lambda cameras: cameras), ("follows", follows), ("jittered", jittered),
                ("inverted", inverted), ("focal", focal),
            )
        ]  # fmt: skip
        if other is not scene:
            twins.append((f"flow of {other.root.name}", own, flow_of(other, size)))
        for name, cameras, flow in twins:
            check = check_world(cameras, flow_pairs(FlowCache(flow), len(own)))
            figures = [f"{value:.2f}" for value in (check.static, check.border, check.order, check.spread)]
            rows.append([str(Path(*scene.root.parts[-2:])), name, *figures, world_doubts(check)[0]])
    print(markdown(HEAD, rows))


if __name__ == "__main__":
    main()
