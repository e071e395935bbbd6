"""Fixtures of the workflow's tests: projects in folders of their own, Snakemake in them, and a small room to film."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from servers import ENVIRONMENT, ROOT, Ended, SnakemakeServer

from nsff.cameras import Cameras
from nsff.cameras.colmap import write_model
from nsff.cameras.llff import write_poses_bounds
from nsff.cameras.points import SparsePoints

# The least of everything: every stage real, nothing large.
TINY: dict[str, Any] = {
    "preset": "demo_planes",
    "canonical": {"resize_height": 48},
    "features": {"components": 8, "stride": 4},
    "field": {"plane_resolutions": [16, 32], "dynamic_resolutions": [16], "hidden": 16, "plane_channels": 4},
    "sampling": {"samples": 8, "coarse_samples": 8},
    "losses": {"decay_steps": 10},
    "train": {
        "device": "cpu", "steps": 150, "rays": 64, "motion_rays": 16, "warp_rays": 16, "log_every": 50,
        "checkpoint_every": 50, "tensorboard": False,
    },
    "render": {"paths": ["spacetime"], "frames": 4, "frame_rate": 4},
    "decompose": {"max_clusters": 4, "restarts": 2},
    "score": {"refine_steps": 2, "refine_rays": 64, "lpips": False, "refit_steps": 3},
    "report": {"frames": 2, "width": 96},
    "page": {"enabled": False},
}  # fmt: skip


@dataclass
class Project:
    """A working folder with a config.yaml of its own; the Snakefile is the repository's."""

    folder: Path
    server: SnakemakeServer
    config: dict[str, Any] = field(default_factory=dict)

    def configure(self, scenes: dict[str, Any], **sections: Any) -> None:
        self.config = merged(TINY, sections) | {"scenes": scenes}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config, allow_unicode=True), encoding="utf-8")

    def snakemake(self, *arguments: str, environment: dict[str, str] | None = None) -> Ended:
        """Snakemake with config.yaml on two cores. Targets come first: several options take many values."""
        common = ["--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--configfile", "config.yaml"]
        return self.server.run(self.folder, [*arguments, *common], environment)

    def jobs(self, *arguments: str) -> list[dict[str, Any]]:
        """Every job of the DAG for the targets (see snakemake_server.py)."""
        ended = self.snakemake(*arguments, "--d3dag", "--forceall" if "--all" in arguments else "--quiet")
        assert ended.status == 0, ended.text
        return json.loads(ended.stdout.strip().splitlines()[-1])

    def changed(self, *targets: str) -> set[str]:
        """Rules that would run."""
        return {job["rule"] for job in self.jobs(*targets) if job["runs"]} - {"all"}

    def scene(self, name: str) -> Path:
        return self.folder / "results" / name


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


@pytest.fixture(scope="session")
def server() -> Iterator[SnakemakeServer]:
    server = SnakemakeServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_project(server: SnakemakeServer, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """A function that makes a project in a new folder of the given name."""
    return lambda name="project": Project(tmp_path_factory.mktemp("workflow") / name, server)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """What processes that the tests start need: the package, this Python first on PATH, one thread."""
    return ENVIRONMENT


@dataclass(frozen=True)
class Finished:
    """A project in which everything was run once, and how that ended. Not to be written into: take a copy."""

    project: Project
    ended: Ended
    scene: str

    def copy(self, folder: Path) -> Project:
        """The same in a folder as deep as this one: scripts are known by their relative paths."""
        copied = folder / self.project.folder.name
        shutil.copytree(self.project.folder, copied, symlinks=True)
        return Project(copied, self.project.server, self.project.config)


@pytest.fixture(scope="session")
def finished(new_project, dense_writer, truth_writer) -> Finished:
    """The whole workflow on seven frames with given cameras; folders and scene have accents, spaces and quotes."""
    project = new_project("l'été à moi")
    clip = film()
    dense_writer(project.folder / "clip n° 1", clip)
    truth_writer(project.folder / "vérité (1)", clip)
    evaluation = [{"protocol": protocol, "truth": "vérité (1)"} for protocol in ("views", "masks")]
    # The same results whether pydensecrf is installed or not.
    own = {"input": {"path": "clip n° 1"}, "evaluation": evaluation, "crf": {"backend": "own"}}
    project.configure({"été_1": own})
    return Finished(project, project.snakemake(), "été_1")


@pytest.fixture(scope="session")
def room_film() -> Film:
    """Seven frames of the room."""
    return film()


@pytest.fixture
def project(new_project: Callable[..., Project]) -> Project:
    return new_project()


# --- a room to film --------------------------------------------------------------------------------------------------
def room(time: float) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int, bool]]:
    """Rectangles: centre (3,), half edges a, b (3,), seed of the texture, and whether it moves. OpenCV axes."""
    x, y, z = np.eye(3)
    return [
        (5.0 * z, 4.0 * x, 3.0 * y, 1, False),
        (3.0 * z + 1.2 * y, 4.0 * x, 3.0 * z, 2, False),
        (3.0 * z - 2.2 * x, 3.0 * y, 3.0 * z, 3, False),
        (3.6 * z + 1.1 * x + 0.4 * y, 0.5 * x + 0.1 * z, 0.8 * y, 4, False),
        (2.8 * z - 0.2 * x + (0.5 - 0.09 * time) * y, 0.4 * x, 0.4 * y, 5, True),  # up, across epipolar lines
    ]


@functools.cache
def texture(seed: int) -> np.ndarray:
    """Noise with detail at several scales, (256,256,3) float32 in 0..255; each rectangle has a hue of its own."""
    generator = np.random.default_rng(seed)
    parts = [
        cv2.resize(generator.random((n, n, 3), dtype=np.float32), (256, 256), interpolation=cv2.INTER_CUBIC)
        for n in (10, 30, 80)
    ]
    hue = np.array([[0.9, 0.6, 0.4], [0.5, 0.8, 0.5], [0.5, 0.6, 0.9], [0.8, 0.8, 0.4], [1.0, 0.3, 0.7]])[seed - 1]
    return np.clip((parts[0] + 0.7 * parts[1] + 0.5 * parts[2]) / 2.2, 0, 1) * hue.astype(np.float32) * 255


def photograph(
    pose: np.ndarray, K: np.ndarray, height: int, width: int, time: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (H,W,3) uint8, depth z (H,W), and the mask of what moves (H,W) at ``time``; pose is world to camera."""
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], -1) @ pose[:, :3]
    camera = -pose[:, :3].T @ pose[:, 3]
    image, depth = np.zeros((height, width, 3), np.uint8), np.full((height, width), np.inf)
    moving = np.zeros((height, width), bool)
    for centre, a, b, seed, moves in room(time):
        normal = np.cross(a, b)
        distance = (centre - camera) @ normal / (rays @ normal)
        offset = camera + distance[..., None] * rays - centre
        s, t = offset @ a / (a @ a), offset @ b / (b @ b)
        hit = (distance > 0) & (distance < depth) & (abs(s) <= 1) & (abs(t) <= 1)
        grid = [(128 + 40 * np.linalg.norm(edge) * value).astype(np.float32) for value, edge in ((s, a), (t, b))]
        colour = cv2.remap(texture(seed), grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        image[hit], depth[hit], moving[hit] = np.round(colour[hit]), distance[hit], moves
    return image, depth, moving


@dataclass(frozen=True)
class Film:
    """N frames of the room by a camera that moves sideways and turns a little; see ``photograph``."""

    images: np.ndarray
    depth: np.ndarray
    moving: np.ndarray
    cameras: Cameras


def film(count: int = 7, height: int = 48, width: int = 64) -> Film:
    focal = 0.9 * max(width, height)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    poses = np.array([pose_at(0.12 * moment(i - (count - 1) / 2, count)) for i in range(count)])
    shots = [photograph(pose, K, height, width, moment(i, count)) for i, pose in enumerate(poses)]
    images, depth, moving = (np.stack(parts) for parts in zip(*shots, strict=True))
    cameras = Cameras(np.tile(K, (count, 1, 1)), poses, np.tile([2.0, 6.0], (count, 1)), width, height)
    return Film(images, depth, moving, cameras)


def moment(i: float, count: int) -> float:
    """When frame i is taken: longer clips are shot faster, so that the camera stays in the room."""
    return i * min(1.0, 24 / (count - 1))


def pose_at(along: float, up: float = 0.0) -> np.ndarray:
    """World to camera (3,4) of a camera at (along, up, 0) that looks at the middle of the room."""
    angle = 0.1 * along
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return np.concatenate([rotation, -rotation @ np.array([[along], [up], [0.0]])], 1)


def write_dense(folder: Path, clip: Film, picture_writer: Callable[..., None]) -> Path:
    """A COLMAP folder: images/, and sparse/0/ with the true cameras and static points of known tracks."""
    names = [f"{i:05d}.png" for i in range(len(clip.images))]
    for name, image in zip(names, clip.images, strict=True):
        picture_writer(folder / "images" / name, image)
    height, width = clip.depth.shape[1:]
    generator = np.random.default_rng(0)
    xyz = []
    for i, (K, pose) in enumerate(zip(clip.cameras.intrinsics, clip.cameras.world_to_camera, strict=True)):
        rows, columns = generator.integers(0, height, 60), generator.integers(0, width, 60)
        keep = ~clip.moving[i, rows, columns]
        pixels = np.stack([columns[keep] + 0.5, rows[keep] + 0.5, np.ones(keep.sum())])
        seen = np.linalg.inv(K) @ pixels * clip.depth[i, rows[keep], columns[keep]]
        xyz.append((pose[:, :3].T @ (seen - pose[:, 3:])).T)
    points = np.concatenate(xyz)
    pixels, depth = clip.cameras.project(points)
    tracks = []
    for i in range(len(names)):
        column, row = (np.floor(pixels[i]).astype(int) * [1, 1]).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (depth[i] > 0)
        visible = np.flatnonzero(inside)
        near = abs(clip.depth[i, row[visible], column[visible]] - depth[i, visible]) < 0.05 * depth[i, visible]
        tracks += [(point, i) for point in visible[near]]
    order = np.array(sorted(tracks))
    sparse = SparsePoints(points, np.full((len(points), 3), 128, np.uint8), np.full(len(points), 0.5), *order.T)
    write_model(folder / "sparse" / "0", clip.cameras, names, sparse)
    return folder


def write_truth(folder: Path, clip: Film, picture_writer: Callable[..., None]) -> Path:
    """Truth for protocols views and masks: two held-out views, and the labels of all frames."""
    count, (height, width) = len(clip.images), clip.depth.shape[1:]
    K = clip.cameras.intrinsics[0]
    heldout = [(pose_at(0.1, 0.1), count // 2), (pose_at(-0.1, -0.1), count - 1)]
    for index, (pose, time) in enumerate(heldout):
        image, _, moving = photograph(pose, K, height, width, moment(time, count))
        picture_writer(folder / "heldout" / "images" / f"{index:02d}.png", image)
        picture_writer(folder / "heldout" / "labels" / f"{index:02d}.png", moving.astype(np.uint8))
    for i, moving in enumerate(clip.moving):
        picture_writer(folder / "labels" / f"{i:05d}.png", moving.astype(np.uint8))
    poses = [*clip.cameras.world_to_camera, *[pose for pose, _ in heldout]]
    content = {
        "width": width, "height": height, "K": K.tolist(), "near": 2.0, "far": 6.0,
        "cameras": [{"id": i, "w2c": pose.tolist()} for i, pose in enumerate(poses)],
        "mono": [[i, i] for i in range(count)],
        "heldout": [[count + i, time] for i, (_, time) in enumerate(heldout)],
    }  # fmt: skip
    (folder / "cameras.json").write_text(json.dumps(content))
    return folder


RIG, TIMES, SLOW = 12, 24, 0.4
"""Cameras of a rig, its times, and the room's time from one of them to the next."""


def write_nvidia(data: Path, name: str, picture_writer: Callable[..., None]) -> Path:
    """A scene of NVIDIA's data as NSFF and SAFF keep it: {name}/dense/ with every prior and mv_images/, and masks in
    gt_masks/{name} beside ``data``. Frame t is taken by camera t mod 12 at time t; labels are 0 and 100."""
    height, width, dense, truth = 48, 64, data / name / "dense", data.parent / "gt_masks" / name
    K = np.array([[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1.0]])
    rig = [pose_at(0.12 * (camera - RIG / 2)) for camera in range(RIG)]
    poses = [rig[t % RIG] for t in range(TIMES)]
    shots = {(c, t): photograph(rig[c], K, height, width, SLOW * t) for c in range(RIG) for t in range(TIMES)}
    own = [shots[t % RIG, t] for t in range(TIMES)]
    images, depth, moving = (np.stack(parts) for parts in zip(*own, strict=True))
    cameras = Cameras(np.tile(K, (TIMES, 1, 1)), np.array(poses), np.tile([2.0, 6.0], (TIMES, 1)), width, height)
    write_dense(dense, Film(images, depth, moving, cameras), picture_writer)
    for file in (dense / "sparse" / "0").iterdir():  # as image_undistorter leaves them
        file.rename(dense / "sparse" / file.name)
    (dense / "sparse" / "0").rmdir()
    write_poses_bounds(dense / "poses_bounds.npy", cameras)
    (dense / "disp").mkdir()
    (dense / "flow_i1").mkdir()
    v, u = np.mgrid[:height, :width] + 0.5
    for t in range(TIMES):
        np.save(dense / "disp" / f"{t:05d}.npy", (300 / depth[t]).astype(np.float32))
        picture_writer(dense / "motion_masks" / f"{t:05d}.png", moving[t].astype(np.uint8) * 255)
        seen = np.linalg.inv(K) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)]) * depth[t].ravel()
        points = (poses[t][:, :3].T @ (seen - poses[t][:, 3:])).T
        for direction, step in (("fwd", 1), ("bwd", -1)):
            if 0 <= t + step < TIMES:
                there = points - moving[t].ravel()[:, None] * [0, 0.09 * SLOW * step, 0]
                to = cameras[[t + step]].project(there)[0][0].reshape(height, width, 2)
                mask = ((to >= 0) & (to <= [width, height])).all(-1)
                np.savez(
                    dense / "flow_i1" / f"{t:05d}_{direction}.npz", mask=mask,
                    flow=(to - np.stack([u, v], -1)).astype(np.float32),
                )  # fmt: skip
        for camera in range(RIG):
            picture_writer(dense / "mv_images" / f"{t:05d}" / f"cam{camera + 1:02d}.jpg", shots[camera, t][0])
            mask = shots[camera, t][2].astype(np.uint8) * 255
            picture_writer(dense / "mv_masks" / f"{t:05d}" / f"cam{camera + 1:02d}.png", mask)
        for split, number, view in (("training", t, (t % RIG, t)), ("nv_spatial", TIMES + t, (0, t))):
            picture_writer(truth / f"{split}_{number:2d}.png", shots[view][2].astype(np.uint8) * 100)
    for camera in range(RIG):
        mask = shots[camera, 0][2].astype(np.uint8) * 100
        picture_writer(truth / f"nv_static_{2 * TIMES + camera:2d}.png", mask)
    return dense


@pytest.fixture(scope="session")
def nvidia_writer(picture_writer: Callable[..., None]) -> Callable[[Path, str], Path]:
    return lambda data, name: write_nvidia(data, name, picture_writer)


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """The settings of Project.configure: the least of everything."""
    return TINY


@pytest.fixture(scope="session")
def filmed() -> Callable[..., Film]:
    """The function film(count, height, width)."""
    return film


@pytest.fixture(scope="session")
def dense_writer(picture_writer: Callable[..., None]) -> Callable[[Path, Film], Path]:
    return lambda folder, clip: write_dense(folder, clip, picture_writer)


@pytest.fixture(scope="session")
def truth_writer(picture_writer: Callable[..., None]) -> Callable[[Path, Film], Path]:
    return lambda folder, clip: write_truth(folder, clip, picture_writer)
