"""What makes a scene be read again: its own files, and nothing that lies beside them."""

import pytest


@pytest.fixture
def inside(new_project, tiny_clip, picture_writer):
    """A project whose frames, config.yaml and results/ lie in one folder, ingested once."""
    project = new_project()
    for i, image in enumerate(tiny_clip.frames):
        picture_writer(project.folder / f"{i:03d}.png", image)
    project.configure({"here": {"input": {"path": "."}}})
    (project.folder / ".#notes.txt").symlink_to("user@host.1234:567")
    ended = project.snakemake("results/here/manifest.json")
    assert ended.status == 0, ended.text[-3000:]
    return project


def test_results_inside_the_input_and_leftovers_change_nothing(inside):
    manifest = "results/here/manifest.json"
    assert inside.changed(manifest) == set()
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "._000.png"):
        (inside.folder / name).write_text("x")
    assert inside.changed(manifest) == set()
    (inside.folder / "lost.txt").symlink_to("nowhere")
    assert inside.changed(manifest) == set()


def test_a_frame_more_or_another_does(inside, tiny_clip, picture_writer):
    picture_writer(inside.folder / "008.png", tiny_clip.frames[0])
    assert inside.changed("results/here/manifest.json") == {"ingest"}


def test_a_linked_folder_is_followed(new_project, tiny_clip, picture_writer, tmp_path):
    for i, image in enumerate(tiny_clip.frames):
        picture_writer(tmp_path / f"{i:03d}.png", image)
    project = new_project()
    (project.folder / "clip").mkdir(parents=True)
    (project.folder / "clip" / "images").symlink_to(tmp_path)
    project.configure({"here": {"input": {"path": "clip"}}})
    assert project.snakemake("results/here/manifest.json").status == 0
    assert project.changed("results/here/manifest.json") == set()
    picture_writer(tmp_path / "003.png", tiny_clip.frames[0])
    assert project.changed("results/here/manifest.json") == {"ingest"}
