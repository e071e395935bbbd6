"""The choice of a rasteriser by device, and errors that name the remedy."""

import sys

import pytest
import torch

from nsff.errors import StageError
from nsff.models.gaussians import gpu, twin
from nsff.models.gaussians.rasterisers import check_rasteriser, rasterise


def test_the_cpu_has_one(make_case):
    case = make_case(20, count=50)
    check_rasteriser(torch.device("cpu"))
    torch.testing.assert_close(
        rasterise(case.splats, case.camera).values, twin.rasterise(case.splats, case.camera).values
    )


def test_without_gsplat_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    gpu.problem.cache_clear()
    try:
        with pytest.raises(StageError, match=r"(?s)not installed.*pip install 'nsff\[gaussians\]'"):
            check_rasteriser(torch.device("cuda"))
    finally:
        gpu.problem.cache_clear()


def test_gsplat_that_is_not_built_is_an_error(monkeypatch):
    monkeypatch.setattr(gpu, "problem", lambda: "it is not built, and no CUDA compiler was found to build it")
    with pytest.raises(StageError, match=r"(?s)not built.*nsff\[gaussians\].*device cpu"):
        check_rasteriser(torch.device("cuda"))


def test_other_devices_have_none(make_case):
    case = make_case(21, count=3)
    with pytest.raises(StageError, match="meta"):
        rasterise(case.to(torch.float32, "meta").splats, case.camera)
