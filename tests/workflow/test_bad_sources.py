"""Sources that cannot be used, through Snakemake: each scene's job fails with its own clear error, others are made."""

import shutil

import pytest


@pytest.fixture(scope="module")
def ingested(new_project, tiny_clip, picture_writer):
    """One run over good and bad sources; how it ended, and the project."""
    project = new_project()
    folder = project.folder
    (folder / "empty").mkdir(parents=True)
    picture_writer(folder / "one" / "0.png", tiny_clip.frames[0])
    for i in range(3):
        picture_writer(folder / "sizes" / f"{i}.png", tiny_clip.frames[i][: 48 - 2 * (i == 2)])
        picture_writer(folder / "broken" / f"{i}.png", tiny_clip.frames[i])
    (folder / "broken" / "1.png").write_text("no picture")
    (folder / "text").mkdir()
    (folder / "text" / "notes.txt").write_text("no frames here")
    (folder / "text.mp4").write_text("no video")
    shutil.copy(tiny_clip.video, folder / "vidéo de l'été (1).mp4")
    names = {"empty": "empty", "one": "one", "sizes": "sizes", "broken": "broken", "text": "text", "film": "text.mp4"}
    project.configure(
        {name: {"input": {"path": path}} for name, path in {**names, "bon_été": "vidéo de l'été (1).mp4"}.items()}
    )
    return project, project.snakemake(*[f"results/{name}/manifest.json" for name in (*names, "bon_été")])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", ["empty: ", "empty folder"]),
        ("one", ["one: has one frame", "at least two frames"]),
        ("sizes", ["2.png is 64x46, but 0.png is 64x48"]),
        ("broken", ["broken/1.png: "]),
        ("text", ["text: "]),
        ("film", ["text.mp4: "]),
    ],
)
def test_a_bad_source_is_told_and_nothing_is_left(ingested, name, message):
    project, ended = ingested
    assert ended.status != 0
    log = (project.scene(name) / "logs" / "ingest.log").read_text()
    for word in (*message, "error: ", "what to do: "):
        assert word in log
        assert word in ended.text
    assert "Traceback" not in log
    for left in ("manifest.json", "frames", "given"):
        assert not (project.scene(name) / left).exists()


def test_the_good_source_is_read_all_the_same(ingested):
    project, _ = ingested
    assert (project.scene("bon_été") / "frames" / "00007.png").exists()
