"""A small scene with rendered maps and planted clusters, written file by file as the maps stage would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nsff.cameras import Cameras
from nsff.cameras.spaces import make_space
from nsff.config import FieldConfig, SamplingConfig
from nsff.files.io import write_image, write_json
from nsff.models.ray_fields.field import Field, FieldSamples
from nsff.models.ray_fields.scene_model import Model
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene

HEIGHT, WIDTH, CHANNELS = 48, 64, 16


def truth_mask(view: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A square of 14 rows and columns at 48 rows that moves right by one pixel a view."""
    unit = size[0] / HEIGHT
    mask = np.zeros(size, bool)
    mask[round(16 * unit) : round(30 * unit), round((10 + view) * unit) : round((24 + view) * unit)] = True
    return mask


def make_scene(root: Path, n: int = 6, extra: int = 0, salient: float = 0.6, with_flow: bool = True) -> Scene:
    """n training views and ``extra`` views of another split; left and right halves of the background differ."""
    scene = Scene(root)
    K = np.array([[60.0, 0, WIDTH / 2], [0, 60, HEIGHT / 2], [0, 0, 1]])
    pose = np.concatenate([np.eye(3), np.zeros((3, 1))], 1)
    Cameras(np.repeat(K[None], n, 0), np.repeat(pose[None], n, 0), np.tile([1.0, 9.0], (n, 1)), WIDTH, HEIGHT).save(
        scene.cameras_path
    )
    write_json(scene.manifest_path, {"n_frames": n, "width": WIDTH, "height": HEIGHT, "frames": []})
    views = [{"index": i, "split": "training", "camera": i, "time": i} for i in range(n)]
    views += [{"index": n + i, "split": "nv_static", "camera": i, "time": 0} for i in range(extra)]
    write_json(scene.maps_dir / "views.json", views)
    write_json(scene.maps_dir / "scale.json", {"disparity_of_65535": 0.5})
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(CHANNELS, 3)))[0].T
    for view in views:
        i = view["index"]
        mask = truth_mask(int(view["time"]))
        kind = np.where(mask, 2, (np.arange(WIDTH) >= WIDTH // 2)[None].astype(int))
        features = directions[kind] + 0.05 * generator.normal(size=(HEIGHT, WIDTH, CHANNELS))
        np.save(scene.maps_dir / f"{i}_features.npy", features.astype(np.float16))
        write_image(scene.maps_dir / f"{i}_sal.png", np.where(mask, round(255 * salient), 0).astype(np.uint8))
        rgb = np.stack([np.where(mask, 200, 60 + 60 * kind)] * 3, 2) + generator.integers(-4, 5, (HEIGHT, WIDTH, 3))
        write_image(scene.maps_dir / f"{i}_rgb.png", rgb.astype(np.uint8))
        if i < n:
            scene.write_image(i, rgb.astype(np.uint8))
        write_image(scene.maps_dir / f"{i}_depth.png", np.where(mask, 50000, 20000).astype(np.uint16))
    if with_flow:
        for i in range(n - 1):
            flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
            flow[truth_mask(i), 0] = 1
            scene.write_flow(i, "fwd", flow, np.ones((HEIGHT, WIDTH), bool))
            scene.write_flow(i + 1, "bwd", -np.roll(flow, 1, axis=1), np.ones((HEIGHT, WIDTH), bool))
    return scene


@pytest.fixture
def fake_scene(tmp_path: Path) -> Callable[..., Scene]:
    return lambda **options: make_scene(tmp_path / "scene", **options)


@pytest.fixture
def read_ply() -> Callable[[Path], np.ndarray]:
    return ply_table


def ply_table(path: Path) -> np.ndarray:
    """The points of a PLY file, a column a property."""
    head, body = path.read_bytes().split(b"end_header\n", 1)
    lines = head.decode().split("\n")
    types = {"float": "<f4", "uchar": "u1", "int": "<i4"}
    fields = [(line.split()[2], types[line.split()[1]]) for line in lines if line.startswith("property")]
    count = int(next(line for line in lines if line.startswith("element")).split()[2])
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    table = np.frombuffer(body, fields)
    assert len(table) == count
    return table


@pytest.fixture
def moving_square() -> Callable[..., np.ndarray]:
    return truth_mask


# --- a scene whose fields are known: a wall, a box that rests, and one that moves before it --------------------------
class Box:
    """An axis-aligned box in the world: centre, half sizes, feature axis, colour, saliency."""

    def __init__(self, centre, half, axis: int, colour, saliency: float) -> None:
        self.centre, self.half = torch.tensor(centre), torch.tensor(half)
        self.axis, self.colour, self.saliency = axis, torch.tensor(colour), saliency

    def inside(self, X: torch.Tensor, shift: torch.Tensor | float = 0.0) -> torch.Tensor:
        offset = X - self.centre.to(X)
        offset = torch.cat([offset[..., :1] - (torch.as_tensor(shift)[..., None]), offset[..., 1:]], -1)
        return (offset.abs() <= self.half.to(X)).all(-1)


SPEED = 0.05
WALL = Box([0.0, 0.0, 4.15], [50.0, 50.0, 0.15], 0, [0.2, 0.2, 0.2], 0.0)
RESTING = Box([0.7, 0.0, 3.15], [0.5, 0.4, 0.15], 1, [0.0, 1.0, 0.0], 0.8)
MOVING = Box([0.0, 0.0, 2.15], [0.4, 0.3, 0.15], 2, [1.0, 0.0, 0.0], 0.9)


class BoxField(Field):
    """Opaque boxes; the dynamic one moves to the right by SPEED a frame."""

    def __init__(self, space, boxes: list[Box], dynamic: bool, channels: int = 4) -> None:
        super().__init__()
        self.space, self.boxes, self.dynamic, self.channels = space, boxes, dynamic, channels
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, positions, directions, time) -> FieldSamples:
        X = self.space.to_world(positions)
        shape = X.shape[:-1]
        density, saliency = torch.zeros(shape), torch.zeros(shape)
        rgb, features = torch.zeros(*shape, 3), torch.zeros(*shape, self.channels)
        for box in self.boxes:
            inside = box.inside(X, SPEED * time if self.dynamic else 0.0)
            density[inside], saliency[inside] = 1000.0, box.saliency
            rgb[inside], features[inside] = box.colour, torch.eye(self.channels)[box.axis]
        result = FieldSamples(raw_density=density, rgb=rgb, features=features, saliency=saliency)
        if self.dynamic:
            step = torch.tensor([SPEED, 0.0, 0.0])
            result.flow_post = self.space.from_world(X + step) - positions
            result.flow_prev = self.space.from_world(X - step) - positions
        else:
            # The dynamic field takes over in front of what rests.
            result.blending = (X[..., 2] < 2.6).float()
        return result

    def raw_density(self, positions, time):
        return self(positions, positions, time).raw_density


@pytest.fixture
def box_world(fake_scene, monkeypatch) -> Callable[..., tuple[Scene, Renderer]]:
    """A function that makes the scene of boxes and its renderer, which stages get when they load the model."""

    def make(composition: str = "blending", **options) -> tuple[Scene, Renderer]:
        scene = fake_scene(**options)
        space = make_space("ndc", scene.cameras)
        config = FieldConfig(kind="mlp", width=8, composition=composition)
        sampling = SamplingConfig(kind="stratified", samples=128)
        model = Model(space, config, sampling, 4, scene.n_frames)
        model.static = BoxField(space, [WALL, RESTING], False)
        model.dynamic = BoxField(space, [MOVING], True)
        renderer = Renderer(model, chunk=4096)
        monkeypatch.setattr(Renderer, "load", staticmethod(lambda *a, **k: renderer))
        write_json(scene.model_dir / "model.json", {"space": space.to_dict()})
        return scene, renderer

    return make
