"""Kernels that are compiled ahead of the first training are those that it uses."""

import torch

from nsff.models.gaussians import cpu, cpu_projection, cpu_tiles
from nsff.models.gaussians.compile_ahead import compile_kernels

KERNELS = (
    cpu_projection.project, cpu_projection.carry_back, cpu_tiles.by_depth, cpu_tiles.list_entries,
    cpu_tiles.composite, cpu_tiles.composite_back,
)  # fmt: skip


def test_a_training_compiles_nothing_more(make_case):
    compile_kernels()
    before = {kernel.__name__: set(kernel.signatures) for kernel in KERNELS}
    assert all(before.values())
    for channels in (3, 4, 9):
        make_case(18, count=30, channels=channels, height=8, width=9).to(torch.float32).drawn(cpu.rasterise)
    assert {kernel.__name__: set(kernel.signatures) for kernel in KERNELS} == before
