"""A scene folder as the whole workflow leaves it, tiny, made of the tiny clip; and a reader of pages."""

from __future__ import annotations

import csv
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.config import resolve_scene
from nsff.files.io import write_csv, write_image, write_json, write_npz
from nsff.scene import Scene, write_flow

STAGES = (
    "ingest", "flow", "coarse_masks", "sfm", "cameras", "motion", "depth", "features", "train", "render_view",
    "render_time", "render_spacetime", "maps", "cluster", "postprocess", "crf", "score", "page",
)  # fmt: skip
SCORES = [
    ("views", "raw", "full", "psnr", 20.125),
    ("views", "raw", "full", "count", 2),
    ("views", "aligned", "full", "psnr", 24.375),
    ("views", "aligned", "full", "ssim", 0.8125),
    ("views", "aligned", "full", "count", 2),
    ("views", "aligned", "full", "ssim_reference", 0.90625),
    ("views", "aligned", "dynamic", "psnr", 17.625),
    ("views", "copy", "full", "psnr", 19.5),
    ("views", "copy", "full", "count", 2),
    ("masks", "processed", "full", "jaccard", 0.53125),
    ("masks", "crf", "full", "jaccard", 0.65625),
    ("masks", "crf", "full", "ari", 0.71875),
    ("masks", "crf", "full", "count_masks", 4),
]
VOID = {"meta", "link", "img", "br", "hr", "input", "source", "track", "col"}


class Page(HTMLParser):
    """A page taken apart: ``tags`` (name, attributes), ``text``, and ``faults`` of nesting."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source, self.tags, self.faults = source, [], []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(source)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.faults.append(f"<{tag}> has an attribute twice")
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> at {self.getpos()} closes {self._open[-1:]}")
        else:
            self._open.pop()

    def handle_data(self, data):
        if self._open[-1:] not in (["style"], ["script"]):
            self._text.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._text).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def part(self, start: str, end: str) -> str:
        """The text of the source between two markers."""
        source = self.source[self.source.index(start) :]
        return Page(source[source.index(">") + 1 : source.index(end)]).text


@pytest.fixture(scope="session")
def read_page():
    """The function that takes a page apart: Path -> Page."""
    return lambda path: Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def scores() -> list[tuple]:
    """Rows of the scene's scores.csv without the scene."""
    return SCORES


@pytest.fixture(scope="session")
def config():
    """The scene's settings."""
    own = {
        "input": {"path": "clip.mp4"},
        "evaluation": [{"protocol": "views", "truth": "truth"}, {"protocol": "masks", "truth": "truth"}],
        "report": {"frames": 2, "width": 64},
        "train": {"steps": 30},
    }
    return resolve_scene("tiny", own, "demo_planes", {})


@pytest.fixture(scope="session")
def complete(tmp_path_factory, tiny_renderer, video_writer) -> Path:
    """results/tiny with every file that the report reads; do not write into it (see ``scene``)."""
    frames, masks, depth, poses, K = tiny_renderer(4)
    scene = Scene(tmp_path_factory.mktemp("results") / "tiny")
    n, (height, width) = len(frames), frames.shape[1:3]
    write_json(scene.manifest_path, {
        "n_frames": n, "width": width, "height": height, "source": {"path": "clip.mp4", "kind": "video"},
        "frames": [{"index": i, "name": f"{i}", "time": i / 10} for i in range(n)], "frame_rate": 10.0,
        "frame_rate_known": True, "notes": [], "given": {"cameras": False, "points": False}, "rotation": 0,
    })  # fmt: skip
    Cameras(np.tile(K, (n, 1, 1)), poses, np.tile([1.5, 6.0], (n, 1)), width, height).save(scene.cameras_path)
    generator = np.random.default_rng(0)
    write_npz(
        scene.points_path,
        xyz=generator.normal(0, 1, (40, 3)) + np.array([0, 0, 4]),
        rgb=generator.integers(0, 255, (40, 3), dtype=np.uint8),
    )
    features = generator.normal(size=(n, height // 2, width // 2, 5))
    for i in range(n):
        mask = masks[i].astype(np.uint8)
        for folder in (scene.frames_dir, scene.images_dir):
            write_image(folder / f"{i:05d}.png", frames[i])
        for folder in (scene.coarse_masks_dir, scene.motion_dir):
            write_image(folder / f"{i:05d}.png", 255 * mask)
        for folder in (scene.masks_dir, scene.masks_crf_dir):
            write_image(folder / f"{i}.png", mask)
        write_image(scene.clusters_dir / "merged" / f"{i}.png", mask + 1)
        for name in ("blend", "sal"):
            write_image(scene.maps_dir / f"{i}_{name}.png", 255 * mask)
        write_image(scene.maps_dir / f"{i}_rgb.png", frames[i])
        write_image(scene.maps_dir / f"{i}_depth.png", (65535 / depth[i] / 2).astype(np.uint16))
        np.save(scene.maps_dir / f"{i}_features.npy", features[i].astype(np.float16))
        scene.write_disparity(i, 1 / depth[i], np.ones((height, width)))
        for direction, there in (("fwd", i < n - 1), ("bwd", i > 0)):
            if there:
                path = scene.flow_path(i, direction)
                write_flow(path, np.full((height, width, 2), [2.0, 0.0]), ~masks[i])
    scene.write_features(features, masks[:, ::2, ::2])
    write_json(
        scene.maps_dir / "views.json", [{"index": i, "split": "training", "camera": i, "time": i} for i in range(n)]
    )
    history = [(step, name, 10 / step) for step in (10, 20, 30) for name in ("psnr", "loss/rgb", "loss/total")]
    write_csv(
        scene.model_dir / "history.csv",
        ("step", "name", "value"),
        [dict(zip(("step", "name", "value"), row, strict=True)) for row in history],
    )
    scene.renders_dir.mkdir()
    for path in ("view", "time", "spacetime"):
        video_writer(scene.renders_dir / f"{path}.mp4", frames, "libx264", "yuv420p")
    write_image(scene.path("score_pictures", "sheet_views.png"), np.concatenate([frames[0]] * 3, axis=1))
    with scene.path("score_pictures", "per_view.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("protocol", "variant", "view", "split", "time", "region", "metric", "value"))
        writer.writerow(("views", "aligned", 0, "heldout", 1.0, "full", "psnr", 23.25))
        writer.writerow(("views", "aligned", 1, "heldout", 2.0, "full", "psnr", 25.5))
    columns = ("scene", "protocol", "variant", "split", "metric", "value")
    write_csv(scene.scores_path, columns, [dict(zip(columns, ("tiny", *row), strict=True)) for row in SCORES])
    for number, stage in enumerate(STAGES):
        level = ("good", "good", "doubtful", "poor")[number % 4]
        own = {"verdict": level, "message": f"The words of {stage} & its <numbers>.", "some_fraction": 0.5}
        scene.write_summary(stage, own)
    scene.write_summary("crf", {**scene.summary("crf"), "n_objects": 1, "area_fractions": {"1": 0.0625}})
    benchmarks = scene.path("benchmarks")
    benchmarks.mkdir()
    (benchmarks / "train.tsv").write_text("s\th:m:s\tmax_rss\tmean_load\n125.0\t0:02:05\t512.4\t150.0\n")
    (benchmarks / "ingest.tsv").write_text("s\th:m:s\tmax_rss\tmean_load\n2.5\t0:00:02\t-\t-\n")
    return scene.root


@pytest.fixture
def scene(complete, tmp_path) -> Scene:
    """A copy of the complete scene, to be damaged."""
    return Scene(Path(shutil.copytree(complete, tmp_path / "results" / "tiny")))


@pytest.fixture
def set_verdict():
    """The function set_verdict(scene, stage, level, words=...)."""

    def change(scene: Scene, stage: str, level: str, message: str = "New words.") -> None:
        path = scene.summaries_dir / f"{stage}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "verdict": level, "message": message}))

    return change


@pytest.fixture(scope="session")
def decode():
    """The function that turns a data address into a picture (H,W,3) RGB."""
    import base64

    def decoded(uri: str) -> np.ndarray:
        data = np.frombuffer(base64.b64decode(uri.split(",", 1)[1]), np.uint8)
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    return decoded
