"""The verdict of a score in words: our numbers beside the baselines that need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nsff.config import SceneConfig
from nsff.layout import VERDICTS
from nsff.metrics.baselines import TRAINING
from nsff.metrics.protocols import REFIT, get_protocol
from nsff.metrics.table import Row

COPIES = ("copy", "copy_camera")
CLEAR_GAIN = 1.0
"""dB above the best copied frame that count as more than chance."""
MISSED, LITTLE = 0.5, 0.1
"""Share of what surely moves that is off the motion masks, above which they are to blame, unless that is more than the
second share of the picture: then cameras or depth are. Chosen on 36 runs of four scenes (docs/notebook.md)."""
CAMERA_GAIN = 2.0
CAMERA_LIMIT = 30.0
"""dB: where the raw score is below the limit and refining the held-out cameras brings more than the gain, cameras are
to blame."""


def describe(rows: Sequence[Row], numbers: Mapping[str, Mapping[str, Any]], config: SceneConfig) -> tuple[str, str]:
    """(verdict, words) over all protocols; the worst protocol decides. Rows are those of scores.csv."""
    if not config.evaluation and not numbers:
        return "doubtful", (
            "Nothing was scored: no evaluation is configured (key evaluation), and there is no score without truth "
            "(score.refit_steps)."
        )
    judged = []
    for name in numbers:
        mine = [row for row in rows if row.protocol == name]
        if name == REFIT.name:
            judged.append(describe_refit(mine, numbers[name]))
            continue
        level, message = _describe_one(name, _held_out(mine), numbers[name])
        judged.append(_with_motion(level, message, mine))
    worst = max((VERDICTS.index(level) for level, _ in judged), default=0)
    return VERDICTS[worst], " ".join(message for _, message in judged)


def describe_refit(rows: Sequence[Row], numbers: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """(verdict, words) of the score without truth: pictures above the baselines (the frames beside them, as they are or
    brought over by a homography), of the whole and of what moves, and a model of the scene that shows what it was
    trained on better than the second training shows what it never saw. Where no pixel moves by the motion masks there
    is nothing to say of what moves, and the verdict is doubtful at best. Where pictures fail, or what surely moves is
    not on the masks (``numbers``, of nsff.metrics.refit_signs), the words say what to look at."""
    psnr = {(row.variant, row.split): row.value for row in rows if row.metric == "psnr"}
    views = next(row.value for row in rows if (row.variant, row.split, row.metric) == ("raw", "full", "count"))
    whole, moving = psnr["raw", "full"], psnr.get(("raw", "dynamic"))
    copied = max(psnr[variant, "full"] for variant in COPIES if (variant, "full") in psnr)
    gain = whole - copied
    level = 0 if gain >= CLEAR_GAIN else 1 if gain > 0 else 2
    words = (
        f"Without truth (refit): {views:.0f} frames that a short second training never saw reach {whole:.2f} dB, "
        f"{abs(gain):.2f} dB {'above' if gain >= 0 else 'below'} the frames beside them."
    )
    plane = psnr.get(("plane", "full"))
    if plane is not None and whole <= plane:
        level = max(level, 2 if whole <= plane - CLEAR_GAIN else 1)
        words += (
            f" The frame before, brought over by one homography, has {plane:.2f} dB: the depth that was found brings "
            "nothing."
        )
    seen, cause = _cause(psnr, numbers or {})
    if cause or level:
        level = max(level, seen)
        words += cause or " What one frame sees is not found where the next one looks: look at cameras and depth."
    if moving is not None:
        best = max(psnr[variant, "dynamic"] for variant in ("static", *COPIES) if (variant, "dynamic") in psnr)
        words += f" Where it moves: {moving:.2f} dB, {abs(moving - best):.2f} dB "
        words += f"{'above' if moving >= best else 'below'} the best of these frames and the static part."
        if moving <= best:
            level = max(level, 1)
            words += " Look at flow and motion masks."
    else:
        level = max(level, 1)
        words += " Nothing moves by the motion masks, so nothing was scored where it moves: look at the masks."
    trained = psnr.get(("trained", "full"))
    if trained is not None and trained < whole:
        level = max(level, 1)
        words += (
            f" The scene's own model shows these frames, which it was trained on, at {trained:.2f} dB alone: it was "
            "trained too short, or fails to draw what the second training does."
        )
    return VERDICTS[level], words


def _cause(psnr: Mapping[tuple[str, str], float], numbers: Mapping[str, Any]) -> tuple[int, str]:
    """(level, words) of a cause that is seen without any training: flow that does not bring the frame before over, and
    motion masks that leave out most of what surely moves. Flow first: masks are told by it."""
    carried, before = (psnr.get((variant, "full")) for variant in ("flow", "copy"))
    if carried is not None and before is not None and before < CAMERA_LIMIT and carried < before + CLEAR_GAIN:
        return 2, (
            f" Flow brings the frame before over at {carried:.2f} dB, {before:.2f} dB as it is: it is not the flow of "
            "these frames; look at flow."
        )
    missed, off = (numbers.get(name) for name in ("missed_by_masks", "moving_off_masks"))
    if missed is not None and off is not None and missed > MISSED and off <= LITTLE:
        return 1, (
            f" {missed:.0%} of what surely moves by cameras and flow is not on the motion masks, and was taken for "
            "what stands still: look at the motion masks."
        )
    return 0, ""


def _with_motion(level: str, message: str, rows: Sequence[Row]) -> tuple[str, str]:
    """Adds how well what moves is shown, beside the static part alone."""
    moving = {row.variant: row.value for row in rows if (row.split, row.metric) == ("dynamic", "psnr")}
    ours = moving.get("aligned", moving.get("raw"))
    if ours is None or "static" not in moving:
        return level, message
    gain = ours - moving["static"]
    message += (
        f" Where it moves: {ours:.2f} dB, {abs(gain):.2f} dB {'above' if gain >= 0 else 'below'} the static part alone."
    )
    if gain <= 0:
        message += " The dynamic field adds nothing: look at motion masks and flow."
        level = VERDICTS[max(1, VERDICTS.index(level))]
    return level, message


def _held_out(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """(variant, metric) → value over the views that were not trained on: the mean of the other splits where a protocol
    also scores training views. Masks, which are not trained on, count everywhere."""
    value = {(row.variant, row.metric): row.value for row in rows if row.split == "full"}
    for variant, metric in value:
        if metric in ("psnr", "count"):
            found = [
                row.value
                for row in rows
                if (row.variant, row.metric) == (variant, metric)
                and row.split.endswith("/full")
                and not row.split.startswith(TRAINING)
            ]
            if found:
                value[variant, metric] = sum(found) / (len(found) if metric == "psnr" else 1)
    return value


def _describe_one(name: str, value: Mapping[tuple[str, str], float], numbers: Mapping[str, Any]) -> tuple[str, str]:
    protocol = get_protocol(name)
    levels: list[int] = []
    message: list[str] = []
    variant = next((v for v in ("aligned", "raw") if (v, "psnr") in value), None)
    if protocol.images and variant:
        ours = value[variant, "psnr"]
        copied = max(value.get((kind, "psnr"), 0.0) for kind in COPIES)
        gain = ours - copied
        levels.append(0 if gain >= CLEAR_GAIN else 1 if gain > 0 else 2)
        message.append(
            f"{name}: {ours:.2f} dB PSNR over {value[variant, 'count']:.0f} held-out views ({variant}), "
            f"{abs(gain):.2f} dB {'above' if gain >= 0 else 'below'} showing the nearest training frame "
            f"({copied:.2f} dB)."
        )
        raw = value.get(("raw", "psnr"), ours)
        if raw < CAMERA_LIMIT and ours - raw > CAMERA_GAIN:
            levels.append(1)
            message.append(
                f"Refining the held-out cameras brings {ours - raw:.2f} dB: the estimated cameras are off by "
                f"{100 * numbers.get('camera_position_error', 0):.1f} % of the path's extent and "
                f"{numbers.get('camera_rotation_error_degrees', 0):.2f} degrees; see the sfm stage."
            )
        if levels[0]:
            message.append("Train longer, or look at cameras, motion masks and depth.")
    best = next((v for v in ("crf", "processed", "clusters", "prediction") if (v, "jaccard") in value), None)
    if protocol.masks and best:
        overlap, ari = value[best, "jaccard"], value[best, "ari"]
        level = 0 if overlap >= 0.5 else 1 if overlap >= 0.25 else 2
        levels.append(level)
        message.append(
            f"{name}: Jaccard {overlap:.3f}, ARI {ari:.3f} over {value[best, 'count_masks']:.0f} masks ({best}); "
            f"the motion masks alone have Jaccard {value.get(('motion', 'jaccard'), 0.0):.3f}."
        )
        if level:
            message.append("Look at the clusters' saliency and the motion masks.")
    if not levels:
        return "doubtful", f"{name}: nothing could be scored."
    return VERDICTS[max(levels)], " ".join(message)
