"""Configurations that YAML reads in silence as something else: keys given twice, names that are no text, ~."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsff.config import load_config
from nsff.config.changes import with_changes
from nsff.config.strict_yaml import check_files, parse_yaml, read_yaml
from nsff.errors import ConfigError


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "config.yaml")
    assert caught.value.subject == "config.yaml"
    assert caught.value.remedy
    return str(caught.value)


def test_what_is_right_is_read_as_by_yaml():
    text = "a: {b: 1, c: [1, {d: 2}]}\nbase: &base {x: 1}\nscenes:\n  '001': {<<: *base, y: 2}\n  été_1: {x: on}\n"
    content = parse_yaml(text, "config.yaml")
    assert content["scenes"] == {"001": {"x": 1, "y": 2}, "été_1": {"x": True}}
    assert parse_yaml('{"train": {"steps": 3}}', "x") == {"train": {"steps": 3}}
    assert parse_yaml("", "x") is None


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("train: {steps: 1}\nscenes: {}\ntrain: {rays: 2}\n", "train", (1, 3)),
        ("scenes:\n  walk: {input: 1}\n  other: {}\n  walk: {input: 2}\n", "scenes.walk", (2, 4)),
        ("train:\n  steps: 1\n  rays: 3\n  steps: 1\n", "train.steps", (2, 4)),
        ("train: {steps: 1, steps: 2}", "train.steps", (1, 1)),
        ('{"train": {"steps": 1},\n "train": {"rays": 1}}', "train", (1, 2)),
        ("evaluation:\n- protocol: self\n  truth: a\n  protocol: masks\n", "evaluation.0.protocol", (2, 4)),
        ('scenes:\n  walk: {}\n  "walk": {}\n', "scenes.walk", (2, 3)),
    ],
)
def test_a_key_given_twice(text, key, lines):
    message = refused(text)
    assert f"{key} is given twice, in line {lines[0]} and in line {lines[1]}" in message


@pytest.mark.parametrize(
    "name", ["20240501_123456", "001", "on", "null", "~", "1e5", "1.5e3", "2024-05-01", "0x1F", "yes", "12:30", ".inf"]
)
def test_names_that_yaml_reads_as_something_else(name):
    message = refused(f"preset: fast\nscenes:\n  {name}:\n    input: {{path: walk.mp4}}\n")
    assert f"'{name}':" in message
    assert "quotes" in message
    assert "line 3" in message
    quoted = parse_yaml(f"scenes: {{'{name}': 1}}", "config.yaml")
    assert quoted == {"scenes": {name: 1}}


def test_keys_that_are_no_names_and_files_that_are_no_text(tmp_path: Path):
    assert "list or mapping" in refused("? [a, b]\n: 1\n")
    assert "is not YAML" in refused("scenes: [unclosed")
    (tmp_path / "latin.yaml").write_bytes("été: 1".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match="no such file"):
        check_files([tmp_path / "none.yaml"])
    (tmp_path / "twice.yaml").write_text("a: 1\na: 2\n")
    with pytest.raises(ConfigError, match=r"twice\.yaml: a is given twice"):
        check_files([tmp_path / "twice.yaml"])


def test_load_config_and_single_settings_are_as_strict(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("scenes:\n  001:\n    input: {path: a.mp4}\n")
    with pytest.raises(ConfigError, match="write the name in quotes: '001'"):
        load_config(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match=r"20240501123456: is read by YAML as int.*\n.*in quotes"):
        load_config({"scenes": {20240501123456: {"input": {"path": "a.mp4"}}}})
    with pytest.raises(ConfigError, match="steps is given twice"):
        with_changes({}, ["train={steps: 1, steps: 2}"])


def test_home_is_expanded_wherever_a_path_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("videos/walk.mp4", "lidar/0.png", "truth/a.png", "weights.pth", "360000.tar"):
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).touch()
    scene = load_config(
        {
            "scenes": {
                "walk": {
                    "input": {"path": "~/videos/walk.mp4", "depth": {"path": "~/lidar"}},
                    "evaluation": [{"protocol": "views", "truth": "~/truth"}],
                    "flow": {"weights": "~/weights.pth"},
                    "preset": "nsff",
                    "checkpoint": "~/360000.tar",
                }
            }
        },
        tmp_path,
    )["walk"]
    home = str(tmp_path / "home")
    assert scene.input.path == f"{home}/videos/walk.mp4"
    assert scene.input.depth is not None
    assert scene.input.depth.path == f"{home}/lidar"
    assert scene.evaluation[0].truth == f"{home}/truth"
    assert scene.flow.weights == f"{home}/weights.pth"
    assert scene.checkpoint == f"{home}/360000.tar"
    with pytest.raises(ConfigError, match="no such file or folder"):
        load_config({"scenes": {"walk": {"input": {"path": "~/none.mp4"}}}}, tmp_path)


@pytest.mark.parametrize(
    ("content", "message", "remedy"),
    [
        (b"\n<!DOCTYPE html><html><head><title>Google Drive</title></head></html>", "is a web page", "again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS", "git lfs pull"),
    ],
)
@pytest.mark.parametrize("key", ["checkpoint", "flow.weights", "depth.weights", "features.weights", "input.path"])
def test_a_saved_web_page_is_named_before_any_job(tmp_path: Path, key: str, content: bytes, message: str, remedy: str):
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    (tmp_path / "saved.tar").write_bytes(content)
    section, _, name = key.partition(".")
    scene = {"preset": "nsff", "input": {"path": "clip.mp4"}}
    scene |= {section: {name: "saved.tar"} if name else "saved.tar"}
    with pytest.raises(ConfigError, match=rf"scenes\.walk\.{key}: saved\.tar {message}") as caught:
        load_config({"scenes": {"walk": scene}}, tmp_path)
    assert remedy in caught.value.remedy
    assert "weights_only" not in str(caught.value)


def test_json_with_tabs_is_read_by_snakemake_and_checked(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_text('{\n\t"train": {\n\t\t"steps": 1\n\t}\n}\n')
    check_files([path])
    path.write_text('{\n\t"train": {\n\t\t"steps": 1,\n\t\t"steps": 2\n\t}\n}\n')
    with pytest.raises(ConfigError, match="steps is given twice"):
        check_files([path])
    path.write_text("scenes:\n\twalk: 1\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        check_files([path])


@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_not_the_working_directory(path: str):
    with pytest.raises(ConfigError, match=r"scenes.walk.input.path: .*empty path"):
        load_config({"scenes": {"walk": {"input": {"path": path}}}})
