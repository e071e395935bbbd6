"""Which rules a changed key re-runs: the truth table (truth_table.py) against the DAG, and against what stages read."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from nsff.config import SceneConfig, resolve_scene
from nsff.config.depends import CHANGES, EXECUTION, chosen
from nsff.config.reproduce import ReproduceConfig
from nsff.training.checkpoints import HARMLESS

sys.path.insert(0, str(Path(__file__).parent))
from other_values import FILES, FOLDERS, at, has_one_value, other_value, settings_for, walk, with_value
from truth_table import REPRODUCE, TABLE

KEYS = dict(walk(SceneConfig))
PATHS = {"paths": ["view", "time", "spacetime", "keyframes"], "path_file": "path.json"}
EVERYTHING = {"decompose": {"source": "points"}, "extract": {"enabled": True}, "render": PATHS}
"""So that no rule is left out."""


def test_every_key_has_its_line():
    assert set(KEYS) - set(TABLE) == set(), "say in truth_table.py what these keys re-run"
    assert set(TABLE) - set(KEYS) == set(), "these keys are gone"
    assert {name for names in REPRODUCE.values() for name in names.split()} == set(ReproduceConfig.model_fields)


def test_every_stage_is_in_the_table():
    rules = {rule for rules in TABLE.values() for rule in rules}
    assert rules | {"report"} == set(CHANGES)
    assert set(EXECUTION) <= set(CHANGES)


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """By key, all settings of two scenes that differ in that key alone, checked by the models."""
    made = {}
    for key, field in KEYS.items():
        own = {"input": {"path": "clip.mp4"}, **EVERYTHING, **settings_for(key)}
        own["input"] = {"path": "clip.mp4", **own["input"]}
        before = resolve_scene("scene", own, "fast", {}).model_dump(mode="json")
        if has_one_value(field):
            made[key] = before, with_value(before, key, "a file that somebody adds")
            continue
        after = with_value(before, key, other_value(key, field, at(before, key)))
        assert at(after, key) != at(before, key), key
        resolved = resolve_scene("scene", after, "fast", {}).model_dump(mode="json")
        assert resolved == after, key
        made[key] = before, after
    return made


def test_stages_are_told_what_the_table_says(pairs):
    for key, (before, after) in pairs.items():
        changed = {stage for stage, keys in CHANGES.items() if chosen(before, keys) != chosen(after, keys)}
        assert changed - {"report"} == TABLE[key], key


def test_no_key_is_told_twice():
    """What changes results and what does not: one stage never has a key as both."""
    for stage, told in EXECUTION.items():
        for key in told:
            section = key.partition(".")[0]
            assert key not in CHANGES[stage], (stage, key)
            assert section not in CHANGES[stage], (stage, key)


def test_training_goes_on_under_exactly_the_settings_that_re_run_nothing():
    """Otherwise the same settings would re-run a training that then finds its state foreign, or the other way round."""
    assert {f"train.{name}" for name in HARMLESS} == {key for key in EXECUTION["train"] if key.startswith("train.")}


@pytest.fixture(scope="module")
def planned(new_project, pairs, tmp_path_factory):
    """Parameters and inputs that re-run a rule where they change: by pair, and rule with its path."""
    project = new_project()
    project.folder.mkdir(parents=True)
    for name in FILES:
        (project.folder / name).touch()
    for name in FOLDERS:
        (project.folder / name).mkdir()
    pairs = {key: both for key, both in pairs.items() if not has_one_value(KEYS[key])}  # a file cannot ask for another
    numbers = {key: i for i, key in enumerate(pairs)}
    distinct: dict[str, str] = {}  # most keys share the scene they start from
    scenes, starts = {}, {}
    for key, (before, after) in pairs.items():
        text = json.dumps(before)
        starts[key] = distinct.setdefault(text, f"before_{len(distinct)}")
        scenes |= {starts[key]: before, f"after_{numbers[key]}": after}
    project.config = {"scenes": scenes}
    (project.folder / "config.yaml").write_text(json.dumps(project.config))
    empty = str(tmp_path_factory.mktemp("weights"))
    ended = project.snakemake("--d3dag", "--quiet", environment={"NSFF_WEIGHTS": empty, "HOME": empty})
    assert ended.status == 0, ended.text
    found: dict[str, dict[str, Any]] = {}
    for job in json.loads(ended.stdout.strip().splitlines()[-1]):
        if scene := job["wildcards"].get("scene"):
            name = "_".join([job["rule"], *[job["wildcards"][part] for part in ("path",) if part in job["wildcards"]]])
            text = json.dumps([job["triggers"], job["input"]]).replace(f"results/{scene}/", "results/scene/")
            found.setdefault(scene, {})[name] = json.loads(text)
    return {key: (found[starts[key]], found[f"after_{numbers[key]}"]) for key in pairs}


UNSEEN = {"evaluation.truth"}
"""What the page does not show."""


def test_the_dag_re_runs_what_the_table_says(planned):
    for key, (before, after) in planned.items():
        both = before.keys() & after.keys()
        changed = {rule for rule in both if before[rule] != after[rule]}
        assert changed - {"report"} == TABLE[key] & both, key
        assert "report" in changed or key in UNSEEN, key
    assert set(CHANGES) <= {rule for before, _ in planned.values() for rule in before}


# --- on finished results ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sections", "rules"),
    [
        ({"train": {"log_every": 7, "checkpoint_every": 9, "tensorboard": True, "cuda_graphs": False}}, set()),
        ({"render": {"paths": ["spacetime", "view"], "chunk": 999, "canonical_views": "training"}}, {"render"}),
        ({"render": {"frames": 5}}, {"render"}),
        ({"motion": {"epipolar_threshold": 0.7}},
         {"motion", "depth", "features", "train", "render", "maps", "cluster", "postprocess", "crf", "score"}),
    ],
)  # fmt: skip
def test_nothing_else_runs_again(finished, tmp_path, sections, rules):
    assert finished.ended.status == 0, finished.ended.text
    project = finished.copy(tmp_path)
    tables = {"collect_scores"} if "score" in rules else set()
    project.configure(project.config["scenes"], **{n: {**project.config.get(n, {}), **v} for n, v in sections.items()})
    assert project.changed() == rules | tables | {"report", "overview"}
    shutil.rmtree(tmp_path)
