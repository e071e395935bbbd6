"""Results that change without a new version are found: old results of users would never be made again."""

from __future__ import annotations

import copy
import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fingerprints as prints

UPDATE = "NSFF_UPDATE_FINGERPRINTS"


def test_results_changed_only_where_the_version_did(finished):
    """`make fingerprints` writes the file anew; on another machine than its own the comparison is a loose one."""
    assert finished.ended.status == 0, finished.ended.text
    new = prints.rounded(prints.fingerprints(finished.project.jobs(), finished.project.folder))
    if os.environ.get(UPDATE):
        prints.FILE.write_text(json.dumps(new, indent=1) + "\n")
    old = json.loads(prints.FILE.read_text())
    found = prints.complaints(old, new)
    assert not found, "\n".join(found)
    if names := prints.stale(old, new):
        warnings.warn(f"fingerprints of sources are old (make fingerprints): {', '.join(names)}", stacklevel=1)


@pytest.fixture
def stored():
    return json.loads(prints.FILE.read_text())


def test_every_stage_of_a_plain_run_has_its_fingerprint(stored):
    wanted = {"ingest", "flow", "sfm", "cameras", "train", "render", "maps", "crf", "score", "report"}
    assert wanted <= set(stored["stages"])
    results = [(rule, *result) for rule, stage in stored["stages"].items() for result in stage["results"].items()]
    empty = {f"{rule}: {name}" for rule, name, told in results if not told}
    assert empty == {"render: renders/spacetime", "render: renders/spacetime_maps"}  # only where they are asked for


@pytest.mark.parametrize("factor", [1.001, 1.5])
def test_changed_results_are_told_with_the_files_and_what_to_do(stored, factor):
    """A small change is seen on the same machine alone; a large one everywhere."""
    new = copy.deepcopy(stored)
    values = new["stages"]["depth"]["results"]["depth"][".npz"]
    values[1:] = [value * factor for value in values[1:]]
    new["sources"]["nsff/priors/depth/classical.py"] = "changed"
    (found,) = prints.complaints(stored, new)
    for word in ("depth:", "nsff/priors/depth/classical.py", "raise VERSIONS['depth']", "make fingerprints"):
        assert word in found
    new["machine"] = "another"
    assert bool(prints.complaints(stored, new)) == (factor > 1.2)
    new["machine"] = stored["machine"]
    new["stages"]["depth"]["version"] += 1
    (found,) = prints.complaints(stored, new)
    assert "its fingerprint is of version" in found


def test_what_follows_from_other_results_is_nobodys_fault(stored):
    new = copy.deepcopy(stored)
    for rule, output, kind in (("flow", "raw_flow", ".npz"), ("depth", "depth", ".npz")):
        values = new["stages"][rule]["results"][output][kind]
        values[1:] = [value * 2 for value in values[1:]]
    new["sources"]["nsff/priors/flow/dis.py"] = "changed"
    assert [line.partition(":")[0] for line in prints.complaints(stored, new)] == ["flow"]


def test_other_libraries_are_no_change_of_sources(stored):
    new = copy.deepcopy(stored)
    values = new["stages"]["depth"]["results"]["depth"][".npz"]
    values[1:] = [value * 2 for value in values[1:]]
    assert prints.complaints(stored, new) == []


def test_sources_are_what_a_script_reaches():
    names = {str(path.relative_to(prints.ROOT)) for path in prints.stage_sources("depth")}
    assert {"scripts/depth.py", "scripts/_arguments.py", "nsff/priors/depth/classical.py", "nsff/scene.py"} <= names
    assert "nsff/training/trainer.py" not in names
    assert "nsff/training/trainer.py" in {str(p.relative_to(prints.ROOT)) for p in prints.stage_sources("train")}
    # Of folders whose files are found by listing, all.
    rules = ("flow", "cluster", "train")
    names = {str(path.relative_to(prints.ROOT)) for rule in rules for path in prints.stage_sources(rule)}
    assert {
        "nsff/priors/flow/backends/raft.py",
        "nsff/decompose/clusterers/kmeans.py",
        "nsff/models/ray_fields/terms/motion.py",
    } <= names


@pytest.mark.parametrize(
    ("text", "equal"),
    [
        ('"""Other words."""\ndef f(x):\n    """And here."""\n    return x + 1  # more\n', True),
        ("def f(x):\n    return x + 2\n", False),
    ],
)
def test_comments_and_docstrings_are_no_change(tmp_path, text, equal):
    (tmp_path / "a.py").write_text('"""Words."""\ndef f(x):\n    return x + 1\n')
    (tmp_path / "b.py").write_text(text)
    assert (prints.source_hash(tmp_path / "a.py") == prints.source_hash(tmp_path / "b.py")) == equal


def test_numbers_of_results_follow_the_results(tmp_path):
    generator = np.random.default_rng(0)
    values = generator.random((20, 30)).astype(np.float32)
    np.savez(tmp_path / "a.npz", values=values)
    before = prints.describe(tmp_path)
    np.savez(tmp_path / "a.npz", values=np.roll(values, 7))
    shuffled = prints.describe(tmp_path)
    assert not prints.same({"a": before}, {"a": shuffled}, prints.EXACT)  # mean and spread alone would not tell
    np.savez(tmp_path / "a.npz", values=values + np.float32(1e-7))
    assert prints.same({"a": before}, {"a": prints.describe(tmp_path)}, prints.EXACT)
