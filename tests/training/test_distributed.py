"""Processes that train together, two of them on the CPU: one gradient, one model, one end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nsff.config import TrainConfig, resolve_scene
from nsff.errors import StageError
from nsff.models.supervision import TrainingData
from nsff.training.checkpoints import CheckpointStore
from nsff.training.distributed import Group, joined
from nsff.training.gradients import GradientBuffer
from nsff.training.run import build_model, run_train
from nsff.training.trainer import Trainer

STEPS = 60
SETTINGS = {
    "input": {"path": "x"},
    "train": {
        "gpus": 2, "device": "cpu", "steps": STEPS, "rays": 24, "motion_rays": 8, "warp_rays": 16, "log_every": 10,
        "checkpoint_every": 5, "tensorboard": False,
    },
    "sampling": {"samples": 8, "coarse_samples": 8},
    "field": {"plane_resolutions": [16], "dynamic_resolutions": [16]},
}  # fmt: skip
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
PROGRAM, FORKING = Path(__file__).with_name("together.py"), [sys.executable]


@pytest.fixture
def together(repo):
    """A function that starts a program in two processes, by torchrun unless the program forks by itself; whatever still
    runs is ended after the test."""
    started = []

    def start(*command: object, launcher: list[str] = TORCHRUN) -> subprocess.Popen[str]:
        paths = [str(repo), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [*launcher, *map(str, command)], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def training(repo: Path, scene, **train) -> list[object]:
    own = SETTINGS | {"train": SETTINGS["train"] | train}
    return [
        repo / "scripts" / "train.py", "--scene", scene.root, "--preset", "demo_planes", "--options", json.dumps(own),
        "--threads", "2", "--log", scene.root / "train.log",
    ]  # fmt: skip


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that torchrun started: first rank first."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = {}
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        ranks |= {int(v.split(b"=")[1]): int(child) for v in environment if v.startswith(b"LOCAL_RANK=")}
    return [ranks[i] for i in sorted(ranks)]


# --- one gradient ----------------------------------------------------------------------------------------------------
def test_gradients_are_averaged_and_weights_stay_equal(tiny_scene, together, tmp_path):
    scene = tiny_scene()
    process = together(PROGRAM, scene.root, tmp_path, json.dumps(SETTINGS), launcher=FORKING)
    assert process.wait(timeout=180) == 0, process.communicate()[1][-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert torch.equal(first["start"], second["start"])
    assert not torch.equal(first["index"], second["index"])
    torch.testing.assert_close(first["averaged"], (first["own"] + second["own"]) / 2, rtol=1e-6, atol=1e-9)
    assert torch.equal(first["averaged"], second["averaged"])
    assert (first["own"] - second["own"]).norm() > 0.1 * first["averaged"].norm()
    assert torch.equal(first["end"], second["end"])
    assert not torch.equal(first["end"], first["start"])
    assert not torch.equal(first["losses"], second["losses"])
    # Only the second met a loss that is not finite; both stop, and know which term it was.
    assert "not finite at step 4 (terms: flow)" in first["error"]
    assert first["error"] == second["error"]
    # The first process draws the random numbers of one that trains alone.
    config = resolve_scene("tiny", SETTINGS | {"train": SETTINGS["train"] | {"gpus": 1}}, "demo_planes", {})
    data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
    model = build_model(scene, config, data)
    trainer = Trainer(model, data, config, CheckpointStore(tmp_path / "alone", "x"))
    batch = model.sample_batch(0, trainer.execution.generator)
    trainer.execution.backward(batch, 0)
    assert torch.equal(batch.index, first["index"])
    parameters = [p for group in trainer.execution.optimiser.param_groups for p in group["params"]]
    alone = [p.grad.clone() for p in parameters]
    buffer = GradientBuffer.of(trainer.execution.optimiser)
    for parameter, gradient in zip(parameters, alone, strict=True):
        parameter.grad.copy_(gradient)
    torch.testing.assert_close(buffer.flat, first["own"], rtol=1e-4, atol=1e-7)


def test_planes_that_wait_stay_equal(tiny_scene, together, tmp_path):
    """5 frames, meant for 2: updates after the second and the fourth of four steps, by the mean of both processes."""
    own = SETTINGS | {"train": SETTINGS["train"] | {"steps_for_frames": 2}}
    process = together(PROGRAM, tiny_scene().root, tmp_path, json.dumps(own), launcher=FORKING)
    assert process.wait(timeout=180) == 0, process.communicate()[1][-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert not torch.equal(first["index"], second["index"])
    assert not torch.equal(first["own"], second["own"])
    assert torch.equal(first["end"], second["end"])
    # More numbers changed than there are besides the planes that wait, three of 16x16 cells with 8 channels a frame.
    changed, waiting = int((first["end"] != first["start"]).sum()), 5 * 3 * 16 * 16 * 8
    assert changed > first["own"].numel() + waiting // 4


def test_the_buffer_holds_gradients_where_they_are():
    weight = torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).t())
    bias, fixed = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(1), requires_grad=False)
    buffer = GradientBuffer([weight, fixed, bias])
    assert buffer.flat.shape == (128,)  # each starts at a multiple of 64
    (weight * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    (2 * bias.sum()).backward()
    assert weight.grad.tolist() == [[1, 2], [3, 4]]
    assert buffer.flat[:4].tolist() == [1, 3, 2, 4]  # column by column, as the weight itself lies
    assert buffer.flat[64:67].tolist() == [2, 2, 2]
    (2 * bias.sum()).backward()
    assert buffer.flat[64:67].tolist() == [4, 4, 4]
    buffer.clear()
    assert bias.grad.tolist() == [0, 0, 0]
    assert fixed.grad is None


def test_frames_and_seeds_depend_on_the_rank(tiny_scene):
    config = resolve_scene("tiny", SETTINGS | {"train": SETTINGS["train"] | {"frames_per_batch": 1}}, "demo_planes", {})
    data = TrainingData(tiny_scene(), config.field, config.train, 0.5, torch.device("cpu"))
    frames = []
    for rank in (0, 1):
        drawn = [data.choose(config.train, False, torch.Generator(), step, rank)[0][0] for step in range(12)]
        frames.append([int(index) // (data.height * data.width) for index in drawn])
    assert frames[0] != frames[1]
    seeds = []
    for rank in (0, 1, 2):
        group = Group.__new__(Group)
        group.rank = rank
        seeds += [group.seed(7, step) for step in (0, 40)]
    assert seeds[:2] == [7, 7]
    assert len(set(seeds)) == 5


# --- one model, one end ----------------------------------------------------------------------------------------------
def test_a_signal_to_one_stops_both_and_the_same_command_goes_on(tiny_scene, together, repo):
    scene = tiny_scene()
    process = together(*training(repo, scene))
    ended = time.monotonic() + 120
    while not list((scene.root / "state").glob("step_*.pt")):
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < ended
        time.sleep(0.02)
    os.kill(workers(process)[1], signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    # torchrun lists all that failed.
    assert re.findall(r"exitcode +: (-?\d+)", told) == ["75", "75"], told[-3000:]
    log = (scene.root / "train.log").read_text()
    (step,) = map(int, re.findall(r"signal 15: state saved at step (\d+)", log))
    assert 5 <= step < STEPS
    assert (scene.root / "state" / f"step_{step:09d}.pt").exists()
    assert not scene.model_dir.exists()

    process = together(*training(repo, scene))
    output, told = process.communicate(timeout=180)
    assert process.returncode == 0, told[-3000:]
    log = (scene.root / "train.log").read_text()
    assert f"resuming at step {step} of {STEPS} on cpu, 2 processes together" in log
    assert (output + log).count("resuming at step") == 2  # once in the log, once where it is copied to
    assert json.loads((scene.model_dir / "model.json").read_text())["steps"] == STEPS
    steps = [
        line.split(",")[0] for line in (scene.model_dir / "history.csv").read_text().splitlines() if "psnr" in line
    ]
    assert steps == [str(step) for step in range(10, STEPS + 1, 10)]
    assert scene.summary("train")["steps"] == STEPS


def test_an_error_of_all_is_told_once(tiny_scene, together, repo):
    scene = tiny_scene()
    path = scene.flow_dir / "00001_fwd.npz"
    path.write_bytes(path.read_bytes()[:100])
    process = together(*training(repo, scene))
    output, told = process.communicate(timeout=120)
    assert process.returncode != 0
    assert (output + told).count("error: ") == 1, told[-3000:]
    assert "00001_fwd.npz" in (scene.root / "train.log").read_text()


def test_a_single_process_is_not_two(tiny_scene):
    config = resolve_scene("tiny", SETTINGS, "demo_planes", {})
    with pytest.raises(StageError, match=r"train\.gpus is 2, and 1 of as many processes were started") as caught:
        run_train(tiny_scene(), config)
    assert "--nproc-per-node 2" in caught.value.remedy
    with joined(TrainConfig(), torch.device("cpu")) as (ranks, device):
        assert (ranks.count, ranks.leader, device.type) == (1, True, "cpu")


@pytest.mark.gpu
def test_two_gpus_train_together(tiny_scene, together, repo):
    """Recorded steps, NCCL between them."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    scene = tiny_scene()
    process = together(*training(repo, scene, device="cuda", steps=150))
    told = process.communicate(timeout=300)[1]
    assert process.returncode == 0, told[-3000:]
    assert "on cuda:0, 2 processes together" in (scene.root / "train.log").read_text()
    rows = [line.split(",") for line in (scene.model_dir / "history.csv").read_text().splitlines()]
    losses = [float(value) for _, name, value in rows[1:] if name == "psnr"]
    assert losses[-1] > losses[0]
