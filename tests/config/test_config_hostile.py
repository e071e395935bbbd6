"""Configurations that are none: bombs, numbers that mean nothing, other encodings, paths that are no files."""

import os

import pytest

from nsff.config import load_config
from nsff.config.strict_yaml import LONGEST, parse_yaml
from nsff.errors import ConfigError

BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{last}'] * 9)}]\n" for last, name in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{last}'] * 9)}]}}\n"
    for last, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def scene(tmp_path, extra="", path="v", name="walk"):
    (tmp_path / "v").mkdir(exist_ok=True)
    return f"{extra}\nscenes:\n  {name}:\n    input: {{path: {path}}}\n"


def load(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(file, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "its aliases stand for 4e.09 values"),
        (MERGES, "its aliases stand for"),
        ("a: &a [*a]\n", "an alias that stands for what it is in"),
        ("a: &a {b: {c: *a}}\n", "an alias that stands for what it is in"),
        ("[" * 50_000, "is not YAML"),
        ("a: " + "9" * 5000, "is not YAML"),
        ("a: 2024-99-99", "is not YAML"),
        ("a" * (LONGEST + 1), "bytes, more than"),
    ],
    ids=["bomb", "merges", "itself", "itself deeper", "deep", "digits", "date", "long"],
)
def test_texts_that_are_no_configuration(tmp_path, text, message):
    with pytest.raises(ConfigError, match=rf"config\.yaml: .*{message}") as caught:
        load(tmp_path, text)
    assert caught.value.remedy


def test_aliases_that_are_meant_are_read(tmp_path):
    text = scene(tmp_path, "train: &t {steps: 300}") + "  other:\n    input: {path: v}\n    train: *t\n"
    assert load(tmp_path, text)["other"].train.steps == 300


@pytest.mark.parametrize(
    "value", [".inf", "-.inf", ".nan", "1.0e+30", "1e30", "0x" + "f" * 5000, "99999999999999999999"]
)
@pytest.mark.parametrize("key", ["train.steps", "train.learning_rate", "sfm.focal_range", "input.max_frames"])
def test_numbers_that_mean_nothing(tmp_path, key, value):
    section, name = key.split(".")
    shown = f"[0.5, {value}]" if name == "focal_range" else value
    if section == "input":
        text = scene(tmp_path, path=f"v, {name}: {shown}")
    else:
        text = scene(tmp_path, f"{section}: {{{name}: {shown}}}")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert section in caught.value.subject
    assert name in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(("encoding", "message"), [("latin-1", "Latin-1"), ("utf-16", "UTF-16"), ("utf-32", "UTF-16")])
def test_other_encodings(tmp_path, encoding, message):
    with pytest.raises(ConfigError, match=rf"config\.yaml: .*{message}.*save it as UTF-8"):
        load(tmp_path, scene(tmp_path, "# été").encode(encoding))
    assert load(tmp_path, scene(tmp_path, "# été").encode("utf-8-sig"))


@pytest.mark.parametrize(
    "name", ['"a\\nb"', '"a\\n"', '"\\x1b[31mred"', '"a\\u202eb"', '"a/b"', "x" * 500, '""', '"a\\0"']
)
def test_names_of_scenes(tmp_path, name):
    with pytest.raises(ConfigError, match=r"not usable as a scene's name|special characters") as caught:
        load(tmp_path, scene(tmp_path, name=name))
    told = str(caught.value).splitlines()
    assert len(told) <= 4
    assert all(line.isprintable() for line in told)


@pytest.mark.parametrize("kind", ["/dev/zero", "pipe", "x" * 5000, '"a\\0b"', "missing", '"a\\nb"'])
def test_paths_that_are_no_files(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"scenes\.walk\.input\.path: ") as caught:
        load(tmp_path, scene(tmp_path, path=kind))
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "folder", "x" * 5000, "nothing"])
def test_configurations_that_are_no_files(tmp_path, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.mkdir("folder")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert len(str(caught.value)) < 1500


def test_an_option_is_checked_as_a_file_is():
    with pytest.raises(ConfigError, match="--options: its aliases stand for"):
        parse_yaml(BOMB, "--options")
