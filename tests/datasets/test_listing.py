"""Which files of a folder are frames, in which order, and folders whose names say that something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsff.datasets.frame_names import missing_numbers
from nsff.datasets.frames import FrameFolder
from nsff.datasets.listing import arranged, list_images
from nsff.errors import InputError


def ordered(names: list[str]) -> tuple[list[str], str]:
    files, doubt = arranged([Path(f"{name}.png") for name in sorted(names)])
    return [file.stem for file in files], doubt


@pytest.mark.parametrize(
    "names",
    [
        [f"frame_{i * 0.25}" for i in range(8)],  # 0.0, 0.25, 0.5, ...
        [f"{i / 10}" for i in range(25)],
        ["1305031102.9", "1305031102.93", "1305031102.96", "1305031102.99", "1305031103.02"],
        [f"shot1.{i}" for i in range(1, 13)],  # a dot before the number
        [f"shot1.{i:04d}" for i in range(1, 13)],
        [f"v2.1_{i}" for i in range(12)],
        [str(i) for i in range(1, 101)],
        [f"img{i}" for i in range(1, 13)],
    ],
    ids=lambda names: names[0],
)
def test_order(names):
    assert ordered(names) == (names, "")


def test_an_order_that_cannot_be_known(tmp_path: Path, tiny_clip, picture_writer: Callable):
    names = ["take1.2", "take1.10", "take1.7", "take2.1"]
    assert ordered(names)[1]
    for i, name in enumerate(names):
        picture_writer(tmp_path / f"{name}.png", tiny_clip.frames[i])
    with pytest.raises(InputError, match="two ways: take") as caught:
        FrameFolder(tmp_path)
    assert "as many digits" in caught.value.remedy


def fill(folder: Path, names: list[str], image: np.ndarray, picture_writer: Callable) -> Path:
    for name in names:
        picture_writer(folder / name, image)
    return folder


SERIES = {
    "suffix": ([f"{i:03d}.png" for i in range(8)], [f"{i:03d}_mask.png" for i in range(8)]),
    "prefix": ([f"frame_{i}.png" for i in range(8)], [f"depth_{i}.png" for i in range(8)]),
    "stereo": ([f"left{i:02d}.jpg" for i in range(8)], [f"right{i:02d}.jpg" for i in range(8)]),
    "fewer masks": ([f"{i:03d}.png" for i in range(8)], [f"{i:03d}_mask.png" for i in (1, 4, 6)]),
    "copies": ([f"IMG_{i}.jpg" for i in range(8)], [f"IMG_{i} copy.jpg" for i in range(2, 5)]),
    "numbered copies": ([f"IMG_{i}.jpg" for i in range(8)], [f"IMG_{i}(1).jpg" for i in range(2, 5)]),
    "two cameras": ([f"cam0_{i:04d}.png" for i in range(8)], [f"cam1_{i:04d}.png" for i in range(8)]),
    "cameras last": ([f"{i:04d}_c0.png" for i in range(8)], [f"{i:04d}_c1.png" for i in range(8)]),
    "upper case": ([f"{i}.PNG" for i in range(8)], [f"{i}_MASK.PNG" for i in range(8)]),
}


@pytest.mark.parametrize("names", SERIES.values(), ids=SERIES)
def test_two_series_in_one_folder(tmp_path: Path, tiny_clip, picture_writer: Callable, names):
    fill(tmp_path, [*names[0], *names[1]], tiny_clip.frames[0], picture_writer)
    with pytest.raises(InputError, match="two series with the same numbers") as caught:
        FrameFolder(tmp_path)
    for series in names:
        assert series[0] in str(caught.value)


def test_one_series_of_odd_names_is_read(tmp_path: Path, tiny_clip, picture_writer: Callable):
    for i, names in enumerate(
        [
            ["IMG_20240501_123456.jpg", "IMG_20240501_123457.jpg", "IMG_20240501_123459.jpg", "DSC_0001.jpg"],
            ["a.png", "b.png", "c.png", "d.png"],
            [f"2024050{day}_12345{second}.jpg" for day in (1, 2) for second in range(4 * day - 4, 4 * day - 1)],
            [f"view_{i}_of_12.png" for i in range(8)],
            [f"{i:02d}_{i * i:03d}.png" for i in range(8)],
            ["0.png", "0.5.png", "1.png", "1.5.png"],
            ["été 1.JPG", "été 2.jpeg", "été 3.jpg", "été 4.JPG"],
        ]
    ):
        folder = fill(tmp_path / str(i), names, tiny_clip.frames[0], picture_writer)
        assert FrameFolder(folder).count == len(names)


def test_a_number_twice(tmp_path: Path, tiny_clip, picture_writer: Callable):
    fill(tmp_path, ["1.png", "2.png", "02.png", "3.png"], tiny_clip.frames[0], picture_writer)
    with pytest.raises(InputError, match=r"02\.png and 2\.png, two frames with one number"):
        FrameFolder(tmp_path)


@pytest.mark.parametrize("suffix", [".HEIC", ".heif", ".avif", ".jxl", ".dng", ".exr", ".CR2"])
@pytest.mark.parametrize("readable", [0, 8])
def test_pictures_that_cannot_be_read_stop(tmp_path: Path, tiny_clip, picture_writer: Callable, suffix, readable):
    fill(tmp_path, [f"IMG_{2 * i:04d}.JPG" for i in range(readable)], tiny_clip.frames[0], picture_writer)
    for i in range(1, 9):
        (tmp_path / f"IMG_{2 * i + 1:04d}{suffix}").write_bytes(b"\0\0\0\x18ftypheic" + b"0" * 99)
    with pytest.raises(InputError, match=f"8 pictures of a kind that is not read .{suffix}; first IMG_0003") as caught:
        FrameFolder(tmp_path)
    assert "convert" in caught.value.remedy


def test_raw_beside_jpg_is_left_out_with_a_note(tmp_path: Path, tiny_clip, picture_writer: Callable):
    fill(tmp_path, [f"IMG_{i}.JPG" for i in range(3)], tiny_clip.frames[0], picture_writer)
    for i in range(3):
        (tmp_path / f"IMG_{i}.dng").write_bytes(b"II*\0")
    source = FrameFolder(tmp_path)
    assert source.count == 3
    assert "3 files like IMG_" in source.notes[0]
    (tmp_path / "IMG_3.dng").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"1 pictures of a kind .*IMG_3\.dng"):
        FrameFolder(tmp_path)


def test_links_and_leftovers(tmp_path: Path, tiny_clip, picture_writer: Callable):
    away = fill(tmp_path / "away", [f"{i}.png" for i in range(4)], tiny_clip.frames[0], picture_writer)
    (tmp_path / "linked").symlink_to(away)
    assert FrameFolder(tmp_path / "linked").count == 4
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "images").symlink_to(away)
    assert FrameFolder(tmp_path / "inside").count == 4
    (away / ".#0.png").symlink_to("user@host.1234:567")  # an editor's lock
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png"):
        (away / name).write_bytes(b"x")
    assert [file.name for file in list_images(away)] == [f"{i}.png" for i in range(4)]
    assert FrameFolder(away).count == 4
    (away / "4.png").symlink_to(".git/annex/objects/none")
    with pytest.raises(InputError, match=r"4\.png: is a link to a file that is not there"):
        FrameFolder(away)


def test_gaps_in_numbers():
    def missing(*numbers: int) -> list[int]:
        return missing_numbers([Path(f"f_{n:03d}.png") for n in numbers])

    assert missing(1, 2, 3, 5, 6, 9) == [4, 7, 8]
    assert missing(0, 2, 4, 6, 10) == [8]
    assert missing(0, 1, 2, 3) == []
    assert missing(3, 17, 20, 44, 45) == []  # no even numbers: times
    assert missing_numbers([Path("a.png"), Path("b.png")]) == []


def test_gaps_are_told(tmp_path: Path, tiny_clip, picture_writer: Callable):
    fill(tmp_path, [f"{i}.png" for i in (1, 2, 3, 5, 6)], tiny_clip.frames[0], picture_writer)
    source = FrameFolder(tmp_path)
    assert source.complaints == source.notes
    assert "gaps (4 missing)" in source.complaints[0]


def test_a_picture_beside_images_is_no_frame(tmp_path: Path, tiny_clip, picture_writer: Callable):
    fill(tmp_path / "images", [f"{i}.png" for i in range(4)], tiny_clip.frames[0], picture_writer)
    picture_writer(tmp_path / "preview.jpg", tiny_clip.frames[0])
    assert FrameFolder(tmp_path).count == 4
