"""docs/quality.md against the stages there are, and its thresholds against what the stages say just beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nsff.config import MotionConfig, SfmConfig
from nsff.decompose.stability import judge
from nsff.priors.canonical import stage as canonical
from nsff.priors.canonical import verdict as cameras
from nsff.priors.features import stage as features
from nsff.priors.features.registry import FEATURES
from nsff.priors.flow import stage as flow
from nsff.priors.motion import coverage as masks
from nsff.priors.sfm.acceptance import faults, verdict
from nsff.priors.sfm.mapping import Quality
from nsff.report.stages import STAGES


@pytest.fixture(scope="module")
def tables(repo: Path) -> tuple[str, str]:
    """Both tables: the thresholds and the pictures."""
    thresholds, pictures = (repo / "docs" / "quality.md").read_text().split("## Pictures in the report")
    return thresholds, pictures


def rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_stage_has_thresholds_and_a_picture(tables: tuple[str, str]):
    for table in tables:
        named = {name.strip() for row in rows(table) for name in re.sub(r"\(.*?\)", "", row[0]).split(",")}
        missing = {s.name for s in STAGES if s.name not in named and not ("render_*" in named and "render_" in s.name)}
        assert not missing
        assert all(len(row) in (2, 5) and all(row) for row in rows(table))


def row_of(tables: tuple[str, str], stage: str, number: str) -> list[str]:
    return next(row for row in rows(tables[0]) if row[0].startswith(stage) and number in row[1])


def test_flow(tables: tuple[str, str]):
    row = row_of(tables, "flow", "mean")
    for share, level in ((0.85, 2), (0.84, 3), (0.6, 3), (0.59, 4)):
        assert flow._verdict([(share, 1.0)])["verdict"] == ("good", "doubtful", "poor")[level - 2]
    assert row[2:] == ["85 % and more", "60 % and more", "less than 60 %"]


def test_masks(tables: tuple[str, str]):
    assert MotionConfig().coverage_warning == (0.001, 0.6)
    assert row_of(tables, "motion", "covered, mean")[2:] == ["0.1 % to 60 %", "less than 0.1 %", "more than 60 %"]
    levels = [masks.summarise_coverage([c] * 3, MotionConfig(), "")["verdict"] for c in (0.0009, 0.0011, 0.59, 0.61)]
    assert levels == ["doubtful", "good", "good", "poor"]


def test_sfm(tables: tuple[str, str]):
    sfm, best = SfmConfig(), Quality(100, 2000, 1.04, 1.2, 2.0, 1.0, 0.0, 5.0)
    assert verdict(best, 100, sfm)[0] == "good"
    for change in ({"registered": 99}, {"triangulation_angle": 1.99}, {"reprojection_error": 1.06}, {"points": 1999}):
        worse = Quality(**{**best.__dict__, **change})
        assert verdict(worse, 100, sfm)[0] == "doubtful" and not faults(worse, 100, sfm)
    for text in ("(95 %)", "(1°)", "0.7 × `sfm.max_reprojection_error` (1.5 px)", "| 0.6 to 2.5 |", "| 20 and more |"):
        assert text in tables[0], text
    assert (sfm.min_registered, sfm.min_triangulation_angle, sfm.max_reprojection_error) == (0.95, 1.0, 1.5)
    assert sfm.focal_range == (0.6, 2.5)


def test_cameras_features_and_objects(tables: tuple[str, str]):
    assert cameras.RESIDUAL == (0.5, 1.0) and canonical.LONGEST_GAP == 3
    assert row_of(tables, "cameras", "epipolar")[2] == "up to 0.5 px"
    explained = {name: backend.explained for name, backend in FEATURES.backends.items()}
    assert explained == {"classical": 0.8, "vgg": 0.5, "dino": 0.5} and features.SALIENT == 0.5
    assert row_of(tables, "features", "variance")[2] == "80 % (classical), 50 % (dino, vgg)"
    numbers = {"foreground_fraction": 0.1, "area_fractions": {"1": 0.1}, "area_jitter": {"1": 0.1}}
    levels = [judge({**numbers, "warped_overlap": overlap})[0] for overlap in (0.7, 0.69, 0.4, 0.39)]
    assert levels == ["good", "doubtful", "doubtful", "poor"]
    assert row_of(tables, "cluster", "overlap")[2:] == ["0.7 and more", "0.4 and more", "less than 0.4"]
