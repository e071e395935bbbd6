"""What stages read of the settings: never more than they are told (nsff/config/depends.py), and all that they are."""

from __future__ import annotations

import argparse
import ast
import json
import os
import runpy
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fingerprints import stage_sources
from other_values import walk

from nsff.config import SceneConfig, merge, resolve_scene
from nsff.config.base import StageConfig
from nsff.config.depends import CHANGES, EXECUTION, keys_of
from nsff.scene import Scene

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
    return found


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


def test_every_rule_that_is_told_more_passes_it_on(repo):
    """The parameter execution, and its place in the command."""
    text = "\n".join(path.read_text() for path in (repo / "rules").glob("*.smk"))
    told = {name.partition("_")[0] if name.startswith("render_") else name for name in EXECUTION}
    assert {rule for rule in RULES if f'execution=execution("{rule}")' in text} == told
    assert text.count("{params.options:q} {params.execution:q}") == len(told)


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
        told = merge(json.loads(job["params"]["options"]), json.loads(job["params"].get("execution", "{}")))
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
