"""Fixtures for all tests: the repository on the path, the shared scenes, and a tiny clip with known geometry."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch: waiting threads sleep, as in scripts/_arguments.py
if together := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(together))))
ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """GPU code rots unseen: whichever tests ran, the last lines say so where the record of its tests is stale."""
    from nsff import gpu_check

    gpu_check.report(ROOT, terminalreporter.write_line, terminalreporter.write_sep)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With --dist loadfile each process takes whole files, and one takes all files that use the fixture ``finished`` of
    tests/workflow, a whole run of the workflow, so that it is made once."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "files with a finished scene" if needs_finished(file) else file

    return Scheduling(config, log)


@functools.cache
def needs_finished(file: str) -> bool:
    return file.startswith("tests/workflow/") and bool(
        re.search(r"def \w+\([^)]*\bfinished\b", (ROOT / file).read_text())
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first, so that two processes end at about the same time."""
    files = {item.path: item.path.relative_to(ROOT).as_posix() for item in items}
    late = {path: (not needs_finished(file), "workflow" not in path.parts) for path, file in files.items()}
    items.sort(key=lambda item: late[item.path])


REAL_WEIGHTS = os.environ.pop("NSFF_WEIGHTS", None) or os.environ.get("NSFF_TEST_WEIGHTS")
"""What the environment names; tests see it through ``real_weight`` alone."""
if REAL_WEIGHTS:
    os.environ["NSFF_TEST_WEIGHTS"] = REAL_WEIGHTS  # for the processes that pytest starts


@pytest.fixture(autouse=True)
def weightless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds pretrained weights by accident, which would change what backends it runs."""
    monkeypatch.delenv("NSFF_WEIGHTS", raising=False)
    monkeypatch.setattr("nsff.weights.search.CACHE", str(ROOT / "no" / "weights"))


@pytest.fixture(scope="session")
def real_weight() -> Callable[[str], Path]:
    """A function that gives the file of weights of that name on this machine, or skips the test."""

    def find(name: str) -> Path:
        folders = [Path(folder).expanduser() for folder in (REAL_WEIGHTS, "~/.cache/nsff") if folder]
        path = next((folder / name for folder in folders if (folder / name).exists()), None)
        if path is None:
            pytest.skip(f"{name} is not among the weights of this machine (NSFF_WEIGHTS)")
        return path

    return find


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with shared scenes and documents, beside the repository; tests that use it skip without it."""
    folder = ROOT.parent / "shared"
    if not (folder / "scenes").is_dir():
        pytest.skip("no ../shared/scenes beside the repository")
    return folder


@dataclass(frozen=True)
class TinyClip:
    """N frames of a wall, a nearer board (both static) and a moving square; the camera slides to the right.

    frames (N,H,W,3) uint8; masks (N,H,W) bool, True on the square; depth (N,H,W) float32, z in scene units;
    world_to_camera (N,3,4) OpenCV; K (3,3) pixels. ``folder`` holds frames/%05d.png, clip.mkv (lossless, FFV1) and
    clip.mp4 (H.264), at ``frame_rate``.
    """

    folder: Path
    frames: np.ndarray
    masks: np.ndarray
    depth: np.ndarray
    world_to_camera: np.ndarray
    K: np.ndarray
    frame_rate: int = 10

    @property
    def frames_dir(self) -> Path:
        return self.folder / "frames"

    @property
    def video(self) -> Path:
        return self.folder / "clip.mp4"

    @property
    def lossless(self) -> Path:
        return self.folder / "clip.mkv"

    def __len__(self) -> int:
        return len(self.frames)


def _texture(seed: int, size: int = 256) -> np.ndarray:
    """Band-limited noise (size,size,3) float32 in 0..255, with detail at several scales."""
    generator = np.random.default_rng(seed)
    result = np.zeros((size, size, 3), np.float32)
    for cells, weight in ((12, 1.0), (36, 0.8), (72, 0.5)):
        result += weight * cv2.resize(
            generator.random((cells, cells, 3), dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC
        )
    low, high = np.percentile(result, [1, 99])
    return np.clip((result - low) / (high - low), 0, 1) * 255


def render_tiny(count: int = 8, height: int = 48, width: int = 64) -> tuple[np.ndarray, ...]:
    """Frames, masks, depth, world_to_camera and K of the tiny clip (see TinyClip)."""
    focal = 0.9 * width
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    # Each layer: depth, centre (x, y) and half size in scene units, texture seed, speed (x per frame).
    layers = [
        (4.0, (0.0, 0.0), (9.0, 9.0), 1, 0.0),
        (2.8, (-0.7, 0.35), (0.45, 0.6), 2, 0.0),
        (2.0, (0.1, -0.2), (0.3, 0.3), 3, 0.05),
    ]
    textures = {seed: _texture(seed) for *_, seed, _ in layers}
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    frames = np.zeros((count, height, width, 3), np.uint8)
    masks = np.zeros((count, height, width), bool)
    depth = np.zeros((count, height, width), np.float32)
    poses = np.tile(np.eye(4)[:3], (count, 1, 1))
    for i in range(count):
        camera = np.array([0.06 * i - 0.2, 0.01 * i, 0.0])
        poses[i, :, 3] = -camera
        for z, (cx, cy), (rx, ry), seed, speed in layers:
            x = (u - K[0, 2]) / focal * z + camera[0] - cx - speed * i
            y = (v - K[1, 2]) / focal * z + camera[1] - cy
            inside = (abs(x) <= rx) & (abs(y) <= ry)
            grid = [(16 * value + 128).astype(np.float32) for value in (x, y)]
            colour = cv2.remap(textures[seed], grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            frames[i][inside] = np.round(colour[inside])
            depth[i][inside] = z
            masks[i][inside] = speed != 0
    return frames, masks, depth, poses, K


def write_video(
    path: Path,
    frames: np.ndarray,
    codec: str,
    pixel_format: str,
    frame_rate: int = 10,
    times: list[float] | None = None,
    options: dict[str, str] | None = None,
) -> None:
    """Encodes frames (N,H,W,3) RGB or (N,H,W,4) RGBA; ``times`` (seconds) makes the frame rate variable.

    ``options`` are those of the container.
    """
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=frame_rate)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pixel_format
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"crf": "10", "preset": "veryfast"}
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(image), format="rgba" if image.shape[2] == 4 else "rgb24"
            )
            frame.pts = round(1000 * (times[i] if times else i / frame_rate))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes (H,W), (H,W,3) RGB or (H,W,4) RGBA; the suffix chooses the format."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(path.suffix, image)
    assert ok
    path.write_bytes(data.tobytes())


@pytest.fixture(scope="session")
def video_writer() -> Callable[..., None]:
    """The function write_video(path, frames, codec, pixel_format, frame_rate=10, times=None)."""
    return write_video


@pytest.fixture(scope="session")
def picture_writer() -> Callable[..., None]:
    """The function write_png(path, image)."""
    return write_png


@pytest.fixture(scope="session")
def tiny_renderer() -> Callable[..., tuple[np.ndarray, ...]]:
    """The function render_tiny(count, height, width): the tiny clip in other counts and sizes."""
    return render_tiny


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> TinyClip:
    """Eight frames of 64x48, the same every time; do not write into its folder."""
    folder = tmp_path_factory.mktemp("tiny_clip")
    frames, masks, depth, poses, K = render_tiny()
    clip = TinyClip(folder, frames, masks, depth, poses, K)
    for i, image in enumerate(frames):
        write_png(clip.frames_dir / f"{i:05d}.png", image)
    write_video(clip.video, frames, "libx264", "yuv420p", clip.frame_rate)
    write_video(clip.lossless, frames, "ffv1", "bgr0", clip.frame_rate)
    (folder / "cameras.json").write_text(json.dumps({"K": K.tolist(), "world_to_camera": poses.tolist()}))
    return clip


@pytest.fixture
def tiny_scene(tmp_path: Path, tiny_renderer: Callable[..., tuple[np.ndarray, ...]]) -> Callable[..., Any]:
    """The function make(count, height, width) -> Scene with cameras, images, flow, depth, masks and features: a tiny
    canonical scene with true geometry, as training reads it."""
    from nsff.cameras import Cameras
    from nsff.files.io import write_image, write_json
    from nsff.scene import Scene

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
