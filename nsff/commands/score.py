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

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

HELP = "score a folder of pictures and masks against truth, in a named protocol"
EXAMPLES = (
    "score --pred results/demo/score_pictures/views --truth demo/truth --protocol views",
    "score --pred results/demo/masks_crf --truth demo/truth --protocol masks --out masks.csv",
    "score --pred COLLECTED/Balloon1-2 --truth data/Balloon1-2 --protocol saff --per-view views.csv",
    "score --pred ours_1018_processed_crf --truth gt_masks --protocol saff",
)


def _named_protocol(type_: object, name: str) -> None:
    """Refuses names of no protocol, and of one without truth: wrong usage."""
    from nsff.errors import ConfigError
    from nsff.metrics.protocols import get_protocol

    try:
        protocol = get_protocol(name)
    except ConfigError as error:
        raise ValueError(f"{error.subject}: {error.problem}. {error.remedy}") from None
    if protocol.name == "self":
        raise ValueError("protocol self has no truth: its views are frames of the scene's own input")


def run(
    *,
    pred: Annotated[Path, Parameter(help="folder with {i}_rgb.png and {i}.png, or of scenes")],
    truth: Annotated[Path, Parameter(help="folder with the truth, in the protocol's layout, or of scenes")],
    protocol: Annotated[
        str,
        Parameter(help="views, masks, nsff24, dynnerf12, saff, dycheck or iphone", validator=_named_protocol),
    ],
    out: Annotated[Path | None, Parameter(help="write scene,protocol,variant,split,metric,value as CSV")] = None,
    per_view: Annotated[Path | None, Parameter(help="write every view's values as CSV")] = None,
    dilation: Annotated[
        int,
        Parameter(
            help="growth of object masks for dynamic-only scores of views, in pixels (default: 5)",
            validator=Number(gte=0),
        ),
    ] = 5,
    no_lpips: Annotated[bool, Parameter(help="leave LPIPS out")] = False,
) -> None:
    """Scores a folder."""
    import pandas as pd

    from nsff.metrics.folder import score_folder
    from nsff.metrics.lpips import load_lpips, why_absent
    from nsff.metrics.protocols import get_protocol
    from nsff.metrics.scenes import holds_scenes, score_scenes
    from nsff.metrics.table import COLUMNS, Record, wide, write_records, write_scene_records, write_scores

    chosen = get_protocol(protocol)
    lpips = None if no_lpips or not chosen.images else load_lpips()
    asked = (pred, truth, chosen.name, lpips, dilation)
    by_scene: dict[str, list[Record]] | None = None
    if holds_scenes(pred):
        rows, by_scene, notes = score_scenes(*asked)
    else:
        rows, records, notes = score_folder(*asked)
    table = wide(pd.DataFrame([{name: getattr(row, name) for name in COLUMNS} for row in rows]))
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print(table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep=""))
    if chosen.images and lpips is None and not no_lpips:
        notes.append(why_absent())
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if out:
        write_scores(out, rows)
    if per_view:
        if by_scene is None:
            write_records(per_view, records)
        else:
            write_scene_records(per_view, by_scene)
