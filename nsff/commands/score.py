"""Scores a folder of rendered pictures and masks, made by any method, against truth in a named protocol's layout.

The folder holds {i}_rgb.png (pictures) and {i}.png (integer label maps, or SAFF's colour-coded masks), i being the
view's number in the protocol (docs/protocols.md). Prints a table; --out writes it in long form, --per-view every
single value.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "score a folder of pictures and masks against truth, in a named protocol"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pred", required=True, type=Path, metavar="DIR", help="folder with {i}_rgb.png and {i}.png")
    parser.add_argument(
        "--truth", required=True, type=Path, metavar="DIR", help="folder with the truth, in the protocol's layout"
    )
    parser.add_argument("--protocol", required=True, metavar="NAME", help="views, masks, nsff24, dynnerf12 or saff")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write scene,protocol,variant,split,metric,value as CSV"
    )
    parser.add_argument("--per-view", type=Path, metavar="FILE", help="write every view's values as CSV")
    parser.add_argument(
        "--dilation",
        type=int,
        default=5,
        metavar="PX",
        help="growth of object masks for dynamic-only scores of views (default 5)",
    )
    parser.add_argument("--no-lpips", action="store_true", help="leave LPIPS out")


def run(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from nsff.metrics.folder import score_folder
    from nsff.metrics.lpips import load_lpips, why_absent
    from nsff.metrics.protocols import get_protocol
    from nsff.metrics.table import COLUMNS, wide, write_records, write_scores

    protocol = get_protocol(arguments.protocol)
    lpips = None if arguments.no_lpips or not protocol.images else load_lpips()
    rows, records, notes = score_folder(arguments.pred, arguments.truth, protocol.name, lpips, arguments.dilation)
    table = wide(pd.DataFrame([{name: getattr(row, name) for name in COLUMNS} for row in rows]))
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print(table.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    if protocol.images and lpips is None and not arguments.no_lpips:
        notes.append(why_absent())
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if arguments.out:
        write_scores(arguments.out, rows)
    if arguments.per_view:
        write_records(arguments.per_view, records)
