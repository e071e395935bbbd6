"""Reasons of jobs in few words."""

import json

from snakemake.persistence import ParamsChange

from nsff.workflow.reasons import differences, shorter_reason


def reason(old: set, new: set) -> str:
    """As Snakemake writes it, between two others."""
    change = ParamsChange(only_old={repr(value) for value in old}, only_new={repr(value) for value in new})
    return f"Updated input files: a; Params have changed since last execution: {change}; Code has changed"


def test_settings_are_told_by_key():
    old = {"train": {"steps": 9, "rays": 64}, "input": {"path": 'it\'s now: "here" ünd.mp4'}}
    new = {"train": {"steps": 99, "rays": 64, "gpus": 2}, "input": {"path": "b.mp4"}}
    said = shorter_reason(reason({json.dumps(old, ensure_ascii=False)}, {json.dumps(new)}))
    assert said == (
        "Updated input files: a; Params have changed since last execution: train.steps: 9 -> 99,"
        ' train.gpus: not set -> 2, input.path: "it\'s now: \\"here\\" ünd.mp4" -> "b.mp4"; Code has changed'
    )


def test_other_parameters_are_told_too():
    said = shorter_reason(reason({'{"crf": {"iterations": 5}}', 1}, {'{"crf": {"iterations": 6}}', 2}))
    assert "crf.iterations: 5 -> 6; before: 1 now: 2; Code has changed" in said


def test_reasons_without_settings_stay_as_they_are():
    for text in ("Missing output files: a", reason({1}, {2}), reason(set(), {'{"crf": {}}'}), reason({"{"}, {"{]"})):
        assert shorter_reason(text) == text


def test_long_values_are_cut():
    said = shorter_reason(reason({'{"a": {"b": []}}'}, {json.dumps({"a": {"b": ["word"] * 99}})}))
    assert len(said) < 250


def test_differences():
    assert [key for key, _, _ in differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 1}, "c": 3})] == ["c"]
