"""Examples in docstrings give what they say, and docstrings begin with the thing itself."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "nsff").rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_no_docstring_begins_with_what():
    """A docstring names its subject: "The pose of ...", not "What the pose ..."."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in ("nsff", "scripts")
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and str(node.value.value).startswith("What")
    ]
    assert found == []
