"""Which of the processes that torchrun started together this one is. It does without torch, which is loaded later."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """Process ``rank`` of the ``count`` on this machine that belong to ``run``; without torchrun 0 of 1, of no run."""

    rank: int = 0
    count: int = 1
    run: str = ""

    @property
    def leader(self) -> bool:
        """Whether this process, the first of the run, writes files and prints messages."""
        return self.rank == 0


def launched() -> Launch:
    """Rank and run of this process, by the environment variables of torchrun."""
    run = os.environ.get("TORCHELASTIC_RUN_ID", "")
    if not run:
        return Launch()
    # Only with --standalone does the name alone tell two runs apart.
    run = f"{run}-{os.environ.get('MASTER_PORT', '')}"
    return Launch(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]), run)
