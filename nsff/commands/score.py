"""Scores a folder of rendered pictures and masks, made by any method, against truth in a named protocol's layout.

The folder holds {i}_rgb.png (pictures) and {i}.png (integer label maps, or SAFF's colour-coded masks), i being the
view's number in the protocol (docs/protocols.md), and, if you like, {i}_static_rgb.png (the static part alone).
Prints a table, with copied input frames as a baseline where they lie beside the truth; --out writes it in long form,
--per-view every single value.

The folders of all scenes, with one folder a scene in each, are scored scene by scene, and the mean over scenes
is printed with them: {scene}/{i}.png and {scene}/{i}_rgb.png against gt_masks/{scene}/training_ 0.png, or whatever the
layout is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "score a folder of pictures and masks against truth, in a named protocol"
EXAMPLES = (
    "score --pred results/demo/score_pictures/views --truth demo/truth --protocol views",
    "score --pred results/demo/masks_crf --truth demo/truth --protocol masks --out masks.csv",
    "score --pred COLLECTED/Balloon1-2 --truth data/Balloon1-2 --protocol saff --per-view views.csv",
    "score --pred ours_1018_processed_crf --truth gt_masks --protocol saff",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pred", required=True, type=Path, metavar="DIR",
                        help="folder with {i}_rgb.png and {i}.png, or of scenes")  # fmt: skip
    parser.add_argument(
        "--truth",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder with the truth, in the protocol's layout, or of scenes",
    )
    parser.add_argument(
        "--protocol",
        required=True,
        type=_protocol,
        metavar="NAME",
        help="views, masks, nsff24, dynnerf12, saff, dycheck or iphone",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write scene,protocol,variant,split,metric,value as CSV"
    )
    parser.add_argument("--per-view", type=Path, metavar="FILE", help="write every view's values as CSV")
    parser.add_argument(
        "--dilation",
        type=_pixels,
        default=5,
        metavar="PX",
        help="growth of object masks for dynamic-only scores of views (default 5)",
    )
    parser.add_argument("--no-lpips", action="store_true", help="leave LPIPS out")


def _protocol(name: str) -> str:
    """The name of a protocol with truth; an unknown one is wrong usage."""
    from nsff.errors import ConfigError
    from nsff.metrics.protocols import get_protocol

    try:
        protocol = get_protocol(name)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(f"{error.subject}: {error.problem}. {error.remedy}") from None
    if protocol.name == "self":
        raise argparse.ArgumentTypeError("protocol self has no truth: its views are frames of the scene's own input")
    return protocol.name


def _pixels(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of pixels, 0 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from nsff.metrics.folder import score_folder
    from nsff.metrics.lpips import load_lpips, why_absent
    from nsff.metrics.protocols import get_protocol
    from nsff.metrics.scenes import holds_scenes, score_scenes
    from nsff.metrics.table import COLUMNS, Record, wide, write_records, write_scene_records, write_scores

    protocol = get_protocol(arguments.protocol)
    lpips = None if arguments.no_lpips or not protocol.images else load_lpips()
    asked = (arguments.pred, arguments.truth, protocol.name, lpips, arguments.dilation)
    by_scene: dict[str, list[Record]] | None = None
    if holds_scenes(arguments.pred):
        rows, by_scene, notes = score_scenes(*asked)
    else:
        rows, records, notes = score_folder(*asked)
    table = wide(pd.DataFrame([{name: getattr(row, name) for name in COLUMNS} for row in rows]))
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print(table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep=""))
    if protocol.images and lpips is None and not arguments.no_lpips:
        notes.append(why_absent())
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if arguments.out:
        write_scores(arguments.out, rows)
    if arguments.per_view:
        if by_scene is None:
            write_records(arguments.per_view, records)
        else:
            write_scene_records(arguments.per_view, by_scene)
