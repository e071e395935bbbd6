"""Fingerprints of stages: their sources, and numbers that describe their results on the tiny scene.

Sources are the modules that a stage's script reaches by its imports, each as a hash of its syntax tree without
docstrings and comments. Results are told by a few numbers for each output and kind of file (how many, mean, spread,
roughness), so that they can be compared with a tolerance: results differ a little between processors, and on another
machine than the one of the file a change that moves none of these numbers beyond the tolerance is not seen.
`make fingerprints` writes the file anew.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import math
import platform
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("fingerprints.json")
PACKAGES = ("numpy", "opencv-python-headless", "pycolmap", "scikit-learn", "scipy", "torch")
TIMES = ("seconds", "nsff")
"""Keys of JSON files whose values are of the run, not of the results."""
EXACT, LOOSE = 1e-5, 0.2
"""Tolerance on the machine that made the file, and on others, relative to the numbers' size."""


# --- sources ---------------------------------------------------------------------------------------------------------
@cache
def source_hash(path: Path) -> str:
    """Hash of a module's syntax tree, without what changes no result: comments, docstrings, annotations' texts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:12]


def _is_text(node: ast.AST) -> bool:
    """A string alone on its line: the docstring of a module, class, function, or of a field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def sources(script: Path) -> list[Path]:
    """The script, and every module of the project that it reaches by imports, wherever in a file these stand."""
    found, todo = set(), [script]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += imported(path)
    return sorted(found)


@cache
def imported(path: Path) -> tuple[Path, ...]:
    """The project's own modules that a file imports; of those for type checkers alone none."""
    if path == ROOT / "nsff" / "priors" / "registries.py":
        return ()  # every script looks weights up in all registries; a stage imports its own by itself
    names: list[str] = []
    known: dict[str, str] = {}
    for node in _run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.JoinedStr):
            names += _listed(ast.unparse(node)[2:-1], known)
        elif match := re.fullmatch(r"discover\('(\w+)'\)", ast.unparse(node) if isinstance(node, ast.Call) else ""):
            names += _listed(f"nsff.priors.{match[1]}.backends.{{name}}", known)
    return tuple(file for name in names for file in _files(name))


def _listed(text: str, known: dict[str, str]) -> list[str]:
    """All modules of a folder of which one is imported by its name: nsff.folder.{name}, {folder.__name__}.{name}; with
    those of the folders in it, as one of these may be meant."""
    match = re.fullmatch(r"(?:\{(\w+)\.__name__\}|(nsff(?:\.\w+)+))\.\{[\w.]+\}", text)
    package = (match[2] or known.get(match[1], "")) if match else ""
    folder = ROOT.joinpath(*package.split("."))
    if not package:
        return []
    within = [f"{package}.{path.parent.name}.{path.stem}" for path in sorted(folder.glob("*/*.py"))]
    return [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py"))] + within


def _run_time(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"):
            yield child
            yield from _run_time(child)


def _files(name: str) -> Iterable[Path]:
    """A module and the packages that it lies in; none for names of other projects and of functions."""
    parts = name.split(".")
    if parts[0] == "_arguments":
        return [ROOT / "scripts" / "_arguments.py"]
    if parts[0] != "nsff":
        return []
    packages = [ROOT.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)]
    return [file for file in (*packages, ROOT.joinpath(*parts).with_suffix(".py")) if file.exists()]


# --- results ---------------------------------------------------------------------------------------------------------
def describe(path: Path) -> dict[str, list[float]]:
    """Numbers of an output, a file or a folder, by kind of file: how many, then sums over files of what ``numbers``
    says."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    told: dict[str, list[np.ndarray]] = {}
    for file in files:
        for part in numbers(file):
            told.setdefault(file.suffix, []).append(np.asarray(part, float))
    return {kind: [len(parts), *map(float, np.sum(parts, axis=0))] for kind, parts in sorted(told.items())}


def numbers(file: Path) -> Iterator[list[float]]:
    """For every array in a file its size, mean, spread and roughness; for tables and JSON those of their numbers."""
    if file.suffix in (".png", ".jpg"):
        picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert picture is not None, file
        yield statistics(picture)
    elif file.suffix == ".npy":
        yield statistics(np.load(file, allow_pickle=False))
    elif file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            yield from (statistics(arrays[name]) for name in sorted(arrays.files))
    elif file.suffix == ".safetensors":
        yield from (statistics(array) for _, array in sorted(load_file(file).items()))
    elif file.suffix == ".json":
        yield statistics(np.array(list(_leaves(json.loads(file.read_text(encoding="utf-8"))))))
    elif file.suffix == ".csv":
        with file.open(newline="", encoding="utf-8") as stream:
            yield statistics(np.array([float(cell) for row in csv.reader(stream) for cell in row if _is_number(cell)]))
    elif file.suffix == ".mp4":
        video = cv2.VideoCapture(str(file))
        while (frame := video.read())[0]:
            yield statistics(frame[1])
    elif file.suffix == ".bin":
        yield [float(file.stat().st_size), 0.0, 0.0, 0.0]
    elif file.suffix == ".html":
        text = file.read_text(encoding="utf-8")
        yield [float(text.count(tag)) for tag in ("<img", "<section", "<table", "<tr")]


def statistics(array: np.ndarray) -> list[float]:
    """Size, mean, standard deviation, and mean difference of neighbours in memory, of the finite values."""
    values = np.asarray(array, float).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        return [0.0, 0.0, 0.0, 0.0]
    roughness = np.abs(np.diff(values)).mean() if len(values) > 1 else 0.0
    return [float(array.size), float(values.mean()), float(values.std()), float(roughness)]


def _leaves(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for key in sorted(value):
            if key not in TIMES:
                yield from _leaves(value[key])
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, (int, float)) and math.isfinite(value):
        yield float(value)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def same(old: dict[str, Any], new: dict[str, Any], tolerance: float) -> bool:
    """Whether the numbers of two results agree: by output and kind of file, each within ``tolerance`` of its size.

    On another machine the roughness and mean of small things may be anything, so that a number also agrees where the
    difference is small against the spread.
    """
    if old.keys() != new.keys():
        return False
    for output, kinds in old.items():
        if kinds.keys() != new[output].keys():
            return False
        for kind, values in kinds.items():
            size = max((abs(value) for value in values[2:]), default=0.0) if tolerance == LOOSE else 0.0
            for a, b in zip(values, new[output][kind], strict=True):
                if abs(a - b) > tolerance * max(abs(a), abs(b), size):
                    return False
    return True


def machine() -> str:
    """What results may depend on beside the sources: the processor, and the libraries."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    versions = " ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return f"{platform.machine()} {processor}, Python {platform.python_version()}, {versions}"


# --- stages ----------------------------------------------------------------------------------------------------------
def fingerprints(jobs: Iterable[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Of the jobs of a DAG that has run in ``folder`` (tests/workflow/snakemake_server.py): by rule the version, the
    rules it builds on, and the results; and the hashes of all sources."""
    jobs = [job for job in jobs if job["rule"] not in ("all", "overview", "collect_scores")]
    made = {path: job["rule"] for job in jobs for path in _paths(job["output"])}
    stages, files = {}, {}
    for job in sorted(jobs, key=lambda job: job["rule"]):
        outputs = [path for path in _paths(job["output"]) if (folder / path).exists()]
        stages[job["rule"]] = {
            "version": job["params"]["version"],
            "after": sorted({made[path] for path in _paths(job["input"]) if path in made}),
            "results": {"/".join(Path(path).parts[2:]): describe(folder / path) for path in outputs},
        }
        files |= {str(path.relative_to(ROOT)): source_hash(path) for path in stage_sources(job["rule"])}
    return {"machine": machine(), "stages": stages, "sources": dict(sorted(files.items()))}


def stage_sources(rule: str) -> list[Path]:
    return sources(ROOT / "scripts" / f"{rule}.py")


def _paths(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [path for part in value.values() for path in _paths(part)]
    return [path for part in value for path in _paths(part)] if isinstance(value, list) else [value]


def complaints(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is wrong between the fingerprints of the file and those of now: a sentence or two for each stage."""
    tolerance = EXACT if old["machine"] == new["machine"] else LOOSE
    changed = {
        rule
        for rule, stage in new["stages"].items()
        if rule in old["stages"] and not same(old["stages"][rule]["results"], stage["results"], tolerance)
    }
    found = []
    for rule, stage in new["stages"].items():
        before = old["stages"].get(rule)
        if before is None or before["version"] != stage["version"]:
            was = "is not there yet" if before is None else f"is of version {before['version']}, not {stage['version']}"
            found.append(f"{rule}: its fingerprint {was}. Run make fingerprints, and commit {FILE.name}.")
            continue
        files = changed_files(rule, old, new)
        if rule in changed and files and not changed & before_of(rule, new["stages"]):
            found.append(
                f"{rule}: its results are others than before, and its version still is {stage['version']}, so that"
                f" nobody's old results would be made again. Sources that changed: {', '.join(files)}. If the change of"
                f" results is meant, raise VERSIONS[{rule!r}] in nsff/workflow/versions.py, run make fingerprints, and"
                " commit both files."
            )
    return found


def before_of(rule: str, stages: dict[str, Any]) -> set[str]:
    """All rules that a rule builds on: where their results changed, its own are made again anyway."""
    found: set[str] = set()
    todo = list(stages[rule]["after"])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += stages[name]["after"]
    return found


def changed_files(rule: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The sources of a rule that are new or others than before."""
    own = [str(path.relative_to(ROOT)) for path in stage_sources(rule)]
    return [name for name in own if old["sources"].get(name) != new["sources"].get(name)]


def stale(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Sources that are others than in the file, though no stage's results are: nothing is wrong."""
    names = old["sources"].keys() | new["sources"].keys()
    return sorted(name for name in names if old["sources"].get(name) != new["sources"].get(name))


def rounded(value: Any) -> Any:
    """Numbers as they are written: eight digits are more than any comparison needs."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value
