"""The verdict on cameras: what flow says of their world, of their epipolar lines and of their focal length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nsff.geometry.focal_length import FocalFit
from nsff.geometry.static_world import WorldCheck
from nsff.layout import VERDICTS, worse

RESIDUAL = (0.5, 1.0)
"""Median distance of flow to epipolar lines, pixels at 288 rows, up to which cameras are good, and doubtful."""
STATIC = (0.7, 0.5)
"""Shares of the picture and of its border that stand still in the world of the cameras, down to which cameras are good,
and doubtful."""
ORDER = (-0.1, -0.4)
"""The same of the rank correlation of nearness with the row in the picture."""
SPREAD = 100.0
"""Farthest content over nearest, by flow, above which cameras are doubtful."""
APART = (1.15, 1.3)
"""Factor between the focal length and the one that pictures speak for, up to which cameras are good, and doubtful."""
TOLD = 1.05
"""Median miss with the focal length over that with the best one, below which pictures do not tell it."""
EXPLAINED, EXPLAINED_GIVEN = 0.5, 0.8
"""Median misses with the best and with the given focal length, poses fitted to it, above which more is wrong than that,
in pixels at 288 rows."""


@dataclass(frozen=True)
class CameraSigns:
    """Signs of cameras by flow. Residuals are median distances to epipolar lines, pixels at 288 rows; None where no
    pair has parallax."""

    check: WorldCheck
    residual: float | None
    fit: FocalFit | None
    """The focal length that pictures speak for."""
    residual_fit: float | None
    """The residual with that focal length and the poses as they are."""


def judge_cameras(signs: CameraSigns, focal: float, given: bool = False) -> tuple[str, list[str]]:
    """(verdict, doubts in words) on cameras of focal length ``focal``, pixels of the ingested frames, as sfm.focal has
    it, ``given`` or estimated. A wrong focal length is named alone: the other doubts follow from it."""
    check, residual = signs.check, signs.residual
    judgement, doubts = world_doubts(check, signs.fit)
    if residual is None:
        judgement = worse(judgement, "doubtful")
        doubts.append("neighbouring frames show hardly any parallax, so cameras cannot be checked against flow")
    elif residual <= RESIDUAL[0] and check.static < STATIC[1]:
        return judgement, [
            "flow follows the epipolar lines, but the wrong way, so that what stands still would lie behind infinity: "
            "the camera's motion is reversed, or depth is inverted"
        ]
    elif residual > RESIDUAL[0]:
        judgement = worse(judgement, "poor" if residual > RESIDUAL[1] else "doubtful")
        doubts.append("cameras and flow disagree: wrong cameras, or much of the picture moves")
    level, words = focal_doubt(signs, focal, given)
    return worse(judgement, level), [words] if words else doubts


def focal_doubt(signs: CameraSigns, focal: float, given: bool = False) -> tuple[str, str]:
    """(verdict, what is wrong with the focal length ``focal``, pixels of the ingested frames, or nothing).

    There is no doubt where the motion of the camera does not tell the focal length, nor where another mends nothing:
    where flow lies off the epipolar lines under both, or is explained by neither.
    """
    fit, residuals = signs.fit, [one for one in (signs.residual, signs.residual_fit) if one is not None]
    if fit is None or fit.miss > EXPLAINED or fit.miss_given > EXPLAINED_GIVEN:
        return "good", ""
    if residuals and min(residuals) > RESIDUAL[1]:
        return "good", ""
    if fit.miss_given < TOLD * fit.miss:
        return "good", ""
    apart = max(fit.ratio, 1 / fit.ratio)
    level = sum(apart > bound for bound in APART)
    if not level:
        return "good", ""
    right = f"{fit.ratio * focal:.0f}"
    remedy = "correct the given cameras, or have them estimated (input.cameras)" if given else f"try sfm.focal: {right}"
    return VERDICTS[level], (
        f"the focal length is wrong: it is {focal:.0f} px, and what stands still speaks for about "
        f"{right} px of the ingested frames (missed by {fit.miss:.2f} px, by {fit.miss_given:.2f} px with the one in "
        f"use, median at 288 rows); {remedy}"
    )


def world_doubts(check: WorldCheck, fit: FocalFit | None = None) -> tuple[str, list[str]]:
    """Verdict on cameras by what flow says about their world, and the doubts in words. NaN figures say nothing."""
    worst, doubts = 0, []

    def ask(value: float, bounds: tuple[float, float], text: str) -> None:
        nonlocal worst
        level = 2 if value < bounds[1] else 1 if value < bounds[0] else 0
        worst = max(worst, level)
        if level:
            doubts.append(text)

    if fit is not None and fit.miss_given <= EXPLAINED:
        cause = f"flow fits other poses to {fit.miss_given:.2f} px, so the poses are wrong"
    else:
        cause = "they follow what moves"
    cause += ", or flow is that of other frames (see its verdict)"
    still = min(check.static, check.border) if check.border == check.border else check.static
    ask(
        still, STATIC,
        f"only {check.static:.0%} of the picture and {check.border:.0%} of its border stand still in the world of the "
        f"cameras: {cause}",
    )  # fmt: skip
    ask(
        check.order, ORDER,
        f"what lies below in the picture is farther than what lies above (rank correlation {check.order:.2f}): depth "
        "may be inverted",
    )  # fmt: skip
    ask(-check.spread, (-SPREAD, -np.inf), f"the farthest content is {check.spread:.0f} times as far as the nearest")
    return VERDICTS[worst], doubts
