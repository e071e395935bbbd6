"""Largest relative differences from the published codes, of every term of the loss: docs/published_terms.md.

Both sides compute in float64 with the same networks, rays, samples and noise (tests/training/published_twin.py). A
difference is the largest of three: of the term's value, of its gradient in all that the networks say, and of its
gradient in all weights, each relative to the published one. Cameras of balloon1 and toss are read from ../shared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
from _root import ROOT
from tqdm import tqdm

sys.path.insert(0, str(ROOT / "tests" / "training"))
from published_cases import BASE, REAL_RIGS, RIGS, Case, compare, overlays, worlds_of

Table = dict[str, dict[str, float]]


def cases(rigs: list[str], with_overlays: bool) -> list[Case]:
    compared = [(p, overlay) for p in BASE for overlay in (None, *(overlays(p) if with_overlays else ()))]
    return [case for preset, overlay in compared for rig in rigs for case in worlds_of(preset, overlay, rig)]


def measure(chosen: list[Case], shared: Path) -> tuple[Table, Table]:
    """Largest differences of each term by preset and overlay, and by rig, preset and scale of the world."""
    by_overlay: Table = defaultdict(lambda: defaultdict(float))
    by_world: Table = defaultdict(lambda: defaultdict(float))
    with tempfile.TemporaryDirectory() as folder:
        for case in tqdm(chosen, desc="cases"):
            overlay = by_overlay[f"{case.preset} {case.overlay or ''}".strip()]
            world = by_world[f"{case.rig}, {case.preset}, scale {case.scale:g}"]
            for term, difference in compare(case, Path(folder), shared).items():
                for row in (overlay, world):
                    row[term] = max(row[term], difference.largest)
    return by_overlay, by_world


def markdown(table: Table, first: str) -> str:
    terms = sorted({term for row in table.values() for term in row})
    lines = [f"| {first} | " + " | ".join(terms) + " |", "|---" * (len(terms) + 1) + "|"]
    for name, row in table.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[term]:.0e}" if term in row else "" for term in terms) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", action="store_true", help="the presets as they are, without overlays")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shared = ROOT.parent / "shared"
    chosen = cases(
        tuple(rig for rig in RIGS if rig not in REAL_RIGS or (shared / "scenes").is_dir()), not arguments.presets
    )
    by_overlay, by_world = measure(chosen, shared)
    print(f"{len(chosen)} cases.\n\n{markdown(by_overlay, 'preset, overlay')}\n\n{markdown(by_world, 'world')}")


if __name__ == "__main__":
    main()
