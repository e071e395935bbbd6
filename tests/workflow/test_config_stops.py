"""Mistakes in the configuration end the run before any job: what is wrong, what is allowed, a nonzero status."""

from itertools import pairwise

import pytest


@pytest.fixture
def clip(project):
    project.folder.mkdir(parents=True)
    (project.folder / "clip.mp4").touch()
    (project.folder / "clip{1}.mp4").touch()
    return {"clip": {"input": {"path": "clip.mp4"}}}


@pytest.mark.parametrize(
    ("sections", "own", "message"),
    [
        ({"decompose": {"max_clustres": 12}}, {}, ["decompose.max_clustres", "12", "did you mean 'max_clusters'?"]),
        ({"train": {"steps": "many"}}, {}, ["train.steps", "'many'", "integer"]),
        ({}, {"input": {"path": "gone.mp4"}}, ["scenes.clip.input.path", "gone.mp4", "no such file"]),
        ({}, {"input": {"path": "clip{1}.mp4"}}, ["scenes.clip", "clip{1}.mp4", "brace", "rename"]),
        ({"field": {"static_only": True, "dynamic_only": True}}, {}, ["static_only", "dynamic_only", "exclude"]),
        ({}, {"preset": "fats"}, ["scenes.clip.preset", "'fats'", "did you mean 'fast'?"]),
    ],
    ids=["unknown key", "wrong type", "missing file", "brace", "impossible combination", "unknown preset"],
)
def test_no_job_starts(project, clip, sections, own, message):
    clip["clip"].update(own)
    project.configure(clip, **sections)
    ended = project.snakemake()
    assert ended.status != 0
    for word in message:
        assert word in ended.text
    assert "Traceback" not in ended.text
    assert "common.smk" not in ended.text
    assert not (project.folder / "results").exists()


def test_single_settings_on_the_command_line_are_checked_too(project, clip):
    project.configure(clip)
    ended = project.snakemake("--config", "train={'stepz': 3}")
    assert ended.status != 0
    assert "did you mean 'steps'?" in ended.text
    assert not (project.folder / "results").exists()


def test_single_settings_on_the_command_line_are_laid_over_the_file(project, clip):
    project.configure(clip)
    train = next(job for job in project.jobs("--config", "train={'steps': 3}") if job["rule"] == "train")
    assert '"steps": 3' in train["params"]["options"]
    assert '"rays": 64' in train["params"]["options"]  # of the file: mappings merge


def test_a_scene_of_another_name_is_no_target(project, clip):
    project.configure(clip)
    ended = project.snakemake("results/clop/report.html")
    assert ended.status != 0
    assert "results/clop/report.html" in ended.text
    assert not (project.folder / "results").exists()


def refused(project, text, *arguments):
    project.folder.mkdir(parents=True, exist_ok=True)
    (project.folder / "config.yaml").write_text(text)
    ended = project.snakemake("--dry-run", *arguments)
    assert ended.status != 0
    assert "Traceback" not in ended.text
    assert "common.smk" not in ended.text
    return ended.text


def test_a_key_given_twice_stops_and_names_both_lines(project, clip):
    text = "train: {steps: 111}\nscenes:\n  clip:\n    input: {path: clip.mp4}\ntrain: {rays: 64}\n"
    said = refused(project, text)
    assert "train is given twice, in line 1 and in line 5" in said
    assert "config.yaml" in said
    said = refused(project, "scenes:\n  a: {input: {path: clip.mp4}}\n  a: {input: {path: clip.mp4}}\n")
    assert "scenes.a is given twice, in line 2 and in line 3" in said


@pytest.mark.parametrize("name", ["20240501_123456", "001", "on", "null", "1e5"])
def test_a_name_that_yaml_takes_for_something_else(project, clip, name):
    said = refused(project, f"scenes:\n  {name}:\n    input: {{path: clip.mp4}}\n")
    assert f"write the name in quotes: '{name}':" in said


def test_home_is_expanded(project, clip, monkeypatch):
    (project.folder / "config.yaml").write_text("scenes:\n  walk:\n    input: {path: ~/clip.mp4}\n")
    jobs = project.snakemake("--dry-run", "results/walk/manifest.json", environment={"HOME": str(project.folder)})
    assert jobs.status == 0, jobs.text
    assert f"{project.folder}/clip.mp4" in jobs.text


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_configuration_in_another_encoding(project, clip, repo, encoding):
    project.configure(clip)
    text = (project.folder / "config.yaml").read_text(encoding="utf-8")
    (project.folder / "config.yaml").write_bytes(f"# été\n{text}".encode(encoding))
    # Without --configfile, which Snakemake reads before the Snakefile.
    ended = project.server.run(project.folder, ["--snakefile", str(repo / "Snakefile"), "--cores", "1"])
    assert ended.status != 0
    for word in ("config.yaml", "Latin-1" if encoding == "latin-1" else "UTF-16", "save it as UTF-8"):
        assert word in ended.text
    assert "Traceback" not in ended.text
    assert not (project.folder / "results").exists()


def test_a_bomb_of_aliases(project, clip):
    names = "abcdefghij"
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairwise(names)]
    project.configure(clip)
    (project.folder / "config.yaml").write_text("\n".join(lines))
    ended = project.snakemake()
    assert ended.status != 0
    assert "its aliases stand for" in ended.text
    assert "Traceback" not in ended.text
