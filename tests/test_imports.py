"""No file of the library imports itself by way of others, at the top or inside a function; any can come first.

The order of rooms is a contract of import-linter (pyproject.toml, part of ``make lint``).
"""

import ast
import graphlib
import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: set[str]) -> set[str]:
    """Files of the library that a file names in its imports, wherever they stand."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: write imports with their whole name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # ``from package import name`` is of the package itself where the name is no file of it.
            found |= (names & modules) | ({str(node.module)} if names - modules else set())
    return (found & modules) - {module_name(path)}


def test_no_circles_between_files():
    files = {module_name(path): path for path in sorted((ROOT / "nsff").rglob("*.py"))}
    graph = {name: imported(path, set(files)) for name, path in files.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        raise AssertionError("a circle of imports: " + " <- ".join(error.args[1])) from None


FIRST = sorted(
    module_name(path)
    for room in ("config", "models", "weights", "files")
    for path in (ROOT / "nsff" / room).glob("*.py")
)


@pytest.fixture
def nothing_imported():
    """No file of the library is imported yet; afterwards those are there that were before, and no others."""
    names = lambda: [name for name in sys.modules if name.split(".")[0] == "nsff"]  # noqa: E731
    before = {name: sys.modules.pop(name) for name in names()}
    yield
    for name in names():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.parametrize("name", FIRST)
def test_any_file_can_be_imported_first(name, nothing_imported):
    """Configuration and kinds of models name each other at run time, so that the order of imports might matter."""
    importlib.import_module(name)
