"""Docstrings of the library are statements: "The depth of ...", not "What ... is" or "Of ...", which leave to guess of
what they speak."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "nsff").rglob("*.py"))
RIDDLE = re.compile(r"\s*(What|Of)\b")


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring: of modules, classes and functions, and those below attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            for part in node.body:
                match part:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        yield part.lineno, text


def test_where_docstrings_stand():
    source = '"""A."""\nB = 1\n"""C."""\nclass D:\n    """E."""\n    def f(self):\n        """G."""\n'
    assert [text for _, text in sorted(docstrings(source))] == ["A.", "C.", "E.", "G."]


@pytest.mark.parametrize("text", ["What a reader is.", "Of both optimisers.", "\n    What is drawn."])
def test_what_is_a_riddle(text):
    assert RIDDLE.match(text)
    assert not RIDDLE.match("Whatever is drawn.") and not RIDDLE.match("Offset of pixels.")


def test_docstrings_are_statements():
    riddles = [
        f"{path.relative_to(ROOT)}:{line}: {text.strip().splitlines()[0]}"
        for path in FILES
        for line, text in docstrings(path.read_text(encoding="utf-8"))
        if RIDDLE.match(text)
    ]
    assert riddles == []
