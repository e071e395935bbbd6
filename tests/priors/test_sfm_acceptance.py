"""Which reconstructions are accepted, which of several is taken, and the reasons of failure, on made-up figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nsff.config import SfmConfig
from nsff.priors.sfm.acceptance import Evidence, best, failure, faults, only_turns, verdict
from nsff.priors.sfm.mapping import Quality, weakest_joint
from nsff.priors.sfm.parallax import Parallax

GOOD = Quality(
    registered=24, points=3000, reprojection_error=0.5, rms_error=0.6, triangulation_angle=5.7, focal_ratio=288 / 320,
    distortion=0.0, track_length=8.0, observations=900.0,
)  # fmt: skip
EVIDENCE = Evidence(n_frames=24, features_per_image=1500, displacement=5.0, masked=True)


def test_a_good_model_is_accepted():
    assert faults(GOOD, 24, SfmConfig()) == []
    assert verdict(GOOD, 24, SfmConfig())[0] == "good"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"focal_ratio": 168 / 320}, "focal_length"),  # what defaults of COLMAP found for the demo clip (288 is true)
        ({"focal_ratio": 3.0}, "focal_length"),
        ({"registered": 22}, "few_registered"),
        ({"triangulation_angle": 0.9}, "little_parallax"),
        ({"reprojection_error": 1.6}, "reprojection_error"),
        ({"points": 99}, "few_points"),
        ({"observations": 39.0}, "few_points"),
    ],
)
def test_one_fault_rejects(change: dict, fault: str):
    assert faults(replace(GOOD, **change), 24, SfmConfig()) == [fault]


@pytest.mark.parametrize(
    "change",
    [
        {"focal_ratio": 193 / 320},  # 0.603
        {"registered": 23},  # 95.8 %
        {"triangulation_angle": 4.0},  # davis-train, which is good
        {"triangulation_angle": 1.0},
        {"reprojection_error": 1.5},
        {"points": 100},
        {"observations": 40.0},
    ],
)
def test_just_within_the_bounds(change: dict):
    assert faults(replace(GOOD, **change), 24, SfmConfig()) == []


def test_a_known_focal_length_is_not_judged():
    odd = replace(GOOD, focal_ratio=168 / 320)
    assert faults(odd, 24, SfmConfig(focal=168.0)) == []
    assert faults(odd, 24, SfmConfig(focal_range=(0.5, 1.0))) == []


def test_frames_then_points_then_error():
    fewer = replace(GOOD, registered=23, points=9000, rms_error=0.1)
    rough = replace(GOOD, points=3300, rms_error=0.9)
    sparse = replace(GOOD, points=2900, rms_error=0.2)  # less than 90 % of 3300
    assert best([fewer, rough, GOOD, sparse]) == 2
    assert best([fewer, rough]) == 1
    assert best([replace(GOOD, points=100), rough]) == 1
    with pytest.raises(ValueError):
        best([])


def test_a_doubtful_model_says_why():
    judgement, message = verdict(replace(GOOD, registered=23, triangulation_angle=1.5), 24, SfmConfig())
    assert judgement == "doubtful"
    assert (
        "not registered, and to get poses from their neighbours: 1" in message.lower()
        and "little parallax" in message
        and "23 of 24" in message
    )


def test_a_model_that_hangs_together_loosely_says_where():
    assert weakest_joint([(0, 3), (2, 5), (1, 2), (4, 5), (0, 1)], [0, 1, 2, 3, 4, 5]) == (4, 1)
    assert weakest_joint([(0, 1)] * 9 + [(2, 3)] * 9, [0, 1, 2, 3]) == (2, 0)
    assert weakest_joint([], [3]) is None
    judgement, message = verdict(replace(GOOD, weakest=(12, 31)), 24, SfmConfig())
    assert judgement == "doubtful" and "frame 12 and those after it share 31 points" in message.lower()
    assert verdict(replace(GOOD, weakest=(12, 50)), 24, SfmConfig())[0] == "good"


def test_only_little_parallax_ends_the_ladder():
    turning = replace(GOOD, triangulation_angle=0.3)
    assert only_turns([turning, turning], 24, SfmConfig())
    assert not only_turns([turning, GOOD], 24, SfmConfig())
    assert not only_turns([replace(turning, registered=5)], 24, SfmConfig())
    assert not only_turns([], 24, SfmConfig())


@pytest.mark.parametrize(
    ("qualities", "evidence", "reason", "numbers", "remedy"),
    [
        ([], replace(EVIDENCE, features_per_image=13, displacement=None), "too little texture", "13 features", "lit"),
        ([], replace(EVIDENCE, displacement=None), "too few registered", "no two frames", "stride"),
        ([], replace(EVIDENCE, displacement=0.4), "too little parallax: the camera hardly moves", "0.4 px", "moving"),
        ([], EVIDENCE, "too little parallax: frames match", "5.0 px", "moving position"),
        ([replace(GOOD, triangulation_angle=0.31)], EVIDENCE, "the camera only turns", "0.31 degrees", "give cameras"),
        (
            [replace(GOOD, registered=9)],
            EVIDENCE,
            "too few registered: 9 of 24 frames, 95% needed",
            "3000",
            "input.end",
        ),
        (
            [replace(GOOD, registered=4, triangulation_angle=0.2)],
            EVIDENCE,
            "too few registered: 4 of 24",
            "0.20 degrees",
            "coarse_masks",
        ),
        ([replace(GOOD, focal_ratio=0.525)], EVIDENCE, "implausible focal length: 0.53", "0.6 to 2.5", "sfm.focal"),
        ([], replace(EVIDENCE, parallax=Parallax(0.7, 0.4, 9)), "the camera hardly moves", "5.0 px", "moving"),
        (
            [GOOD],
            replace(EVIDENCE, parallax=Parallax(0.7, 40.0, 9)),
            "too little parallax: the camera only turns or zooms",
            "within 0.7 px, 2 of parallax",
            "give cameras",
        ),
        (
            [replace(GOOD, points=4, observations=2.0)],
            replace(EVIDENCE, parallax=Parallax(30.0, 40.0, 9)),
            "too few points: the model has 4 points and a frame sees 2",
            "100 and 40 are needed",
            "sharper",
        ),
        ([replace(GOOD, reprojection_error=2.2)], EVIDENCE, "reprojection error too large: 2.20", "1.5", "shutter"),
    ],
)
def test_reasons(qualities: list, evidence: Evidence, reason: str, numbers: str, remedy: str):
    error = failure(qualities, evidence, SfmConfig(), ["sequential global", "relaxed global"])
    assert error.subject == "sfm"
    assert reason in error.problem and numbers in error.problem and "relaxed global" in error.problem
    assert remedy in error.remedy


def test_a_short_clip_may_miss_one_frame_and_a_bad_one_is_named():
    model = replace(GOOD, registered=13, frames=tuple(i for i in range(14) if i != 6))
    assert faults(model, 14, SfmConfig()) == []
    judgement, message = verdict(model, 14, SfmConfig())
    assert judgement == "doubtful"
    assert "from their neighbours: 1 (frames 6)" in message
    assert faults(replace(model, registered=12), 14, SfmConfig()) == ["few_registered"]
    assert faults(model, 14, SfmConfig(min_registered=1)) == ["few_registered"]
    assert faults(replace(GOOD, registered=4), 5, SfmConfig()) == ["few_registered"]
    assert faults(replace(GOOD, registered=190), 200, SfmConfig()) == []
    assert faults(replace(GOOD, registered=189), 200, SfmConfig()) == ["few_registered"]


def test_frames_that_were_not_registered_are_named_as_input_skip_counts_them():
    model = replace(GOOD, registered=11, frames=tuple(i for i in range(14) if i not in (3, 6, 7)))
    evidence = replace(EVIDENCE, n_frames=14, source=tuple(range(10, 38, 2)))
    error = failure([model], evidence, SfmConfig(), ["sequential"])
    assert "11 of 14 frames, 95% needed (sfm.min_registered; 13 of so many)" in str(error)
    assert "without: source frames 16, 22, 24" in str(error)
    assert "input.skip: [16, 22, 24]" in error.remedy
    # A model that does not say which frames it has names none.
    assert "without" not in str(failure([replace(model, frames=())], evidence, SfmConfig(), ["sequential"]))
