"""Builds gsplat by hand in an environment that has no command ``nsff``, as those of --use-conda:
``python -m nsff.building --arch 9.0``. ``nsff build-rasteriser`` says more."""

from __future__ import annotations

import argparse
import sys

from nsff.building.compile import build_or_find
from nsff.errors import NsffError

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m nsff.building", description=__doc__)
    parser.add_argument("--arch", nargs="+", help="compute capabilities of GPUs (default: this machine's)")
    parser.add_argument("--jobs", type=int, help="compilers at a time (default: by processors and memory)")
    parser.add_argument("--force", action="store_true", help="build again what is there")
    given = parser.parse_args()
    try:
        print(build_or_find(given.arch, given.jobs, given.force))
    except NsffError as error:
        sys.exit(f"error: {error}")
