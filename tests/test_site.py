"""The site of the documents builds without a warning, and every command in them is one that the command line takes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cyclopts import CycloptsError

from nsff.cli import build_app

LARGEST = 2_000_000
"""Bytes of a picture in docs/."""


def documents(repo: Path) -> list[Path]:
    own = [repo / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "config/README.md")]
    return [*own, *sorted((repo / "docs").glob("*.md"))]


def commands(text: str) -> list[str]:
    """Lines of code that begin with nsff: in blocks, with or without a prompt, and indented ones; continued lines are
    joined, comments and what Snakemake gets after -- left out."""
    blocks = re.findall(r"^```(?:sh|console|)\n(.*?)^```", text, re.M | re.S)
    blocks += re.findall(r"^((?: {4}\S.*\n)+)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?nsff [a-z-]", line)]


def documented_calls(repo: Path, command: str) -> list[list[str]]:
    """The words of each call of ``nsff command`` in the documents, once, without nsff itself. Never empty."""
    found = {line.split("#")[0].strip() for path in documents(repo) for line in commands(path.read_text())}
    calls = [words for words in (shlex.split(line)[1:] for line in sorted(found)) if words[0] == command]
    assert calls, f"no document has nsff {command}"
    return calls


def test_commands_are_found():
    text = "a\n\n    nsff one  # b\n\n```sh\ncd x\nnsff two --a \\\n  b\n```\n```\n$ nsff three\nout\n```\n"
    assert commands(text) == ["nsff two --a    b", "nsff three", "nsff one  # b"]


def test_every_command_in_the_documents_is_taken(repo):
    """Names, actions, options and their types, as the command line itself reads them; nothing is run."""
    app, wrong, count = build_app(), [], 0
    for path in documents(repo):
        for command in commands(path.read_text(encoding="utf-8")):
            count += 1
            words = shlex.split(command, comments=True)[1:]
            words = words[: words.index("--")] if "--" in words else words
            try:
                app.parse_args(words, exit_on_error=False, print_error=False)
            except CycloptsError as error:
                wrong.append((path.name, command, str(error)))
    assert wrong == []
    assert count > 20


def test_pictures_are_small(repo):
    large = [path for path in (repo / "docs").rglob("*") if path.is_file() and path.stat().st_size > LARGEST]
    assert large == []


def test_every_page_is_in_the_navigation(repo):
    text = (repo / "mkdocs.yml").read_text().replace("!!python/object/apply:pymdownx.slugs.slugify", "")
    shown = re.findall(r": (\w+\.md)$", text, re.M)
    assert len(shown) == len(set(shown))
    assert set(shown) == {path.name for path in (repo / "docs").glob("*.md")}
    assert yaml.safe_load(text)["strict"] is True


def test_the_site_builds(repo, tmp_path):
    """Strictly: a link, an anchor or a page that is missing is an error. Pages load nothing from elsewhere."""
    pytest.importorskip("mkdocs", reason="no MkDocs here: it is extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "site").glob("*.html")}
    assert {"index.html", "tutorial.html", "limits.html", "configuration.html"} <= set(pages)
    for name, page in pages.items():
        loaded = re.findall(r'<(?:script|link|img)\b[^>]*?(?:src|href)="(https?://[^"]+)"', page)
        assert loaded == [], name
    assert "<math" in pages["methods.html"]
    assert "$`" not in pages["methods.html"]
