"""The training stage: every preset trains, learns, resumes exactly, and refuses what is broken."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch

from nsff.config import PRESETS, resolve_scene
from nsff.errors import StageError
from nsff.training import run as run_module
from nsff.training.checkpoints import fingerprint
from nsff.training.run import run_train
from nsff.training.trainer import INTERRUPTED, Trainer

RAY_FIELDS = sorted(set(PRESETS) - {"demo", "gaussians", "planes"})
"""Presets of ray fields; planes is what fast is."""

# Rays, samples and steps are reduced, nothing else.
SMALL = {
    "train": {
        "steps": 2,
        "steps_for_frames": 0,
        "rays": 24,
        "motion_rays": 8,
        "warp_rays": 16,
        "log_every": 1,
        "tensorboard": False,
        "device": "cpu",
    },
    "sampling": {"samples": 8, "coarse_samples": 8},
}
SMALL_PLANES = {"plane_resolutions": [16, 32], "dynamic_resolutions": [16]}


def small(preset: str, **sections):
    own = {"input": {"path": "x"}, **{k: dict(v) for k, v in SMALL.items()}}
    for name, values in sections.items():
        own.setdefault(name, {}).update(values)
    return resolve_scene("tiny", own, preset, {})


def values(scene, name: str) -> list[float]:
    rows = [line.split(",") for line in (scene.model_dir / "history.csv").read_text().splitlines()[1:]]
    return [float(value) for _, key, value in rows if key == name]


@pytest.mark.parametrize("preset", RAY_FIELDS)
def test_every_preset_trains_two_steps(tiny_scene, preset):
    scene = tiny_scene()
    before = small(preset)
    run_train(scene, before)
    content = json.loads((scene.model_dir / "model.json").read_text())
    assert content["steps"] == 2
    assert all(np.isfinite(values(scene, "loss/total")))
    expected = {
        "loss/rgb",
        "loss/dynamic_rgb",
        "loss/flow",
        "loss/cycle",
        "loss/smooth",
        "loss/disocclusion",
        "loss/depth",
    }
    if preset != "nsff":
        expected |= {"loss/features", "loss/saliency", "loss/dynamic_features"}
    names = {line.split(",")[1] for line in (scene.model_dir / "history.csv").read_text().splitlines()[1:]}
    assert expected <= names


@pytest.mark.parametrize("sections", [
    {"field": {"static_only": True}},
    {"field": {"kind": "mlp", "composition": "additive"}},
    {"field": {"kind": "planes", "composition": "blending", "space": "contraction"}},
    {"field": {"dynamic_only": True, "composition": "blending"}},
    {"field": {"features": False, "saliency": False}},
    {"losses": {"chain": True, "decay_steps": 1}, "train": {"steps": 4}},
    {"losses": {"decay_extra": True, "decay_steps": 1}, "train": {"steps": 3}},
    {"train": {"frames_per_batch": 1}},
    {"train": {"hold_out": 2}},
])  # fmt: skip
def test_options_train(tiny_scene, sections):
    scene = tiny_scene()
    run_train(scene, small("demo_planes", **sections))
    assert all(np.isfinite(values(scene, "loss/total")))


@pytest.mark.parametrize(("count", "height", "width"), [(3, 25, 31), (7, 40, 24)])
def test_odd_counts_and_sizes(tiny_scene, count, height, width):
    scene = tiny_scene(count, height, width)
    run_train(scene, small("demo_planes"))
    assert (scene.model_dir / "model.safetensors").exists()


def test_it_learns(tiny_scene):
    scene = tiny_scene()
    train = {
        "steps": 120,
        "rays": 256,
        "motion_rays": 64,
        "log_every": 10,
        "learning_rate": 0.01,
        "plane_learning_rate": 0.05,
    }
    run_train(
        scene, small("demo_planes", train=train, field=SMALL_PLANES, sampling={"samples": 16, "coarse_samples": 16})
    )
    psnr = values(scene, "psnr")
    assert psnr[-1] > psnr[0] + 3


def test_tensorboard_gets_what_is_logged(tiny_scene):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    scene = tiny_scene()
    run_train(scene, small("demo_planes", train={"steps": 4, "log_every": 2, "tensorboard": True}))
    events = EventAccumulator(str(scene.root / "state" / "tensorboard")).Reload()
    assert {"psnr", "loss/total", "loss/rgb"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("psnr")] == [2, 4]
    assert [event.value for event in events.Scalars("psnr")] == pytest.approx(values(scene, "psnr"), rel=1e-5)


def test_previews_show_the_frame_and_change_nothing(tiny_scene):
    from nsff.files.io import read_image

    plain, watched = tiny_scene(name="plain"), tiny_scene(name="watched")
    run_train(plain, small("demo_planes", train={"steps": 4}))
    run_train(watched, small("demo_planes", train={"steps": 4, "preview_every": 2}))
    previews = sorted((watched.root / "state" / "previews").iterdir())
    assert [path.name for path in previews] == ["000000002.png", "000000004.png"]
    both = read_image(previews[1])
    np.testing.assert_array_equal(both[:, 32:], watched.image(2))
    assert both[:, :32].std() > 0
    assert values(plain, "loss/total") == values(watched, "loss/total")


def test_a_static_field_ignores_time(tiny_scene):
    from nsff.models.rays import Rays

    scene = tiny_scene()
    config = small("demo_planes", field={"static_only": True})
    data = run_module.TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
    model = run_module.build_model(scene, config, data)
    rays = data.gather(torch.arange(5), 5).rays
    later = Rays(rays.origins, rays.directions, rays.time + 3)
    pictures = [model.composited(model.evaluate(model.sample(r, None)), "rgb") for r in (rays, later)]
    torch.testing.assert_close(pictures[0], pictures[1])


class KilledError(Exception):
    pass


def test_interrupted_and_resumed_equals_uninterrupted(tiny_scene, monkeypatch):
    config = small("demo_planes", train={"steps": 6, "checkpoint_every": 2})
    whole = tiny_scene(name="whole")
    run_train(whole, config)
    broken = tiny_scene(name="broken")
    original = Trainer.one_step

    def die_in_step_five(self, log=False):
        if self.step == 5:
            raise KilledError
        return original(self, log)

    monkeypatch.setattr(Trainer, "one_step", die_in_step_five)
    with pytest.raises(KilledError):
        run_train(broken, config)
    assert not broken.model_dir.exists()
    monkeypatch.setattr(Trainer, "one_step", original)
    run_train(broken, config)
    assert values(whole, "loss/total") == pytest.approx(values(broken, "loss/total"), rel=1e-4)
    assert len(values(broken, "loss/total")) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_saves_and_leaves_with_its_own_status(tiny_scene, monkeypatch, capsys, number):
    """Of a scheduler, and Ctrl-C: far from the next checkpoint nothing is lost."""
    scene = tiny_scene()
    original = Trainer.one_step

    def signal_in_step_two(self, log=False):
        if self.step == 2:
            os.kill(os.getpid(), number)
        return original(self, log)

    monkeypatch.setattr(Trainer, "one_step", signal_in_step_two)
    with pytest.raises(SystemExit) as stop:
        run_train(scene, small("demo_planes", train={"steps": 9}))
    assert stop.value.code == INTERRUPTED
    monkeypatch.setattr(Trainer, "one_step", original)
    run_train(scene, small("demo_planes", train={"steps": 9}))
    assert "resuming at step 3 of 9" in capsys.readouterr().out


def test_a_gpu_that_is_full_is_named_with_what_to_do(tiny_scene, monkeypatch):
    def full(self, log_folder=None):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore lines.")

    monkeypatch.setattr(Trainer, "run", full)
    with pytest.raises(StageError, match=r"within train.memory_gb: 3 \(CUDA out of memory.*2 GiB.\)") as caught:
        run_train(tiny_scene(), small("gaussians", train={"memory_gb": 3.0}))
    assert "canonical.resize_height" in str(caught.value)
    assert "max_dynamic" in str(caught.value)


def test_ctrl_c_a_second_time_ends_at_once(tiny_scene, monkeypatch):
    original = Trainer.one_step

    def impatient(self, log=False):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return original(self, log)

    monkeypatch.setattr(Trainer, "one_step", impatient)
    with pytest.raises(KeyboardInterrupt):
        run_train(tiny_scene(), small("demo_planes", train={"steps": 9}))


# --- what is left of the state ---------------------------------------------------------------------------------------
def test_a_training_that_has_ended_keeps_its_model_alone(tiny_scene, capsys):
    """And running it again makes the same files, without a step."""
    scene = tiny_scene()
    config = small("demo_planes", train={"steps": 4, "checkpoint_every": 1})
    run_train(scene, config)
    (kept,) = scene.state_dir.glob("step_*.pt")
    assert kept.name == "step_000000004.pt"
    first = {path.name: path.read_bytes() for path in scene.model_dir.iterdir()}
    assert kept.stat().st_size < 1.5 * sum(map(len, first.values()))
    shutil.rmtree(scene.model_dir)
    run_train(scene, config)
    assert "resuming at step 4 of 4" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in scene.model_dir.iterdir()} == first


def test_checkpoints_stay_where_they_are_asked_for(tiny_scene):
    scene = tiny_scene()
    run_train(scene, small("demo_planes", train={"steps": 4, "checkpoint_every": 1, "keep_state": True}))
    assert [path.name for path in sorted(scene.state_dir.glob("step_*.pt"))] == [
        "step_000000002.pt",
        "step_000000003.pt",
    ]
    assert "optimiser" in torch.load(scene.state_dir / "step_000000003.pt", weights_only=True)


def test_the_state_may_lie_behind_a_link(tiny_scene, tmp_path):
    scene = tiny_scene()
    disk = tmp_path / "disk"
    disk.mkdir()
    scene.state_dir.symlink_to(disk)
    run_train(scene, small("demo_planes"))
    run_train(scene, small("demo_planes", train={"steps": 3}))  # of another fingerprint: begun anew
    assert scene.state_dir.is_symlink()
    assert [path.name for path in disk.glob("step_*.pt")] == ["step_000000003.pt"]


def test_the_fingerprint_sees_inputs_and_settings_but_not_logging(tiny_scene):
    scene = tiny_scene()
    first = fingerprint(scene, small("demo_planes"))
    assert fingerprint(scene, small("demo_planes", train={"log_every": 7, "checkpoint_every": 5})) == first
    assert fingerprint(scene, small("demo_planes", train={"steps": 3})) != first
    assert fingerprint(scene, small("demo_planes", losses={"w_flow": 0.5})) != first
    image = scene.image(0)
    image[0, 0] = 255 - image[0, 0]
    scene.write_image(0, image)
    assert fingerprint(scene, small("demo_planes")) != first


def test_nan_in_the_loss_is_named(tiny_scene, monkeypatch):
    from nsff.models.ray_fields.objective import Objective

    scene = tiny_scene()
    original = Objective.__call__

    def poisoned(self, batch, step, generator):
        terms, monitors = original(self, batch, step, generator)
        terms["flow"] = terms["flow"] * float("nan")
        return terms, monitors

    monkeypatch.setattr(Objective, "__call__", poisoned)
    with pytest.raises(StageError, match=r"not finite at step 0 \(terms: flow\)"):
        run_train(scene, small("demo_planes"))


def test_corrupt_flow_is_named(tiny_scene):
    scene = tiny_scene()
    path = scene.flow_dir / "00001_fwd.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StageError, match=r"00001_fwd\.npz"):
        run_train(scene, small("demo_planes"))


def test_corrupt_image_is_named(tiny_scene):
    scene = tiny_scene()
    (scene.images_dir / "00002.png").write_bytes(b"no picture")
    with pytest.raises(StageError, match=r"00002.png: not readable"):
        run_train(scene, small("demo_planes"))


def test_held_out_frames_are_never_drawn(tiny_scene):
    scene = tiny_scene(6)
    config = small("demo_planes", train={"hold_out": 3})
    data = run_module.TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    drawn = [data.gather(*data.choose(config.train, True, generator, step)).frame for step in range(50)]
    seen = set(torch.cat(drawn).tolist())
    assert seen == {0, 1, 3, 4}
