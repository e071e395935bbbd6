"""Names of the files of a folder of nsff/, where a setting allows one value for each file.

The files are listed and read, not imported: the configuration must not wait for the libraries that they need.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parents[1]


@cache
def module_names(folder: str) -> tuple[str, ...]:
    """Names of the modules in a folder of nsff/, in alphabetical order, without those that begin with ``_``.

    Example: ``module_names("decompose/clusterers")`` is ``("kmeans",)``.
    """
    return tuple(sorted(path.stem for path in (LIBRARY / folder).glob("[!_]*.py")))


@cache
def described_modules(folder: str) -> str:
    """All modules of a folder with the first lines of their docstrings, as one text: ``name: line; name: line``."""
    return "; ".join(f"{name}: {_first_line(LIBRARY / folder / f'{name}.py')}" for name in module_names(folder))


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].removesuffix(".")
