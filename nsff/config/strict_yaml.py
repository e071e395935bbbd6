"""YAML read strictly: what a lenient reader loses in silence, or takes for another type, is an error with its line.

YAML lets the last of two equal keys win, and reads names such as `001`, `on` or `20240501_123456` as numbers and truth
values. Keys of a configuration are always text, and each is given once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from nsff.errors import ConfigError
from nsff.files.reading import read_text, reading

LONGEST = 2**22
"""Characters of a configuration."""
MOST = 1_000_000
"""Values that a configuration may hold, aliases written out."""
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing", "timestamp": "a date"}
# What YAML 1.2 reads as a number and YAML 1.1, which is used here, as text.
_NUMBER = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|0o[0-7]+")


def parse_yaml(text: str, subject: object) -> Any:
    """The content of a YAML text. ``subject`` (a file or an option) names it in errors.

    Raises ConfigError: no YAML, a key given twice (with both lines), a key that YAML does not read as text.
    """
    with reading(subject, "mind indentation and colons", ConfigError, message="is not YAML"):
        if len(text) > LONGEST:
            raise ConfigError(subject, f"has {len(text)} characters, more than any configuration", "give another file")
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if node is not None:
                _check_size(node, subject)
                _check_keys(node, subject)
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(subject, f"is not YAML: {error}", "mind indentation and colons") from None


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file, read strictly. Raises ConfigError, also for a file that is missing or no text."""
    with reading(path, "give a text file in UTF-8", ConfigError, "name an existing configuration file"):
        text = read_text(path, LONGEST)
    return parse_yaml(text, path)


def check_files(paths: Iterable[str | Path]) -> None:
    """Raises ConfigError for the first of some configuration files in which a key is given twice or is no text.

    For files that another program has read, which does not see either.
    """
    for path in paths:
        if not _is_json_with_tabs(path):
            read_yaml(path)


def _check_size(root: yaml.Node, subject: object) -> None:
    """ConfigError where aliases (&a, *a) make a short text stand for more than a configuration can hold, or for itself.

    Sizes are added up from the leaves, each node once however often it is repeated.
    """
    sizes: dict[int, int] = {}
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    open_: set[int] = set()
    while waiting:
        node, done = waiting.pop()
        if done:
            open_.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in _children(node))
        elif id(node) in open_:
            raise ConfigError(subject, "holds an alias that stands for what it is in", "write its values out")
        elif id(node) not in sizes:
            open_.add(id(node))
            waiting.append((node, True))
            waiting += [(child, False) for child in _children(node) if id(child) not in sizes]
    if sizes[id(root)] > MOST:
        problem = f"its aliases stand for {sizes[id(root)]:.0e} values, more than any configuration has"
        raise ConfigError(subject, problem, "write the values out that are meant")


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_keys(root: yaml.Node, subject: object) -> None:
    """Walks every mapping once, however often aliases repeat it."""
    waiting: list[tuple[yaml.Node, str]] = [(root, "")]
    seen: set[int] = set()
    while waiting:
        node, where = waiting.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(entry, f"{where}.{i}") for i, entry in enumerate(node.value)]
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == _MERGE:
                waiting.append((value, where))
                continue
            name = f"{where}.{key.value}".lstrip(".") if isinstance(key, yaml.ScalarNode) else where
            _check_key(key, name, subject, line)
            if key.value in lines:
                problem = f"{name} is given twice, in line {lines[key.value]} and in line {line}"
                raise ConfigError(subject, f"{problem}: one of them would be lost", "join the two, or remove one")
            lines[key.value] = line
            waiting.append((value, name))


def _check_key(key: yaml.Node, name: str, subject: object, line: int) -> None:
    plain = isinstance(key, yaml.ScalarNode) and key.style is None
    if isinstance(key, yaml.ScalarNode) and key.tag == _TEXT and not (plain and _NUMBER.fullmatch(key.value)):
        return
    if not isinstance(key, yaml.ScalarNode):
        raise ConfigError(subject, f"line {line} has a key that is a list or mapping", "keys are names")
    kind = _KINDS.get("float" if key.tag == _TEXT else key.tag.rpartition(":")[2], "something else than text")
    shown = key.value or "null"
    problem = f"{name or shown} in line {line} is read by YAML as {kind}, not as a name"
    raise ConfigError(subject, problem, f"write the name in quotes: '{shown}':")


def _is_json_with_tabs(path: str | Path) -> bool:
    """Whether a file is JSON that YAML refuses for its tabs. ConfigError for a key given twice in it."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            key = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
            raise ConfigError(path, f"{key} is given twice: one of them would be lost", "join the two, or remove one")
        return result

    try:
        text = Path(path).read_text(encoding="utf-8")
        if "\t" not in text:
            return False
        json.loads(text, object_pairs_hook=once)
    except (OSError, ValueError, RecursionError):
        return False
    return True
