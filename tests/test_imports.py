"""No file of the library imports itself by way of others, whether at the top of a file or inside a function.

The order of rooms is a contract of import-linter (pyproject.toml, part of ``make lint``).
"""

import ast
import graphlib
from pathlib import Path

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
