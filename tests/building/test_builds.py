"""A library of another name is loaded as gsplat's own, by a real one of three lines of C."""

import shutil
import subprocess
import sys
import sysconfig

import pytest

from nsff.building.builds import load_library

SOURCE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "gsplat_cuda", "Drawn here.", -1, NULL};
PyMODINIT_FUNC PyInit_gsplat_cuda(void) { return PyModule_Create(&module); }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_gsplat_finds_it(tmp_path, monkeypatch):
    (tmp_path / "gsplat").mkdir()
    (tmp_path / "gsplat" / "__init__.py").write_text("")
    (tmp_path / "module.c").write_text(SOURCE)
    library, headers = tmp_path / "gsplat_cuda.so", sysconfig.get_path("include")
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{headers}", tmp_path / "module.c", "-o", library], check=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "gsplat"]:
        monkeypatch.delitem(sys.modules, name)
    try:
        load_library(library)
        from gsplat import csrc

        assert csrc.__doc__ == "Drawn here." and csrc.__file__ == str(library)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "gsplat"]:
            del sys.modules[name]


def test_what_is_no_library(tmp_path):
    (tmp_path / "gsplat_cuda.so").write_text("compiled")
    with pytest.raises(ImportError):
        load_library(tmp_path / "gsplat_cuda.so")
    assert "gsplat.csrc" not in sys.modules
