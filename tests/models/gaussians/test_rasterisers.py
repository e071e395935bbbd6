"""The choice of a rasteriser by device, and errors that name the remedy."""

import sys
from types import ModuleType

import pytest
import torch

from nsff.building.builds import build_for
from nsff.errors import StageError
from nsff.models.gaussians import gpu, twin
from nsff.models.gaussians.rasterisers import check_rasteriser, rasterise, rasteriser_line


def test_the_cpu_has_one(make_case):
    case = make_case(20, count=50)
    check_rasteriser(torch.device("cpu"))
    torch.testing.assert_close(
        rasterise(case.splats, case.camera).values, twin.rasterise(case.splats, case.camera).values
    )


@pytest.fixture
def a_gsplat(tmp_path, monkeypatch):
    """An installed gsplat of one file, which looks for its library as gsplat does, on a machine with an H100."""
    backend = "try:\n    from gsplat import csrc as _C\nexcept ImportError:\n    _C = None\n"
    for name, text in (("__init__.py", ""), ("cuda/__init__.py", ""), ("cuda/_backend.py", backend)):
        path = tmp_path / "gsplat" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / "gsplat-1.5.3.dist-info").mkdir()
    described = "Metadata-Version: 2.1\nName: gsplat\nVersion: 1.5.3\n"
    (tmp_path / "gsplat-1.5.3.dist-info" / "METADATA").write_text(described)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "gsplat"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("NSFF_RASTERISER", str(tmp_path / "builds"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "gsplat"]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def asked_anew():
    """Whether gsplat works is asked once a process; here, once a test."""
    gpu.problem.cache_clear()
    yield
    gpu.problem.cache_clear()


def test_without_gsplat_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(StageError, match=r"(?s)not installed.*pip install 'nsff\[gaussians\]'.*nsff build-rasteriser"):
        check_rasteriser(torch.device("cuda"))
    assert "not installed" in rasteriser_line(torch.device("cuda"))


def test_gsplat_that_is_not_built_is_an_error(a_gsplat):
    with pytest.raises(StageError, match=r"(?s)not built for this GPU.*9\.0.*nsff build-rasteriser.*device cpu"):
        check_rasteriser(torch.device("cuda"))
    assert "nsff build-rasteriser" in rasteriser_line(torch.device("cuda"))


def test_a_build_is_loaded(a_gsplat, monkeypatch):
    build, loaded = build_for(["9.0"]), []
    build.folder.mkdir(parents=True)
    for path in (build.library, build.folder / "build.json"):
        path.write_text("")

    def load(library):
        loaded.append(library)
        sys.modules["gsplat.csrc"] = ModuleType("gsplat.csrc")

    monkeypatch.setattr(gpu, "load_library", load)
    check_rasteriser(torch.device("cuda"))
    check_rasteriser(torch.device("cuda"))
    assert loaded == [build.library]
    assert rasteriser_line(torch.device("cuda")) == "Gaussians are drawn by gsplat 1.5.3, which is built"


def test_a_library_that_does_not_load(a_gsplat):
    build = build_for(["9.0"])
    build.folder.mkdir(parents=True)
    for path in (build.library, build.folder / "build.json"):
        path.write_text("no library")
    with pytest.raises(StageError, match=r"(?s)cannot be loaded \(ImportError.*build-rasteriser"):
        check_rasteriser(torch.device("cuda"))


def test_other_devices_have_none(make_case):
    case = make_case(21, count=3)
    with pytest.raises(StageError, match="meta"):
        rasterise(case.to(torch.float32, "meta").splats, case.camera)
