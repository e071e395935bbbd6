"""Writes a trained model as the checkpoint that the authors' code of NSFF and SAFF loads.

The model has to be one of preset nsff or saff. Their code takes cameras and depth bounds from poses_bounds.npy, which
lies in the scene's folder too. The optimiser's state is not kept: training there would start it anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

HELP = "write a model as a checkpoint of the authors' code"
EXAMPLES = ("export-checkpoint results/balloon1-2 360000.tar",)


def run(
    scene: Annotated[Path, Parameter(help="the scene's folder, results/NAME")],
    out: Annotated[Path, Parameter(help="the file to write, %06d.tar of the step by custom")],
    /,
) -> None:
    """Writes the checkpoint."""
    from nsff.commands._scenes import results_folder
    from nsff.scene import Scene
    from nsff.training.published import export_checkpoint

    export_checkpoint(Scene(results_folder(scene)).model_dir, out)
    print(f"{out}: written")
