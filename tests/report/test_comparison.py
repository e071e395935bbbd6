"""Two results side by side: what differs, and one page without references outside itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nsff.cli import main
from nsff.report.comparison import compare


@pytest.fixture
def two(complete, tmp_path: Path) -> tuple[Path, Path]:
    """The complete scene, and a copy with another setting, a better score, a verdict and a faster training."""
    results = tmp_path / "results"
    a, b = (Path(shutil.copytree(complete, results / name)) for name in ("first", "second"))
    for folder, steps in ((a, 30), (b, 60)):
        (folder / "settings").mkdir()
        (folder / "settings" / "train.json").write_text(json.dumps({"train": {"steps": steps, "rays": 64}}))
    scores = (b / "scores.csv").read_text()
    assert "24.375" in scores
    (b / "scores.csv").write_text(scores.replace("24.375", "26.5"))
    summary = json.loads((b / "summaries" / "sfm.json").read_text())
    assert summary["verdict"] == "poor"
    (b / "summaries" / "sfm.json").write_text(json.dumps(summary | {"verdict": "good"}))
    return a, b


def test_what_differs(two: tuple[Path, Path]):
    found = compare(*two)
    assert [(row.name, row.a, row.b) for row in found.settings] == [("train.steps", "30", "60")]
    changed = [row for row in found.scores if row.better]
    assert [(row.name, row.a, row.b, row.difference, row.better) for row in changed] == [
        ("views aligned, full: psnr", "24.38", "26.50", "+2.12", "b")
    ]
    assert [(row.name, row.a, row.b, row.better) for row in found.verdicts] == [("sfm", "poor", "good", "b")]
    assert {pair.title.split(",")[0] for pair in found.pairs} == {
        "rendered colour",
        "rendered inverse depth",
        "objects",
    }
    assert found.videos


def test_page_and_console(two: tuple[Path, Path], read_page, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(two[0].parents[1])
    assert main(["compare", "first", "second"]) == 0
    said = capsys.readouterr().out
    assert "train.steps  30  60" in said
    assert "+2.12" in said
    page = read_page(Path("compare_first_second.html"))
    assert page.faults == []
    assert all(a["src"].startswith("data:") for tag in ("img", "video") for a in page.all(tag))
    assert all((a.get("alt") or "").strip() for a in page.all("img"))
    assert len(page.all("input")) == len(page.all("img")) / 2
    assert main(["compare", "first", "secnd"]) == 1
    assert "did you mean 'second'? There are: first, second" in capsys.readouterr().err
