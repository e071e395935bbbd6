"""Released checkpoints: files built as theirs import, render as published, and export back."""

import json
import pickle

import numpy as np
import pytest
import torch

from nsff.cameras import Cameras
from nsff.cameras.llff import poses_bounds
from nsff.config import FieldConfig, load_config, resolve_scene
from nsff.errors import ConfigError, StageError
from nsff.files.io import write_json
from nsff.models.ray_fields.mlp import MlpDynamicField, MlpStaticField
from nsff.models.ray_fields.published import describe
from nsff.models.ray_fields.published_checkpoints import read_checkpoint
from nsff.rendering.renderer import Renderer
from nsff.training.published import export_checkpoint
from nsff.training.run import run_train

WIDTH, CHANNELS = 16, 8
SMALL = {"train": {"device": "cpu"}, "field": {"width": WIDTH}, "sampling": {"samples": 12}}


def networks(features: bool = True, saliency: bool = True, width: int = WIDTH, channels: int = CHANNELS, **more):
    """A static and a dynamic network with the published names, in published (OpenGL) axes."""
    torch.manual_seed(3)
    config = FieldConfig(kind="mlp", features=features, saliency=saliency, width=width, **more)
    return MlpStaticField(config, channels, 5), MlpDynamicField(config, channels, 5)


def tar(path, static, dynamic, step: int = 360_000, **more):
    """A file as docs/methods.md#published-checkpoints says: data-parallel names, an Adam state over both networks."""
    optimiser = torch.optim.Adam([*dynamic.parameters(), *static.parameters()], lr=3.155e-5)
    sum(p.sum() for p in [*dynamic.parameters(), *static.parameters()]).backward()
    optimiser.step()
    wrapped = [{f"module.{name}": value for name, value in net.state_dict().items()} for net in (dynamic, static)]
    content = {
        "global_step": step, "network_fn_state_dict": wrapped[0], "network_rigid": wrapped[1],
        "optimizer_state_dict": optimiser.state_dict(),
    }  # fmt: skip
    torch.save(content | more, path)
    return path


def config(file, preset: str = "saff", **sections):
    own = {"input": {"path": "x"}, "checkpoint": str(file), **{k: dict(v) for k, v in SMALL.items()}}
    for name, values in sections.items():
        own.setdefault(name, {}).update(values)
    return resolve_scene("tiny", own, preset, {})


def published_rays(cameras: Cameras, i: int):
    """Loader and rays as in docs/methods.md#normalised-device-coordinates: NDC origins, directions, view directions."""
    rows = poses_bounds(cameras)
    matrix, bounds = rows[:, :15].reshape(-1, 3, 5), rows[:, 15:]
    poses = np.stack([matrix[:, :, 1], -matrix[:, :, 0], matrix[:, :, 2], matrix[:, :, 3]], 2)  # right, up, backward
    H, W, f = matrix[0, :, 4]
    scale = 1 / (0.9 * np.percentile(bounds[:, 0], 5))
    poses[:, :, 3] *= scale
    unit = lambda v: v / np.linalg.norm(v)  # noqa: E731
    z = unit(poses[:, :, 2].sum(0))
    x = unit(np.cross(poses[:, :, 1].sum(0), z))
    average = np.stack([x, unit(np.cross(z, x)), z, poses[:, :, 3].mean(0)], 1)
    square = lambda p: np.concatenate([p, [[0, 0, 0, 1]]])  # noqa: E731
    pose = (np.linalg.inv(square(average)) @ square(poses[i]))[:3]
    column, row = np.meshgrid(np.arange(W), np.arange(H))
    d = np.stack([(column - W / 2) / f, -(row - H / 2) / f, -np.ones_like(column)], -1).reshape(-1, 3) @ pose[:, :3].T
    o = np.broadcast_to(pose[:, 3], d.shape)
    view = d / np.linalg.norm(d, axis=1, keepdims=True)
    o = o + (-(1 + o[:, 2]) / d[:, 2])[:, None] * d
    ax, ay = 2 * f / W, 2 * f / H
    start = np.stack([-ax * o[:, 0] / o[:, 2], -ay * o[:, 1] / o[:, 2], 1 + 2 / o[:, 2]], 1)
    step = np.stack([
        -ax * (d[:, 0] / d[:, 2] - o[:, 0] / o[:, 2]), -ay * (d[:, 1] / d[:, 2] - o[:, 1] / o[:, 2]), -2 / o[:, 2],
    ], 1)  # fmt: skip
    return [torch.tensor(value, dtype=torch.float32) for value in (start, step, view)]


def published_picture(cameras: Cameras, i: int, static, dynamic, samples: int) -> torch.Tensor:
    """Colours (H·W,3) of the blended rendering (3), with the networks' packed outputs."""
    start, step, view = published_rays(cameras, i)
    z = torch.linspace(0, 1, samples).expand(len(start), samples)
    x = start[:, None] + z[..., None] * step[:, None]
    views, time = view[:, None].expand_as(x), torch.full(z.shape, float(i))
    fixed, moving = static.packed(x, views, time), dynamic.packed(x, views, time)
    delta = torch.cat([z[:, 1:] - z[:, :-1], torch.full_like(z[:, :1], 1e10)], 1) * step.norm(dim=1)[:, None]
    v = fixed[..., -1]
    a_d = v * (1 - torch.exp(-moving[..., 3].relu() * delta))
    a_s = (1 - v) * (1 - torch.exp(-fixed[..., 3].relu() * delta))
    T = torch.cumprod(torch.cat([torch.ones_like(v[:, :1]), (1 - a_d) * (1 - a_s) + 1e-10], 1), 1)[:, :-1]
    light = a_d[..., None] * moving[..., :3].sigmoid() + a_s[..., None] * fixed[..., :3].sigmoid()
    return (T[..., None] * light).sum(1)


def turned(scene) -> Cameras:
    """Gives the scene cameras of another world: turned, shifted, scaled, each a little aside of its neighbours."""
    from scipy.spatial.transform import Rotation

    cameras = scene.cameras
    shaken = Rotation.from_rotvec(np.random.default_rng(2).normal(size=(len(cameras), 3)) * 0.03).as_matrix()
    poses = shaken @ cameras.world_to_camera
    cameras = Cameras(cameras.intrinsics, poses, cameras.near_far, cameras.width, cameras.height)
    cameras = cameras.moved(1.7, Rotation.from_euler("xyz", [20, -130, 70], degrees=True).as_matrix(), [0.3, -1, 2])
    cameras.save(scene.cameras_path)
    scene.__dict__.pop("cameras", None)
    return cameras


def test_an_imported_checkpoint_renders_as_the_published_code_does(tiny_scene, tmp_path):
    scene = tiny_scene()
    cameras = turned(scene)
    static, dynamic = networks()
    with torch.no_grad():  # densities that are neither empty nor opaque, and not hidden by the view's own axes
        for net in (static, dynamic):
            net.alpha_linear.bias += 1.5
            net.rgb_linear.weight *= 20
    run_train(scene, config(tar(tmp_path / "360000.tar", static, dynamic)))
    renderer = Renderer.load(scene.model_dir, "cpu")
    loaded = read_checkpoint(tmp_path / "360000.tar")
    for net, state in ((static, loaded.static), (dynamic, loaded.dynamic)):
        net.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    for i in (0, 3):
        with torch.no_grad():
            expected = published_picture(cameras, i, static, dynamic, 12).reshape(*scene.size, 3)
        found = renderer.render(cameras.intrinsics[i], cameras.world_to_camera[i], *scene.size, float(i))["rgb"]
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)
        assert expected.std() > 0.02


@pytest.mark.parametrize(("preset", "heads"), [("saff", True), ("nsff", False)])
def test_import_then_export_gives_the_same_bits(tiny_scene, tmp_path, preset, heads):
    scene = tiny_scene()
    file = tar(tmp_path / "360000.tar", *networks(heads, heads))
    run_train(scene, config(file, preset))
    content = json.loads((scene.model_dir / "model.json").read_text())
    assert (content["steps"], content["n_frames"], content["channels"]) == (360_000, 5, CHANNELS if heads else 0)
    assert content["field"]["view_axes"] == "average"
    assert content["space"]["kind"] == "ndc"
    assert content["checkpoint"]["file"] == "360000.tar"
    assert (scene.model_dir / "history.csv").read_text().split() == ["step,name,value"]
    export_checkpoint(scene.model_dir, tmp_path / "back.tar")
    theirs, ours = (torch.load(path, weights_only=True) for path in (file, tmp_path / "back.tar"))
    assert theirs.keys() == ours.keys()
    assert ours["global_step"] == 360_000
    for name in ("network_fn_state_dict", "network_rigid"):
        assert list(theirs[name]) == list(ours[name])
        assert all(torch.equal(value, ours[name][key]) for key, value in theirs[name].items())
    # Their loader puts the state into an Adam over both networks.
    static, dynamic = networks(heads, heads)
    optimiser = torch.optim.Adam([*dynamic.parameters(), *static.parameters()])
    optimiser.load_state_dict(ours["optimizer_state_dict"])
    assert optimiser.param_groups[0]["lr"] == pytest.approx(3.155e-5, rel=1e-3)


def test_widths_of_the_released_files(tmp_path):
    """SAFF with 64 features and NSFF, at full size; NSFF's with its Adam state is about 14.5 MB, SAFF's 14.86 MB."""
    for heads, channels, size in ((True, 64, 14.86e6), (False, 0, 14.46e6)):
        static, dynamic = networks(heads, heads, 256, 64)
        file = tar(tmp_path / f"{heads}.tar", static, dynamic)
        checkpoint = read_checkpoint(file)
        found, count = describe(checkpoint.static, checkpoint.dynamic)
        assert count == channels
        expected = {"features": heads, "saliency": heads, "width": 256, "depth": 8, "position_frequencies": 10}
        assert found.items() >= (expected | {"direction_frequencies": 4}).items()
        assert file.stat().st_size == pytest.approx(size, rel=0.01)


def test_deep_heads_and_no_saliency_are_recognised():
    static, dynamic = networks(True, False, shallow_features=False)
    found, _ = describe(static.state_dict(), dynamic.state_dict())
    assert (found["shallow_features"], found["saliency"]) == (False, False)


def test_the_summary_says_how_well_the_cameras_fit(tiny_scene, tmp_path):
    scene = tiny_scene()
    summary = run_train(scene, config(tar(tmp_path / "a.tar", *networks())))
    assert scene.summary("train") == summary
    assert summary["verdict"] == "poor"  # these weights have never seen the scene
    assert "cameras" in summary["message"]
    # What the pictures would have to be for a perfect score: the model's own.
    renderer = Renderer.load(scene.model_dir, "cpu")
    for i in range(5):
        E = scene.cameras.world_to_camera[i]
        rgb = renderer.render(scene.cameras.intrinsics[i], E, *scene.size, float(i))["rgb"]
        scene.write_image(i, (rgb.clamp(0, 1).numpy() * 255).round().astype(np.uint8))
    summary = run_train(scene, config(tmp_path / "a.tar"))
    assert summary["psnr"] > 45
    assert summary["verdict"] == "good"


# --- what cannot be used ---------------------------------------------------------------------------------------------
def test_other_networks_than_the_configuration_asks_for(tiny_scene, tmp_path):
    file = tar(tmp_path / "a.tar", *networks(False, False))
    with pytest.raises(ConfigError, match=r"(?s)field\.features: is true.*set field\.features: false, or preset: nsff"):
        run_train(tiny_scene(), config(file))
    file = tar(tmp_path / "b.tar", *networks(True, False))
    with pytest.raises(ConfigError, match=r"field\.saliency"):
        run_train(tiny_scene(name="b"), config(file))


class Evil:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_nothing_but_tensors_and_plain_values_is_unpickled(tmp_path, capsys):
    file = tar(tmp_path / "evil.tar", *networks(), optimizer_state_dict=Evil())
    with pytest.raises(StageError, match=r"evil\.tar: is not readable as tensors"):
        read_checkpoint(file)
    plain = tmp_path / "plain.tar"
    plain.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(StageError, match="not readable"):
        read_checkpoint(plain)
    assert "never" not in capsys.readouterr().out


def test_a_numpy_learning_rate_is_let_through(tmp_path):
    file = tar(tmp_path / "a.tar", *networks(), lr=np.float64(3e-5), global_step=np.int64(7))
    assert read_checkpoint(file).step == 7


def test_the_old_format_of_torch_is_read(tmp_path):
    static, dynamic = networks()
    content = {"global_step": 5, "network_fn_state_dict": dynamic.state_dict(), "network_rigid": static.state_dict()}
    torch.save(content, tmp_path / "old.tar", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "old.tar").step == 5


@pytest.mark.parametrize(("damage", "message"), [
    (lambda f: f.write_bytes(f.read_bytes()[:3000]), "not readable"),
    (lambda f: torch.save([1, 2], f), "holds a list"),
    (lambda f: torch.save({"network_fn_state_dict": {}}, f), "lacks network_rigid"),
    (lambda f: torch.save({"network_fn_state_dict": {"a": 3}, "network_rigid": {}}, f), "a is no tensor"),
    (lambda f: f.unlink(), "missing"),
])  # fmt: skip
def test_damaged_files_are_named(tmp_path, damage, message):
    file = tar(tmp_path / "360000.tar", *networks())
    damage(file)
    with pytest.raises(StageError, match=rf"360000\.tar: .*{message}"):
        read_checkpoint(file)


def test_weights_that_are_no_pair_of_networks():
    static, dynamic = networks()
    with pytest.raises(StageError, match=r"w_linear\.weight"):
        describe(dynamic.state_dict(), static.state_dict())
    with pytest.raises(StageError, match="differs between"):
        describe(static.state_dict(), networks(width=8)[1].state_dict())


def test_a_model_that_the_published_code_cannot_hold(tiny_scene, tmp_path):
    scene = tiny_scene()
    file = tar(tmp_path / "a.tar", *networks())
    run_train(scene, config(file))
    path = scene.model_dir / "model.json"
    content = json.loads(path.read_text())
    content["field"]["view_axes"] = "world"
    write_json(path, content)
    with pytest.raises(StageError, match="view directions are in world axes"):
        export_checkpoint(scene.model_dir, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def test_the_configuration_checks_the_file_and_the_networks(tmp_path):
    (tmp_path / "clip.mp4").touch()
    scene = {"input": {"path": "clip.mp4"}, "checkpoint": "360000.tar", "preset": "saff"}
    with pytest.raises(ConfigError, match=r"scenes\.a\.checkpoint: no such file"):
        load_config({"scenes": {"a": scene}}, tmp_path)
    (tmp_path / "360000.tar").touch()
    assert load_config({"scenes": {"a": scene}}, tmp_path)["a"].checkpoint == "360000.tar"
    with pytest.raises(ConfigError, match="preset nsff or saff"):
        load_config({"scenes": {"a": scene | {"preset": "fast"}}}, tmp_path)
