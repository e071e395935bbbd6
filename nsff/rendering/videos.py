"""The render stage: videos along view, time and space-time paths, in H.264."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import imageio.v2 as imageio
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from nsff.config import RenderConfig
from nsff.errors import ConfigError, StageError
from nsff.files.io import atomic_directory, atomic_path, write_image
from nsff.layout import render_map_name
from nsff.models.base import LeftOut
from nsff.paths import Path4D, make_path, read_path_file
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene

PathKind = Literal["view", "time", "spacetime", "keyframes"]


def run_render(
    scene: Scene,
    render: RenderConfig,
    path: PathKind,
    left_out: LeftOut | None = None,
) -> dict[str, Any]:
    """Renders one path to renders/{path}.mp4, and to renders/{path}/ where ``render.pictures`` asks for it (else that
    folder is empty); returns the summary. ``left_out`` is what ``render.without`` means for the scene
    (nsff.decompose.removal)."""
    renderer = Renderer.load(scene.model_dir, chunk=render.chunk).without(left_out)
    route, height, width = route_of(scene, render, path)
    renderer.enlarged = max(1.0, height / scene.size[0])
    write_maps(scene.render_maps_dir(path), renderer, route, (height, width), render)
    frames = draw_frames(renderer, route, (height, width), render, f"render {path}")
    target = scene.video_path(path)
    write_video(target, frames, render.frame_rate)
    with atomic_directory(scene.render_pictures_dir(path)) as folder:
        if render.pictures:
            write_pictures(folder, frames)
    # A sharpness drop or jumps between frames show as a change of the mean absolute difference.
    steps = np.array([np.abs(a.astype(int) - b).mean() for a, b in zip(frames[1:], frames[:-1], strict=True)])
    jump = float(steps.max() / max(np.median(steps), 1e-6))
    verdict = "good" if jump < 4 else "doubtful"
    message = (
        f"{len(frames)} frames of {width}x{height}; the largest change between frames is {jump:.1f} times the median."
    )
    if left_out is not None:
        message += f" Left out: {render.without}."
    if verdict != "good":
        message += " The video jumps: look for it at the ends of the clip or where frames are duplicated."
    summary = {
        "frames": len(frames),
        "width": width,
        "height": height,
        "largest_jump": jump,
        "verdict": verdict,
        "message": message,
    }
    scene.write_summary(f"render_{path}", summary)
    return summary


def route_of(scene: Scene, render: RenderConfig, path: PathKind) -> tuple[Path4D, int, int]:
    """The path, with cameras of the size of its video, and that size: height and width."""
    height, width = even(scene.size[0] / render.render_factor), even(scene.size[1] / render.render_factor)
    if path == "keyframes":
        if render.path_file is None:
            raise ConfigError("render.path_file", "is not set", "save a path from the scene's page, and name it here")
        file = Path(render.path_file)
        return read_path_file(file, height, width, render.frame_rate, scene.n_frames), height, width
    cameras = scene.cameras.resized(height, width)
    route = make_path(
        path, cameras, render.frames, render.target, render.amplitude, render.start, render.end, render.follow
    )
    return route, height, width


def draw_frames(
    renderer: Renderer, route: Path4D, size: tuple[int, int], render: RenderConfig, title: str
) -> list[UInt8[np.ndarray, "H W 3"]]:
    """The pictures along a path."""
    frames = []
    views = zip(route.cameras.intrinsics, route.cameras.world_to_camera, route.times, strict=True)
    for K, E, time in tqdm(views, total=len(route), desc=title, unit="frame"):
        rgb = renderer.render_between(K, E, *size, float(time), render.interpolation)
        frames.append((rgb.numpy() * 255).round().astype(np.uint8))
    return frames


def write_maps(folder: Path, renderer: Renderer, route: Path4D, size: tuple[int, int], render: RenderConfig) -> None:
    """Writes ``render.maps`` along a path into ``folder`` (empty without any): {map}.mp4, saliency in grey, features by
    their three principal components; and {map}/%05d.npy, float16, (H,W) or (H,W,C), beside pictures of them where
    ``render.pictures`` asks for these."""
    with atomic_directory(folder) as temporary:
        for name in render.maps:
            (temporary / name).mkdir()
            paths = []
            views = zip(route.cameras.intrinsics, route.cameras.world_to_camera, route.times, strict=True)
            for i, (K, E, time) in enumerate(tqdm(views, total=len(route), desc=f"render {name}", unit="frame")):
                values = renderer.render_between(K, E, *size, float(time), render.interpolation, name)
                paths.append(temporary / name / render_map_name(i))
                np.save(paths[-1], values.numpy().astype(np.float16), allow_pickle=False)
            show = np.atleast_3d if name == "saliency" else principal_colours(paths)
            frames = [np.broadcast_to(show(np.load(path)) * 255, (*size, 3)).round().astype(np.uint8) for path in paths]
            write_video(temporary / f"{name}.mp4", frames, render.frame_rate)
            if render.pictures:
                write_pictures(temporary / name, frames)


def principal_colours(paths: list[Path]) -> Callable[[np.ndarray], np.ndarray]:
    """A function from features (H,W,C) to colours (H,W,3) in [0,1]: principal components, alike in all the files.

    Fit on every 100th pixel; each component fills its range there (SAFF, gen_video.py).
    """
    arrays = (np.load(path, mmap_mode="r") for path in paths)
    sample = np.concatenate([array.reshape(-1, array.shape[-1])[::100] for array in arrays]).astype(np.float32)
    mean = sample.mean(0)
    basis = np.linalg.svd(sample - mean, full_matrices=False)[2][:3].T
    low, high = ((sample - mean) @ basis).min(0), ((sample - mean) @ basis).max(0)

    def colours(features: np.ndarray) -> np.ndarray:
        return (((features - mean) @ basis - low) / np.maximum(high - low, 1e-9)).clip(0, 1)

    return colours


def write_pictures(folder: Path, frames: Sequence[UInt8[np.ndarray, "H W 3"]]) -> None:
    """Writes RGB frames as 000.png, 001.png ...: three digits, or as many as the last number has."""
    digits = max(3, len(str(len(frames) - 1)))
    for i, frame in enumerate(frames):
        write_image(folder / f"{i:0{digits}d}.png", frame)


def write_video(path: Path, frames: list[np.ndarray], frame_rate: float) -> None:
    """Writes uint8 RGB frames of even size as H.264, yuv420p, playable in browsers."""
    with atomic_path(path) as temporary:
        writer: Any = imageio.get_writer(
            temporary, format="FFMPEG", fps=frame_rate, codec="libx264", quality=8, macro_block_size=2
        )
        with writer:
            for frame in frames:
                writer.append_data(frame)
        _check_complete(path, temporary, len(frames))


def _check_complete(path: Path, written: Path, count: int) -> None:
    """The encoder is a process of its own, whose failure (a full disk) nobody is told of."""
    from imageio_ffmpeg import count_frames_and_secs  # here, so that rendering without videos does without it

    try:
        found = count_frames_and_secs(str(written))[0]
    except (RuntimeError, OSError):
        found = 0
    if found != count:
        raise StageError(
            path, f"the encoder wrote {found} of {count} frames", "is there space left on the device? then run again"
        )


def even(value: float) -> int:
    """The nearest even number, at least 2: H.264 with yuv420p takes no odd sizes."""
    return max(2, 2 * round(value / 2))
