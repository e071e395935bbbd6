"""What the quality meter finds in clips with known faults."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from nsff.datasets.quality import QualityMeter, judge


def measured(frames) -> tuple[dict, str, str]:
    meter = QualityMeter()
    for image in frames:
        meter.add(image)
    verdict, complaints = judge(len(frames), 480, meter.values())
    return meter.values(), verdict, "; ".join(complaints)


def test_good_clip(tiny_renderer: Callable):
    found, verdict, message = measured(tiny_renderer(12)[0])
    assert (found["duplicates"], found["exposure_jumps"], found["blurred"]) == ([], [], [])
    assert (verdict, message) == ("good", "")


def test_frozen_frames_with_compression_noise(tiny_renderer: Callable):
    frames = list(tiny_renderer(12)[0])
    frames[5] = frames[4].copy()
    frames[5][::8, ::8] ^= 1
    found, verdict, message = measured(frames)
    assert found["duplicates"] == [5]
    assert verdict == "doubtful"
    assert "repeat" in message


def test_mostly_frozen_is_poor(tiny_renderer: Callable):
    frames = [image for image in tiny_renderer(5)[0] for _ in range(3)]
    found, verdict, _ = measured(frames)
    assert len(found["duplicates"]) == 10
    assert verdict == "poor"


def test_still_clip(tiny_renderer: Callable):
    found, verdict, message = measured([tiny_renderer(1)[0][0]] * 8)
    assert found["duplicates"] == list(range(1, 8))
    assert verdict == "poor"
    assert message.startswith("7 frames (source frames 1, 2, 3, 4, ...) repeat the one before; the picture hardly")
    assert "mpdecimate" not in message


def test_black_frames_are_no_repeats(tiny_renderer: Callable):
    frames = [np.full_like(tiny_renderer(1)[0][0], 16)] * 3 + list(tiny_renderer(9)[0])
    found, _, message = measured(frames)
    assert (found["blank"], found["duplicates"]) == ([0, 1, 2], [])
    assert message == "3 frames (source frames 0, 1, 2) show nothing; leave them out by input.skip"


def test_exposure_jump(tiny_renderer: Callable):
    frames = list(tiny_renderer(12)[0])
    for i in range(7, 12):
        frames[i] = (frames[i] * 0.8).astype(np.uint8)  # 0.8 ** 2.2 is 0.7 stops down
    found, verdict, message = measured(frames)
    assert found["exposure_jumps"] == [7]
    assert verdict == "doubtful"
    assert "brightness" in message


def test_blur(tiny_renderer: Callable):
    frames = list(tiny_renderer(12)[0])
    frames[3] = cv2.GaussianBlur(frames[3], (0, 0), 2)
    found, verdict, _ = measured(frames)
    assert found["blurred"] == [3]
    assert verdict == "doubtful"


def test_few_and_small(tiny_renderer: Callable):
    meter = QualityMeter()
    for image in tiny_renderer(3)[0]:
        meter.add(image)
    verdict, complaints = judge(3, 48, meter.values())
    assert verdict == "doubtful"
    assert len(complaints) == 2
