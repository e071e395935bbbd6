"""Records of checksums: what changed behind a stage's back is named; what nsff writes itself stays true."""

import json
import os

import numpy as np
import pytest

from nsff.errors import StageError
from nsff.files import checksums
from nsff.files.io import atomic_directory, map_npy, read_image, read_json, read_npy, write_image, write_json
from nsff.scene import Scene


@pytest.fixture
def frames(tmp_path):
    """Three pictures and an array that a stage wrote."""
    with atomic_directory(tmp_path / "maps", sealed=True) as folder:
        for i in range(3):
            write_image(folder / "deep" / f"{i}.png", np.full((8, 9, 3), 40 * i, np.uint8))
        np.save(folder / "a.npy", np.arange(12.0))
        np.save(folder / "b.npy", np.arange(12.0) + 1)
        write_json(folder / "views.json", {"scale": 1.5})
    return tmp_path / "maps"


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_the_record_lies_beside_and_everything_is_read(frames):
    record = json.loads((frames.parent / "checksums" / "maps.json").read_text())
    assert sorted(record["files"]) == [
        "maps/a.npy", "maps/b.npy", "maps/deep/0.png", "maps/deep/1.png", "maps/deep/2.png", "maps/views.json",
    ]  # fmt: skip
    assert record["files"]["maps/a.npy"]["bytes"] == (frames / "a.npy").stat().st_size
    assert sorted(path.name for path in frames.iterdir()) == ["a.npy", "b.npy", "deep", "views.json"]
    assert read_image(frames / "deep" / "1.png").max() == 40
    assert read_npy(frames / "a.npy")[3] == map_npy(frames / "a.npy")[3] == 3
    assert read_json(frames / "views.json") == {"scale": 1.5}


@pytest.mark.parametrize(
    ("name", "read"), [("a.npy", read_npy), ("b.npy", map_npy), ("views.json", read_json), ("deep/1.png", read_image)]
)
def test_every_flipped_bit_is_seen(frames, name, read):
    path = frames / name
    whole = path.read_bytes()
    bits = np.random.default_rng(3).permutation(8 * len(whole))[:40]
    for bit in bits:
        flip(path, int(bit))
        with pytest.raises(StageError, match=r"corrupt|not readable") as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "run again" in caught.value.remedy
        path.write_bytes(whole)
    read(path)


def test_other_files_of_the_folder_are_missed_or_are_too_many(frames):
    (frames / "deep" / "2.png").unlink()
    with pytest.raises(StageError, match=r"deep/2\.png: missing"):
        read_npy(frames / "a.npy")
    write_image(frames / "deep" / "2.png", np.full((8, 9, 3), 80, np.uint8))
    read_npy(frames / "a.npy")
    (frames / ".snakemake_timestamp").touch()
    (frames / "notes.txt").write_text("mine")
    read_npy(frames / "b.npy")
    (frames / "deep" / "7.png").write_bytes(b"x")
    with pytest.raises(StageError, match=r"7\.png: is not among the files that its stage wrote"):
        read_json(frames / "views.json")


def test_exchanged_files_are_seen(frames):
    first, second = frames / "deep" / "1.png", frames / "deep" / "2.png"
    assert first.stat().st_size == second.stat().st_size
    os.rename(first, frames / "x")
    os.rename(second, first)
    os.rename(frames / "x", second)
    with pytest.raises(StageError, match=r"1\.png: corrupt"):
        read_image(first)


def test_what_nsff_writes_itself_is_known(frames):
    write_image(frames / "deep" / "1.png", np.zeros((8, 9, 3), np.uint8))
    write_image(frames / "deep" / "9.png", np.zeros((8, 9, 3), np.uint8))
    assert read_image(frames / "deep" / "1.png").max() == read_image(frames / "deep" / "9.png").max() == 0
    with atomic_directory(frames) as folder:  # made anew without a record: the old one is gone
        np.save(folder / "a.npy", np.zeros(3))
    assert not (frames.parent / "checksums" / "maps.json").exists()
    assert read_npy(frames / "a.npy").shape == (3,)


def test_single_files_and_scenes_without_records(tmp_path):
    scene = Scene(tmp_path)
    write_json(scene.manifest_path, {"n_frames": 12})
    assert scene.n_frames == 12
    checksums.seal(scene.manifest_path)
    scene.manifest_path.write_text(scene.manifest_path.read_text().replace("12", "13"))
    with pytest.raises(StageError, match=r"manifest\.json: corrupt") as caught:
        _ = Scene(tmp_path).n_frames
    assert "if you changed it on purpose, delete" in caught.value.remedy
    checksums.path_of(scene.manifest_path).unlink()
    assert Scene(tmp_path).n_frames == 13


def test_a_damaged_record_is_named_and_a_foreign_one_is_left_alone(frames):
    record = frames.parent / "checksums" / "maps.json"
    record.write_text(json.dumps({"format": "someone else's", "files": 5}))
    read_npy(frames / "a.npy")
    record.write_text('{"format": "nsff checksums 1"')
    with pytest.raises(StageError, match=r"checksums/maps\.json: not readable"):
        read_npy(frames / "a.npy")


def test_a_linked_folder_keeps_its_record_by_the_link(tmp_path):
    (tmp_path / "elsewhere" / "flow").mkdir(parents=True)
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "flow").symlink_to(tmp_path / "elsewhere" / "flow")
    with atomic_directory(tmp_path / "scene" / "flow", sealed=True) as folder:
        np.save(folder / "a.npy", np.arange(3))
    flip(tmp_path / "elsewhere" / "flow" / "a.npy", 8 * 130)
    with pytest.raises(StageError, match="corrupt"):
        read_npy(tmp_path / "scene" / "flow" / "a.npy")
