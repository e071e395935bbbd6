"""Where pretrained weights lie on this machine: the folder named by NSFF_WEIGHTS, then ~/.cache/nsff."""

from __future__ import annotations

import os
from pathlib import Path


def find(name: str) -> Path | None:
    """The file or folder ``name`` among the weights of this machine, or None."""
    folders = [os.environ.get("NSFF_WEIGHTS"), "~/.cache/nsff"]
    paths = [Path(folder).expanduser() / name for folder in folders if folder]
    return next((path for path in paths if path.exists()), None)
