"""Mistakes in the configuration end the run before any job: what is wrong, what is allowed, a nonzero status."""

import pytest


@pytest.fixture
def clip(project):
    project.folder.mkdir(parents=True)
    (project.folder / "clip.mp4").touch()
    (project.folder / "clip{1}.mp4").touch()
    return {"clip": {"input": {"path": "clip.mp4"}}}


@pytest.mark.parametrize(
    ("sections", "own", "words"),
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
def test_no_job_starts(project, clip, sections, own, words):
    clip["clip"].update(own)
    project.configure(clip, **sections)
    ended = project.snakemake()
    assert ended.status != 0
    for word in words:
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
