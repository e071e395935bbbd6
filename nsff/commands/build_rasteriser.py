"""Builds gsplat, which draws scenes of Gaussians on a GPU, once for an installation: a few minutes. No CUDA toolkit is
needed: pip install 'nsff[gaussians]' brings the compiler.

The build lies in ~/.cache/nsff/gsplat, or in the folder that the variable NSFF_RASTERISER names. A build that was
stopped goes on where it was. On a machine without a GPU, as a cluster's login node, --arch says for which one.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

HELP = "build gsplat, which draws scenes of Gaussians on a GPU"
EXAMPLES = ("build-rasteriser", "build-rasteriser --arch 9.0 --jobs 4")


def run(
    *,
    arch: Annotated[
        list[str] | None,
        Parameter(help="compute capabilities of GPUs, such as 9.0 (default: this machine's)", consume_multiple=True),
    ] = None,
    jobs: Annotated[int | None, Parameter(help="compilers at a time (default: by processors and memory)")] = None,
    force: Annotated[bool, Parameter(help="build again what is there")] = False,
) -> None:
    """Builds gsplat, or says where it lies."""
    from nsff.building.compile import build_or_find

    print(build_or_find(arch, jobs, force))
