"""Every reader, with the good files that it reads: ``READERS[name]`` makes them in a folder and reads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import torch
from safetensors.torch import save_file

from nsff.cameras import Cameras
from nsff.cameras.colmap import read_model, to_reconstruction
from nsff.cameras.llff import read_poses_bounds, write_poses_bounds
from nsff.cameras.nerfstudio import read_transforms, write_transforms
from nsff.cameras.points import SparsePoints
from nsff.cameras.spaces import make_space
from nsff.config import load_config, resolve_scene
from nsff.config.published import convert
from nsff.datasets import open_truth
from nsff.datasets.dycheck_capture import Capture
from nsff.datasets.frames import FrameFolder
from nsff.datasets.given_tracks import read_tracks
from nsff.datasets.priors import read_depth_as_disparity, read_disparity, read_given_flow
from nsff.datasets.sensor_depth import read_values
from nsff.datasets.truth import read_labels
from nsff.datasets.video import VideoSource
from nsff.decompose.clusters import Clusters, salient_labels
from nsff.decompose.views import read_features, read_motion, read_saliency, read_views
from nsff.files.io import read_image, read_mask, write_csv, write_image, write_json, write_npz
from nsff.metrics.canonical_truth import PixelMap
from nsff.metrics.folder import read_prediction_labels
from nsff.metrics.table import COLUMNS, collect_scores
from nsff.models.ray_fields.published_checkpoints import read_checkpoint
from nsff.models.ray_fields.scene_model import Model
from nsff.priors.features.basis import Basis
from nsff.rendering.renderer import Renderer
from nsff.report.section_model import read_history
from nsff.scene import Scene, read_flow, write_flow
from nsff.training.checkpoints import CheckpointStore
from nsff.training.model_files import write_model
from nsff.weights.tensors import read_tensors

N, H, W = 4, 24, 32
RNG = np.random.default_rng(0)
FRAMES = [cv2.resize(RNG.integers(0, 255, (6, 8, 3)).astype(np.uint8), (W, H)) for _ in range(N)]


class Reader(NamedTuple):
    """How to make good files in a folder, and how to read them there; ``files`` are those that are mutated."""

    make: Callable[[Path], Any]
    read: Callable[[Path], Any]
    files: tuple[str, ...]


def cameras() -> Cameras:
    K = np.array([[30.0, 0, W / 2], [0, 30.0, H / 2], [0, 0, 1]])
    poses = np.tile(np.eye(4)[:3], (N, 1, 1))
    poses[:, 0, 3] = 0.1 * np.arange(N)
    return Cameras(np.tile(K, (N, 1, 1)), poses, np.tile([1.0, 9.0], (N, 1)), W, H)


def points() -> SparsePoints:
    xyz = np.random.default_rng(1).uniform([-1, -1, 3], [1, 1, 6], (12, 3))
    track = np.repeat(np.arange(12), N)
    return SparsePoints(xyz, np.full((12, 3), 99), np.ones(12), track, np.tile(np.arange(N), 12))


def colmap(folder: Path, binary: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model = to_reconstruction(cameras(), [f"{i:05d}.png" for i in range(N)], points())
    (model.write_binary if binary else model.write_text)(str(folder))


def picture(path: Path, image: np.ndarray, *options: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image, list(options))[1].tobytes())


def folder_of(suffix: str) -> Reader:
    def make(folder: Path) -> None:
        for i, frame in enumerate(FRAMES[:2]):
            picture(folder / f"{i}{suffix}", frame)

    return Reader(make, lambda folder: list(FrameFolder(folder).frames(0, None, 1)), (f"1{suffix}",))


def film(name: str, codec: str, layout: str, rate: int = 10) -> Reader:
    def make(folder: Path) -> None:
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt = W, H, layout
            if codec == "libx265":
                stream.options = {"x265-params": "log-level=none"}
            for frame in FRAMES:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=layout)))
            container.mux(stream.encode())

    def read(folder: Path) -> None:
        source = VideoSource(folder / name)
        for _ in source.frames(0, None, 1):
            pass

    return Reader(make, read, (name,))


def scene_files(folder: Path) -> None:
    """A scene with the outputs of every stage that others read."""
    scene = Scene(folder)
    write_json(scene.manifest_path, {"n_frames": N, "width": W, "height": H, "frames": [], "source": {"path": "v"}})
    cameras().save(scene.cameras_path)
    points().save(scene.points_path)
    u, v = np.meshgrid(np.arange(W) + 0.5, np.arange(H) + 0.5)
    write_npz(scene.pixel_map_path, map=np.stack([u, v], -1).astype(np.float32), frame_size=np.array([H, W]))
    for i in range(2):
        scene.write_image(i, FRAMES[i])
        write_image(scene.motion_dir / f"{i:05d}.png", FRAMES[i][..., 0])
        scene.write_disparity(i, np.ones((H, W)), np.ones((H, W)))
    write_flow(scene.flow_dir / "00000_fwd.npz", np.ones((H, W, 2)), np.ones((H, W)))
    rng = np.random.default_rng(2)
    scene.write_features(rng.random((N, 6, 8, 5)), rng.random((N, 6, 8)))
    scene.write_summary("flow", {"verdict": "good", "message": "Fine.", "values": [1.5, 2]})
    maps = scene.maps_dir
    write_json(maps / "views.json", [{"index": i, "split": "training", "camera": i, "time": float(i)} for i in (0, 1)])
    write_json(maps / "scale.json", {"disparity_of_65535": 1.5})
    np.save(maps / "0_features.npy", rng.random((6, 8, 5)).astype(np.float16))
    np.save(maps / "0_motion.npy", rng.random((H, W, 2)).astype(np.float16))
    write_image(maps / "0_sal.png", FRAMES[0][..., 0])
    scene.clusters_dir.mkdir()
    found = Clusters(rng.random((3, 5), np.float32), np.arange(3), [1])
    found.save(scene.clusters_dir, {})
    rows = [dict(zip(COLUMNS, ["s", "views", "full", "heldout", "psnr", 20.5], strict=True))]
    write_csv(scene.scores_path, COLUMNS, rows)


def model_files(folder: Path) -> None:
    scene_files(folder)
    scene = Scene(folder)
    own = {"input": {"path": "v"}, "field": {"plane_resolutions": [4], "dynamic_resolutions": [4], "hidden": 8}}
    config = resolve_scene("s", own, "demo_planes", {})
    model = Model(make_space("auto", scene.cameras), config.field, config.sampling, 3, N)
    write_model(scene, model, config, 10, 1.0, [(0, "psnr", 1.0), (10, "psnr", 2.0)])
    for record in (folder / "checksums").glob("*"):
        record.unlink()


def saved(name: str, content: Any) -> Callable[[Path], None]:
    return lambda folder: torch.save(content, folder / name)


def checkpoints(folder: Path) -> None:
    store = CheckpointStore(folder, "print")
    store.save(5, {"step": 5, "model": {"a": torch.ones(3, 4)}, "rng": torch.get_rng_state()})


def published(folder: Path) -> None:
    state = {"pts_linears.0.weight": torch.ones(4, 4), "pts_linears.0.bias": torch.ones(4)}
    content = {"global_step": 5, "network_rigid": state, "network_fn_state_dict": state}
    torch.save(content, folder / "360000.tar", _use_new_zipfile_serialization=False)


def config(folder: Path) -> None:
    (folder / "v").mkdir(exist_ok=True)
    text = "preset: fast\ntrain: {steps: 300, learning_rate: 0.001}\nscenes:\n  walk:\n    input:\n      path: v\n"
    (folder / "config.yaml").write_text(
        text + "      end: 12\n    decompose: &d {max_clusters: 4}\n    overlays: [_2]\n"
    )


def capture(folder: Path) -> None:
    camera = {
        "orientation": np.eye(3), "position": [0, 0, 0], "focal_length": 30.0, "principal_point": [W / 2, H / 2],
        "image_size": [W, H], "skew": 0.0, "pixel_aspect_ratio": 1.0, "radial_distortion": [0, 0, 0],
        "tangential_distortion": [0, 0],
    }  # fmt: skip
    names = [f"0_{i:05d}" for i in range(3)]
    for name in names:
        write_json(folder / "camera" / f"{name}.json", camera)
    write_json(folder / "metadata.json", {name: {"warp_id": i, "camera_id": 0} for i, name in enumerate(names)})
    write_json(folder / "dataset.json", {"train_ids": names, "val_ids": []})
    write_json(folder / "scene.json", {"center": [0, 0, 0], "scale": 1.0, "near": 0.1, "far": 5.0})
    write_json(folder / "extra.json", {"fps": 30})


def read_capture(folder: Path) -> None:
    found = Capture(folder)
    assert found.frame_rate is None or found.frame_rate > 0
    found.cameras(found.names("train"))


def truth(folder: Path) -> None:
    content = {
        "width": W, "height": H, "K": np.eye(3) * 30, "near": 1.0, "far": 9.0, "mono": [[i, i] for i in range(N)],
        "cameras": [{"id": i, "w2c": np.eye(4)} for i in range(N)], "heldout": [[0, 1], [1, 0]],
    }  # fmt: skip
    write_json(folder / "cameras.json", content)
    for i in range(2):
        write_image(folder / "heldout" / "images" / f"{i:02d}.png", FRAMES[i])


def basis(folder: Path) -> None:
    write_npz(folder / "a.npz", mean=np.ones(4), components=np.ones((2, 4)), explained_variance_ratio=np.ones(2))


def png16(folder: Path) -> None:
    picture(folder / "0.png", RNG.integers(1, 9000, (H, W)).astype(np.uint16))


def label_map(folder: Path) -> None:
    picture(folder / "0.png", np.digitize(FRAMES[0][..., 0], [80, 120, 160]).astype(np.uint8))


def of_scene(read: Callable[[Scene], Any], *files: str, make: Callable[[Path], Any] = scene_files) -> Reader:
    return Reader(make, lambda folder: read(Scene(folder)), files)


def files_of(colmap_suffix: str) -> tuple[str, ...]:
    names = ("cameras", "images", "points3D", "frames", "rigs")
    return tuple(f"sparse/{name}{colmap_suffix}" for name in names)


READERS: dict[str, Reader] = {
    "colmap bin": Reader(lambda f: colmap(f / "sparse", True), read_model, files_of(".bin")),
    "colmap bin again": Reader(lambda f: colmap(f / "sparse", True), read_model, files_of(".bin")),
    "colmap txt": Reader(lambda f: colmap(f / "sparse", False), read_model, files_of(".txt")),
    "transforms": Reader(
        lambda f: write_transforms(f / "transforms.json", cameras(), ["a"] * N, [0.0] * N),
        lambda f: read_transforms(f / "transforms.json", (1, 9)),
        ("transforms.json",),
    ),
    "llff": Reader(
        lambda f: write_poses_bounds(f / "poses_bounds.npy", cameras()),
        lambda f: read_poses_bounds(f / "poses_bounds.npy"),
        ("poses_bounds.npy",),
    ),
    "given flow": Reader(
        lambda f: write_npz(f / "a.npz", flow=np.ones((H, W, 2)), visible=np.ones((H, W), bool)),
        lambda f: read_given_flow(f / "a.npz"),
        ("a.npz",),
    ),
    "given depth": Reader(
        lambda f: np.save(f / "a.npy", np.ones((H, W), np.float32)), lambda f: read_disparity(f / "a.npy"), ("a.npy",)
    ),
    "true depth": Reader(
        lambda f: write_npz(f / "a.npz", depth=np.ones((H, W), np.float32)),
        lambda f: read_depth_as_disparity(f / "a.npz"),
        ("a.npz",),
    ),
    "sensor depth": Reader(png16, lambda f: read_values(f / "0.png", "depth"), ("0.png",)),
    "sensor depth npz": Reader(
        lambda f: np.savez(f / "a.npz", depth=np.ones((H, W))), lambda f: read_values(f / "a.npz", "depth"), ("a.npz",)
    ),
    "given tracks": Reader(
        lambda f: write_npz(f / "a.npz", tracks=np.ones((3, 4, 2)), visibility=np.ones((3, 4), bool)),
        lambda f: read_tracks(f / "a.npz"),
        ("a.npz",),
    ),
    **{f"frames {suffix}": folder_of(suffix) for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp")},
    "frames .jpg again": folder_of(".jpg"),
    "gif": film("a.gif", "gif", "rgb8"),
    "mp4": film("a.mp4", "libx264", "yuv420p"),
    "mp4 hevc": film("a.mp4", "libx265", "yuv420p"),
    "avi": film("a.avi", "mpeg4", "yuv420p"),
    "avi jpeg": film("a.avi", "mjpeg", "yuvj420p"),
    "mkv": film("a.mkv", "ffv1", "yuv420p"),
    "webm": film("a.webm", "libvpx-vp9", "yuv420p"),
    "manifest": of_scene(lambda s: s.n_frames, "manifest.json"),
    "cameras": of_scene(lambda s: (s.n_frames, s.cameras.centres), "cameras.json"),
    "points": of_scene(lambda s: SparsePoints.load(s.points_path), "points.npz"),
    "pixel map": of_scene(lambda s: PixelMap.load(s.pixel_map_path), "pixel_map.npz"),
    "flow": of_scene(lambda s: s.flow(0, "fwd"), "flow/00000_fwd.npz"),
    "raw flow": of_scene(lambda s: read_flow(s.flow_dir / "00000_fwd.npz", None), "flow/00000_fwd.npz"),
    "disparity": of_scene(lambda s: s.disparity(0), "depth/00000.npz"),
    "image": of_scene(lambda s: s.image(0), "images/00000.png"),
    "motion mask": of_scene(lambda s: s.motion_mask(0), "motion_masks/00000.png"),
    "features": of_scene(lambda s: s.features(), "features/features.npy", "features/saliency.npy"),
    "summary": of_scene(lambda s: s.summary("flow"), "summaries/flow.json"),
    "views": of_scene(read_views, "maps/views.json"),
    "map features": of_scene(lambda s: read_features(s, read_views(s)[0]), "maps/0_features.npy"),
    "map motion": of_scene(lambda s: read_motion(s, read_views(s)[0]), "maps/0_motion.npy"),
    "map saliency": of_scene(lambda s: read_saliency(s, read_views(s)[0]), "maps/0_sal.png"),
    "clusters": of_scene(
        lambda s: (Clusters.load(s), salient_labels(s)), "clusters/clusters.json", "clusters/centroids.npy"
    ),
    "scores": of_scene(lambda s: collect_scores([s.scores_path]), "scores.csv"),
    "model": of_scene(
        lambda s: Renderer.load(s.model_dir, "cpu"), "model/model.safetensors", "model/model.json", make=model_files
    ),
    "history": of_scene(read_history, "model/history.csv", make=model_files),
    "checkpoints": Reader(
        checkpoints, lambda f: CheckpointStore(f, "print").at(5, torch.device("cpu")), ("step_000000005.pt",)
    ),
    "latest checkpoint": Reader(
        checkpoints, lambda f: CheckpointStore(f, "print").latest(torch.device("cpu")), ("step_000000005.pt",)
    ),
    "published checkpoint": Reader(published, lambda f: read_checkpoint(f / "360000.tar"), ("360000.tar",)),
    "weights": Reader(
        saved("a.pth", {"w": torch.ones(3, 4), "b": {"c": torch.ones(2)}}), lambda f: read_tensors(f / "a.pth"),
        ("a.pth",),
    ),
    "safetensors": Reader(
        lambda f: save_file({"w": torch.ones(3, 4)}, f / "a.safetensors"),
        lambda f: read_tensors(f / "a.safetensors"),
        ("a.safetensors",),
    ),
    "config": Reader(config, lambda f: load_config(f / "config.yaml", f), ("config.yaml",)),
    "published config": Reader(
        lambda f: (f / "c.txt").write_text("expname = a\ndatadir = v\nend_frame = 24\nnetwidth = 256\ndino_coe=.04\n"),
        lambda f: convert(f / "c.txt"),
        ("c.txt",),
    ),
    "dycheck": Reader(
        capture,
        read_capture,
        ("scene.json", "metadata.json", "dataset.json", "extra.json", "camera/0_00001.json"),
    ),
    "truth": Reader(truth, lambda f: open_truth("views", f), ("cameras.json",)),
    "labels": Reader(label_map, lambda f: read_labels(f / "0.png"), ("0.png",)),
    "prediction": Reader(
        label_map, lambda f: read_prediction_labels(f / "0.png"), ("0.png",)
    ),
    "mask": Reader(lambda f: picture(f / "0.png", FRAMES[0][..., 0]), lambda f: read_mask(f / "0.png"), ("0.png",)),
    "picture": Reader(lambda f: picture(f / "0.jpg", FRAMES[0]), lambda f: read_image(f / "0.jpg"), ("0.jpg",)),
    "basis": Reader(basis, lambda f: Basis.load(f / "a.npz"), ("a.npz",)),
}  # fmt: skip
