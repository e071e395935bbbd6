"""Gaussians that this machine's GPU cannot draw are refused before any job."""

import pytest

from nsff.config import resolve_scene
from nsff.errors import ConfigError
from nsff.models.gaussians import rasterisers
from nsff.workflow.rasteriser_check import check_rasterisers


def scene(**sections):
    return {"toss": resolve_scene("toss", {"input": {"path": "x"}, **sections}, "fast", {}, [])}


def test_a_gpu_without_its_rasteriser_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(rasterisers, "gpu_problem", lambda: "it is not installed")
    with pytest.raises(ConfigError, match=r"scenes.toss.*not installed") as raised:
        check_rasterisers(scene(preset="gaussians"), gpu=True)
    assert "preset: planes" in str(raised.value) and "train.device: cpu" in str(raised.value)


@pytest.mark.parametrize("sections", [
    {"preset": "planes"}, {"preset": "demo"}, {"preset": "gaussians", "train": {"device": "cpu"}},
])  # fmt: skip
def test_what_needs_no_rasteriser_is_not_asked(monkeypatch, sections):
    monkeypatch.setattr(rasterisers, "gpu_problem", lambda: pytest.fail("asked"))
    check_rasterisers(scene(**sections), gpu=True)


def test_neither_is_a_machine_without_gpu_or_one_that_works(monkeypatch):
    monkeypatch.setattr(rasterisers, "gpu_problem", lambda: None)
    check_rasterisers(scene(preset="gaussians"), gpu=True)
    monkeypatch.setattr(rasterisers, "gpu_problem", lambda: pytest.fail("asked"))
    check_rasterisers(scene(preset="gaussians"), gpu=False)
