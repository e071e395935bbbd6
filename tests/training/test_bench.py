"""The speed table: its parts add up, its rates follow from its times, and the command says what is missing."""

import json
import sys
from pathlib import Path

import pytest

from nsff.cli import main
from nsff.config import resolve_scene
from nsff.config.presets import PRESETS
from nsff.training.bench import bench

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_site import documented_calls

SMALL = {
    "train": {"rays": 24, "motion_rays": 8, "warp_rays": 16, "device": "cpu"},
    "sampling": {"samples": 8, "coarse_samples": 8},
}


@pytest.mark.parametrize("preset", ["demo_planes", "nsff"])
def test_rates_and_shares(tiny_scene, preset):
    config = resolve_scene("tiny", {"input": {"path": "x"}, **SMALL}, preset, {})
    row = bench(tiny_scene(), config, 5, 1)
    assert row["rays"] == 32
    assert row["rays_a_second"] == pytest.approx(32 / (row["milliseconds_a_step"] / 1000))
    assert sum(row["parts"].values()) == pytest.approx(1)
    expected = {"batch", "samples", "fields", "warped fields", "losses", "backward", "optimiser"}
    assert set(row["parts"]) == expected
    assert min(row["parts"].values()) >= 0
    assert row["peak_gb"] is None
    assert set(row["frames_a_second"]) == ({"colour", "all maps"} if preset == "demo_planes" else {"colour"})
    assert min(row["frames_a_second"].values()) > 0


def test_command_prints_a_table_and_writes_the_figures(tiny_scene, tmp_path, capsys):
    changes = ["train.rays=24", "train.motion_rays=8", "sampling.samples=8", "train.device=cpu"]
    options = [option for change in changes for option in ("--set", change)]
    figures = tmp_path / "bench.json"
    scene = tiny_scene()
    before = sorted(scene.root.rglob("*"))
    arguments = [
        "bench",
        "--scene",
        str(scene.root),
        "--preset",
        "demo_planes",
        "saff",
        "--steps",
        "5",
        "--json",
        str(figures),
    ]
    assert main([*arguments, *options]) == 0
    printed = capsys.readouterr().out
    assert [row["preset"] for row in json.loads(figures.read_text())] == ["demo_planes", "saff"]
    assert "ms/step" in printed
    assert "backward" in printed
    assert sorted(scene.root.rglob("*")) == before


def test_every_call_in_the_documents(tiny_scene, repo, tmp_path, monkeypatch, capsys):
    """The same presets and options, on a tiny scene and with few rays, for one step."""
    scene = tiny_scene()
    (tmp_path / "results").mkdir()
    for name in ("demo", "toss", "holiday"):
        (tmp_path / "results" / name).symlink_to(scene.root)
    monkeypatch.chdir(tmp_path)
    changes = ["train.rays=8", "train.motion_rays=4", "sampling.samples=4", "sampling.coarse_samples=4"]
    small = ["--steps", "1", "--views", "1", *(word for change in changes for word in ("--set", change))]
    for words in documented_calls(repo, "bench"):
        assert main([*words, *small]) == 0, (words, capsys.readouterr().err)
        printed = capsys.readouterr().out
        assert "ms/step" in printed and "Gaussians are drawn by" in printed
        assert all(preset in printed for preset in words if preset in PRESETS)


def test_command_says_what_a_scene_lacks(tmp_path, capsys):
    assert main(["bench", "--scene", str(tmp_path / "nothing")]) == 1
    assert "snakemake" in capsys.readouterr().err
