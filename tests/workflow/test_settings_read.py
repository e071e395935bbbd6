"""What stages read of the settings: never more than they are told (nsff/config/depends.py), and all that they are."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import runpy
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fingerprints import stage_sources
from other_values import walk

from nsff.config import SceneConfig, merge, resolve_scene
from nsff.config.base import StageConfig
from nsff.config.depends import CHANGES, EXECUTION, chosen, keys_of
from nsff.scene import Scene
from nsff.workflow.scene_plan import ScenePlan

RULES = sorted({name.partition("_")[0] if name.startswith("render_") else name for name in CHANGES} - {"report"})


def names_read(rule: str) -> set[str]:
    """Every attribute's name, and every text, in the sources of a rule's script but the models themselves."""
    found: set[str] = set()
    for path in stage_sources(rule):
        if path.parent.name != "config":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    found.add(node.attr)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    # A loss term finds its weight by its own name (nsff/models/ray_fields/terms/).
    return found | {f"w_{name}" for name in found}


@pytest.mark.parametrize("rule", RULES)
def test_a_stage_has_a_use_for_every_key_that_it_is_told(rule):
    """By the keys' names: a key that nothing in the stage's sources mentions must not re-run it."""
    read = names_read(rule)
    unused = set()
    for key in keys_of(rule):
        for name, _ in walk(SceneConfig):
            if (name == key or name.startswith(f"{key}.")) and name.rpartition(".")[2] not in read:
                unused.add(name)
    assert unused == set()


def test_every_rule_hands_its_settings_over(repo):
    """The parameters options, which re-runs it, and settings, the file that its script reads."""
    text = "\n".join(path.read_text() for path in (repo / "rules").glob("*.smk"))
    for rule in [*RULES, "report"]:
        assert f'options=options("{rule}"),\n        settings=settings("{rule}"),' in text, rule
    assert len(re.findall(r"^        stage_command\(", text, re.M)) == len(RULES) + 1


def test_stages_are_handed_what_they_may_read():
    """All keys of both tables, and no other."""
    scene = ScenePlan("scene", resolve_scene("scene", {"input": {"path": "clip.mp4"}}, "fast", {}))
    for stage in CHANGES.keys() - {"report"}:
        handed = merge(scene.options(stage), scene.execution(stage))
        assert handed == chosen(scene.whole, (*CHANGES[stage], *EXECUTION.get(stage, ()))), stage


@pytest.mark.slow
def test_stages_read_nothing_that_they_are_not_told(finished, tmp_path, repo, monkeypatch):
    """Every stage of the tiny scene once more, in this process, with each read of a setting written down."""
    project = finished.copy(tmp_path)
    sections: dict[int, str] = {}  # by identity: a model's file holds sections of its own
    read: set[str] = set()
    look = StageConfig.__getattribute__

    def noted(self, name):
        if id(self) in sections and name in type(self).model_fields:
            read.add(f"{sections[id(self)]}.{name}")
        return look(self, name)

    monkeypatch.syspath_prepend(str(repo / "scripts"))
    monkeypatch.chdir(project.folder)
    jobs = {job["rule"]: job for job in project.jobs() if job["rule"] in RULES}
    stray: dict[str, set[str]] = {}
    for rule, job in jobs.items():
        told = json.loads(Path(job["params"]["settings"]).read_text(encoding="utf-8"))
        own = merge({"input": {"path": "clip n° 1"}}, told)
        config = resolve_scene(finished.scene, own, "fast", {})
        sections.clear()
        sections |= {id(getattr(config, name)): name for name in SceneConfig.model_fields}
        script = runpy.run_path(str(repo / "scripts" / f"{rule}.py"))
        read.clear()
        with monkeypatch.context() as recording:
            recording.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "")
            recording.setattr(StageConfig, "__getattribute__", noted)
            arguments = argparse.Namespace(path=["spacetime"], state=None)
            script["run"](Scene(Path("results", finished.scene)), config, arguments)
        keys = keys_of(rule)
        stray[rule] = {key for key in read if key not in keys and key.partition(".")[0] not in keys}
    assert len(jobs) > 12
    assert {rule: keys for rule, keys in stray.items() if keys} == {}
