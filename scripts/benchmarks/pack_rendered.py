"""Brings a scene of render_scenes.py into the layout of the NVIDIA Dynamic Scene data, with its truth, and checks it.

    python scripts/benchmarks/pack_rendered.py rendered/street --out scenes/street

- dense/{images,sparse,poses_bounds.npy}: what the workflow reads; sparse/ has 4,800 exact points that stand still;
- dense/{mv_images,mv_masks}: the views that were rendered, frame t by camera t mod 12 among them; gt_masks/: labels
  100, 200, … of frames, of camera 0 at all times and of all cameras at time 0, as SAFF names them (protocol saff);
- truth/{depth,flow,labels,moved,cameras.json}: z-depth in metres (``depth``), flow to the next and from the last frame
  (``flow``, ``visible``, ``inside``), labels 1, 2, …, and 255 where the surface itself moves by more than half a pixel
  to a neighbour, which less than the labels do: a person who gestures stands still otherwise.

Two checks are printed: pictures warped by true flow where it is visible (PSNR), and the same without flow.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
from _root import ROOT  # noqa: F401

from nsff.cameras import Cameras
from nsff.cameras.colmap import write_model
from nsff.cameras.llff import write_poses_bounds
from nsff.cameras.points import SparsePoints
from nsff.files.io import read_json, write_image, write_json, write_npz

POINTS = 4800
BACKDROPS = ("sky",)
"""Bodies on which structure from motion finds no points."""
SAME_DEPTH = 0.025
"""Relative difference of depths of one body up to which neighbouring pixels count as one surface."""
MOVED = 0.5
"""Pixels that a surface moves to a neighbouring frame, above which it counts as moving."""


@dataclass
class View:
    """The hits of a picture's rays: world points (H,W,3), z-depth (H,W), bodies (H,W) from 0."""

    points: np.ndarray
    depth: np.ndarray
    bodies: np.ndarray


class Rendered:
    """A folder of render_scenes.py."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.content = folder, read_json(folder / "rendered.json")
        self.width, self.height = self.content["width"], self.content["height"]
        focal = self.content["focal"]
        self.intrinsics = np.array([[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1]])
        self.poses = np.array(self.content["world_to_camera"])
        self.n_frames = self.content["times"]
        self.label_of = np.array(self.content["labels"], np.uint8)
        self.moving = {self.content["bodies"].index(b): np.array(m) for b, m in self.content["moving"].items()}
        self.frames = [self.view(self.camera_of(t), t) for t in range(self.n_frames)]

    def camera_of(self, time: int) -> int:
        return time % len(self.poses)

    def pose(self, time: int) -> np.ndarray:
        """World to camera (3,4) of a frame."""
        return self.poses[self.camera_of(time)]

    def picture(self, camera: int, time: int) -> np.ndarray:
        return cv2.cvtColor(cv2.imread(str(self.folder / f"{camera:02d}_{time:02d}.png")), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]

    def view(self, camera: int, time: int) -> View:
        file = OpenEXR.File(str(self.folder / f"{camera:02d}_{time:02d}.exr"), separate_channels=True)
        channels = {name.split(".", 1)[1]: one.pixels for part in file.parts for name, one in part.channels.items()}
        points = np.stack([channels[f"Position.{axis}"] for axis in "XYZ"], axis=-1).astype(np.float64)
        bodies = channels["Object Index.X"].round().astype(int) - 1
        if (bodies < 0).any():
            raise SystemExit(
                f"{self.folder}: {(bodies < 0).sum()} rays of camera {camera} end nowhere; close the world"
            )
        return View(points, points @ self.poses[camera, 2, :3] + self.poses[camera, 2, 3], bodies)

    def labels(self, view: View) -> np.ndarray:
        return self.label_of[view.bodies]

    def carried(self, time: int, to: int) -> np.ndarray:
        """The points of a frame where their bodies are at another time, (H,W,3)."""
        view = self.frames[time]
        moved = view.points.copy()
        for body, matrices in self.moving.items():
            change, on = matrices[to] @ np.linalg.inv(matrices[time]), view.bodies == body
            moved[on] = view.points[on] @ change[:3, :3].T + change[:3, 3]
        return moved

    def project(self, points: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (…,2) and z-depth (…) of world points."""
        seen = points @ pose[:, :3].T + pose[:, 3]
        at = seen @ self.intrinsics.T
        return at[..., :2] / at[..., 2:], seen[..., 2]

    def seen(self, at: np.ndarray, depth: np.ndarray, bodies: np.ndarray, to: int) -> tuple[np.ndarray, np.ndarray]:
        """Whether places (…,2) at a depth on bodies are visible in a frame, which one of the four pixels around each
        has to show; and whether they lie inside of it."""
        inside = ((at > 0) & (at < [self.width, self.height])).all(axis=-1)
        view, visible = self.frames[to], np.zeros(inside.shape, bool)
        corner = np.floor(np.where(inside[..., None], at, 0.5) - 0.5).astype(int)
        for dx in (0, 1):
            for dy in (0, 1):
                x = np.clip(corner[..., 0] + dx, 0, self.width - 1)
                y = np.clip(corner[..., 1] + dy, 0, self.height - 1)
                close = np.abs(view.depth[y, x] / depth - 1) < SAME_DEPTH
                visible |= close & (view.bodies[y, x] == bodies)
        return visible & inside, inside

    def flow(self, time: int, to: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Flow (H,W,2), where it is visible and where it stays inside."""
        at, depth = self.project(self.carried(time, to), self.pose(to))
        visible, inside = self.seen(at, depth, self.frames[time].bodies, to)
        return at - self.grid(), visible, inside

    def grid(self) -> np.ndarray:
        """Centres of pixels, (H,W,2)."""
        return np.stack(np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5), axis=-1)

    def moved(self, time: int) -> np.ndarray:
        """Where the surface itself moves, seen from one place."""
        found = np.zeros((self.height, self.width), bool)
        for to in (time - 1, time + 1):
            if 0 <= to < self.n_frames:
                at, _ = self.project(self.carried(time, to), self.pose(time))
                found |= np.linalg.norm(at - self.grid(), axis=-1) > MOVED
        return found

    def still(self, view: View) -> np.ndarray:
        backdrops = [i for i, name in enumerate(self.content["bodies"]) if name in BACKDROPS]
        return ~np.isin(view.bodies, [*self.moving, *backdrops])

    def cameras(self) -> Cameras:
        """Of the frames; near and far of what stands still."""
        bounds = [np.percentile(view.depth[self.still(view)], [0.1, 99.9]) for view in self.frames]
        poses = np.array([self.pose(t) for t in range(self.n_frames)])
        intrinsics = np.tile(self.intrinsics, (self.n_frames, 1, 1))
        return Cameras(intrinsics, poses, np.array(bounds), self.width, self.height)

    def points(self, random: np.random.Generator) -> SparsePoints:
        """Points that stand still, and the frames that see them."""
        xyz, rgb, bodies = [], [], []
        for t, view in enumerate(self.frames):
            chosen = random.choice(np.flatnonzero(self.still(view)), POINTS // self.n_frames, replace=False)
            xyz.append(view.points.reshape(-1, 3)[chosen])
            rgb.append(self.picture(self.camera_of(t), t).reshape(-1, 3)[chosen])
            bodies.append(view.bodies.ravel()[chosen])
        points, body = np.concatenate(xyz), np.concatenate(bodies)
        seen = [self.seen(*self.project(points, self.pose(t)), body, t)[0] for t in range(self.n_frames)]
        point, frame = np.nonzero(np.stack(seen, axis=1))
        return SparsePoints(points, np.concatenate(rgb), np.zeros(len(points)), point, frame)


def pack(scene: Rendered, out: Path, random: np.random.Generator) -> None:
    names = [f"{t:05d}.png" for t in range(scene.n_frames)]
    for t, name in enumerate(names):
        write_image(out / "dense" / "images" / name, scene.picture(scene.camera_of(t), t))
    write_poses_bounds(out / "dense" / "poses_bounds.npy", scene.cameras())
    write_model(out / "dense" / "sparse", scene.cameras(), names, scene.points(random))
    pack_truth(scene, out / "truth")
    held = []
    for camera, time in sorted(scene.content["views"]):
        picture = scene.folder / f"{camera:02d}_{time:02d}.png"
        if not picture.exists():
            continue
        labels = scene.labels(scene.view(camera, time))
        file = Path(f"{time:05d}") / f"cam{camera + 1:02d}"
        _write_jpeg(out / "dense" / "mv_images" / file.with_suffix(".jpg"), scene.picture(camera, time))
        mask = np.where(labels > 0, 255, 0).astype(np.uint8)
        write_image(out / "dense" / "mv_masks" / file.with_suffix(".png"), np.repeat(mask[..., None], 3, axis=2))
        n = scene.n_frames
        splits = [("training", time)] if camera == scene.camera_of(time) else []
        splits += [("nv_spatial", n + time)] if camera == 0 and time else []
        splits += [("nv_static", 2 * n + camera)] if time == 0 and camera else []
        for split, number in splits:
            write_image(out / "gt_masks" / f"{split}_{number:2d}.png", 100 * labels)
        if camera != scene.camera_of(time):
            held.append([camera, time])
    write_json(out / "truth" / "cameras.json", described(scene, held))


def pack_truth(scene: Rendered, out: Path) -> None:
    for t, view in enumerate(scene.frames):
        write_npz(out / "depth" / f"{t:05d}.npz", depth=view.depth.astype(np.float16))
        write_image(out / "labels" / f"{t:05d}.png", scene.labels(view))
        write_image(out / "moved" / f"{t:05d}.png", np.where(scene.moved(t), 255, 0).astype(np.uint8))
        for to, direction in ((t + 1, "fwd"), (t - 1, "bwd")):
            if 0 <= to < scene.n_frames:
                flow, visible, inside = scene.flow(t, to)
                path = out / "flow" / f"{t:05d}_{direction}.npz"
                write_npz(path, flow=flow.astype(np.float16), visible=visible, inside=inside)


def described(scene: Rendered, held: list[list[int]]) -> dict[str, Any]:
    """The content of truth/cameras.json."""
    depths = np.stack([view.depth for view in scene.frames])
    cameras = [
        {"id": c, "w2c": pose.tolist(), "centre": (-pose[:, :3].T @ pose[:, 3]).tolist()}
        for c, pose in enumerate(scene.poses)
    ]
    return {
        "scene": scene.content["scene"], "width": scene.width, "height": scene.height, "K": scene.intrinsics.tolist(),
        "near": 0.95 * float(depths.min()), "far": 1.02 * float(depths.max()),
        "convention": "OpenCV: x right, y down, z forward; pixel (i,j) has its centre at (i+0.5, j+0.5); metres",
        "objects": scene.content["objects"], "cameras": cameras,
        "mono": [[scene.camera_of(t), t] for t in range(scene.n_frames)], "heldout": held,
    }  # fmt: skip


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])


def check(scene: Rendered) -> None:
    """Prints how well pictures agree with their neighbours along true flow: all, what stands still, each object."""
    errors: dict[str, list[np.ndarray]] = {}
    for t in range(scene.n_frames - 1):
        first, second = scene.picture(scene.camera_of(t), t), scene.picture(scene.camera_of(t + 1), t + 1)
        flow, visible, _ = scene.flow(t, t + 1)
        at = (scene.grid() + flow - 0.5).astype(np.float32)
        warped = cv2.remap(second, at, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
        labels = scene.labels(scene.frames[t])
        for name, there in [("without flow", second), *((f"thing {k}", warped) for k in range(labels.max() + 1))]:
            region = visible & (labels == int(name[-1])) if name[-1].isdigit() else visible
            errors.setdefault(name, []).append(((there.astype(float) - first)[region] ** 2).ravel())
    found = {name: 10 * np.log10(255**2 / np.concatenate(parts).mean()) for name, parts in errors.items()}
    print(f"{scene.folder.name}: " + ", ".join(f"{name} {value:.1f} dB" for name, value in found.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="the folder of the rendered scene")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder")
    given = parser.parse_args()
    scene = Rendered(given.scene)
    pack(scene, given.out, np.random.default_rng(0))
    check(scene)


if __name__ == "__main__":
    main()
