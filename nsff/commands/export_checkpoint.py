"""Writes a trained model as the checkpoint that the authors' code of NSFF and SAFF loads.

The model has to be one of preset nsff or saff. Their code takes cameras and depth bounds from poses_bounds.npy, which
lies in the scene's folder too. The optimiser's state is not kept: training there would start it anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write a model as a checkpoint of the authors' code"
EXAMPLES = ("export-checkpoint results/balloon1-2 360000.tar",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scene", type=Path, metavar="SCENE", help="the scene's folder, results/NAME")
    parser.add_argument("out", type=Path, metavar="FILE", help="the file to write, %%06d.tar of the step by custom")


def run(arguments: argparse.Namespace) -> None:
    from nsff.models.ray_fields.published_checkpoints import export_checkpoint
    from nsff.scene import Scene

    export_checkpoint(Scene(arguments.scene).model_dir, arguments.out)
    print(f"{arguments.out}: written")
