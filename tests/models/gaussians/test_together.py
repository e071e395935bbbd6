"""Processes that train a scene of Gaussians together: other frames, one gradient, the same growth."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SETTINGS = {
    "input": {"path": "x"},
    "model": {"kind": "gaussians", "options": {"growths": 2, "grow_threshold": 1e-9}},
    "train": {"gpus": 2, "device": "cpu", "steps": 12, "steps_for_frames": 0, "tensorboard": False},
    "field": {"features": False, "saliency": False},
}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]


@pytest.mark.slow
def test_two_processes_end_with_the_same_gaussians(tiny_scene, repo, tmp_path):
    program = Path(__file__).with_name("trained_together.py")
    paths = os.pathsep.join([str(repo), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*TORCHRUN, program, tiny_scene(5).root, tmp_path, json.dumps(SETTINGS)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["frames"] != second["frames"]
    assert first["grown"] > first["begun"]
    assert torch.equal(first["end"], second["end"])
