"""Which of the processes that torchrun started together this one is. Without torch: asked before it is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """``rank`` of ``count`` processes on this machine that belong to ``run``. Alone: 0 of 1, of no run."""

    rank: int = 0
    count: int = 1
    run: str = ""

    @property
    def leader(self) -> bool:
        """Whether this process writes files and says what happens."""
        return self.rank == 0


def place() -> Place:
    """This process's place, from torchrun's environment."""
    run = os.environ.get("TORCHELASTIC_RUN_ID", "")
    if not run:
        return Place()
    # Only with --standalone does the name alone tell two runs apart.
    run = f"{run}-{os.environ.get('MASTER_PORT', '')}"
    return Place(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]), run)
