"""Folders of images: order, formats, orientation, depth, transparency, and files that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from nsff.datasets.frames import FrameFolder, apply_orientation, natural_key
from nsff.errors import InputError


def read(path: Path, start: int = 0, end: int | None = None, stride: int = 1) -> list:
    return list(FrameFolder(path).frames(start, end, stride))


def test_natural_order():
    names = ["f10", "f2", "f1", "F3", "a", "f2b", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "f1", "f2", "f2b", "F3", "f10"]


def test_folder_of_png(tiny_clip):
    frames = read(tiny_clip.frames_dir, 1, None, 3)
    assert [(frame.index, frame.name) for frame in frames] == [(1, "00001.png"), (4, "00004.png"), (7, "00007.png")]
    np.testing.assert_array_equal([frame.image for frame in frames], tiny_clip.frames[1::3])


def test_images_subfolder_accents_and_unpadded_names(tmp_path: Path, tiny_clip, picture_writer: Callable):
    folder = tmp_path / "été à la mer" / "images"
    for i in range(11):
        picture_writer(folder / f"vue {i}.png", tiny_clip.frames[i % 8])
    frames = read(folder.parent)
    assert [frame.name for frame in frames] == [f"vue {i}.png" for i in range(11)]
    np.testing.assert_array_equal(frames[10].image, tiny_clip.frames[2])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF", ".webp", ".jpg", ".JPEG"])
def test_formats(tmp_path: Path, tiny_clip, picture_writer: Callable, suffix: str):
    for i in range(2):
        picture_writer(tmp_path / f"{i}{suffix}", tiny_clip.frames[i])
    image = read(tmp_path)[1].image.astype(int)
    tolerance = 0 if suffix.lower() in (".png", ".bmp", ".tif", ".tiff") else 12
    assert np.abs(image - tiny_clip.frames[1]).mean() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_orientation(tmp_path: Path, tiny_clip, orientation: int, suffix: str):
    # Pillow undoes the orientation itself (ImageOps.exif_transpose): an independent reference.
    from PIL import ImageOps

    for i in range(2):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(tiny_clip.frames[i]).save(tmp_path / f"{i}{suffix}", exif=exif, quality=95)
    with Image.open(tmp_path / f"1{suffix}") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    image = read(tmp_path)[1].image
    assert image.shape == ((64, 48, 3) if orientation > 4 else (48, 64, 3))
    assert np.abs(image.astype(int) - expected).mean() < 2


def test_orientation_degrees():
    image = np.arange(6).reshape(2, 3, 1)
    turned, degrees = apply_orientation(image, 6)
    np.testing.assert_array_equal(turned, np.rot90(image, -1))
    assert degrees == 270


def test_sixteen_bits_grey_and_transparency(tmp_path: Path, tiny_clip, picture_writer: Callable):
    own = tiny_clip.frames[0]
    picture_writer(tmp_path / "deep" / "0.png", own.astype(np.uint16) * 257)
    picture_writer(tmp_path / "deep" / "1.png", np.maximum(own.astype(np.uint16) * 257, 100) - 100)
    source = FrameFolder(tmp_path / "deep")
    for frame in source.frames(0, None, 1):
        np.testing.assert_array_equal(frame.image, own)
    assert "16-bit" in source.notes[0]
    for i in range(2):
        picture_writer(tmp_path / "grey" / f"{i}.png", own[..., 0])
    np.testing.assert_array_equal(read(tmp_path / "grey")[0].image, np.repeat(own[..., :1], 3, axis=2))
    alpha = np.full((*own.shape[:2], 1), 51, np.uint8)
    for i in range(2):
        picture_writer(tmp_path / "clear" / f"{i}.png", np.concatenate([own, alpha], axis=2))
    source = FrameFolder(tmp_path / "clear")
    image = next(iter(source.frames(0, None, 1))).image
    assert source.alpha
    assert np.abs(image - (0.2 * own.astype(float) + 0.8 * 255)).max() <= 0.51


def test_grey_with_alpha_and_palette(tmp_path: Path):
    grey = np.full((8, 10), 100, np.uint8)
    alpha = np.zeros((8, 10), np.uint8)
    alpha[:, :5] = 255
    for i in range(2):
        Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]).save(tmp_path / f"{i}.png")
    image = read(tmp_path)[0].image
    assert (image[:, :5] == 100).all()
    assert (image[:, 5:] == 255).all()
    (tmp_path / "palette").mkdir()
    colours = np.zeros((8, 10, 3), np.uint8)
    colours[:, 5:] = (200, 30, 10)
    for i in range(2):
        Image.fromarray(colours).quantize(4).save(tmp_path / "palette" / f"{i}.png")
    np.testing.assert_array_equal(read(tmp_path / "palette")[0].image, colours)


def test_bad_files(tmp_path: Path, tiny_clip, picture_writer: Callable):
    for i in range(3):
        picture_writer(tmp_path / f"{i}.png", tiny_clip.frames[i])
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / "._0.png").write_text("left by a Mac")
    source = FrameFolder(tmp_path)
    assert len(list(source.frames(0, None, 1))) == 3
    assert "2 files" in source.notes[0]
    (tmp_path / "1.png").write_text("no image at all")
    with pytest.raises(InputError, match="no readable image") as caught:
        read(tmp_path)
    assert str(tmp_path / "1.png") in str(caught.value)
    data = cv2.imencode(".png", tiny_clip.frames[1])[1].tobytes()
    (tmp_path / "1.png").write_bytes(data[:40])
    with pytest.raises(InputError, match=r"1\.png"):
        read(tmp_path)


def test_float_image_is_refused(tmp_path: Path):
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.tif"), np.zeros((8, 8, 3), np.float32))
    with pytest.raises(InputError, match="float32"):
        read(tmp_path)


def test_two_images_of_one_name(tmp_path: Path, tiny_clip, picture_writer: Callable):
    picture_writer(tmp_path / "0.png", tiny_clip.frames[0])
    picture_writer(tmp_path / "0.jpg", tiny_clip.frames[0])
    with pytest.raises(InputError, match=r"same name as 0\.jpg"):
        FrameFolder(tmp_path)


def test_empty_one_and_missing(tmp_path: Path, tiny_clip, picture_writer: Callable):
    with pytest.raises(InputError, match="has no images"):
        FrameFolder(tmp_path)
    (tmp_path / "a.heic").write_text("")
    with pytest.raises(InputError, match=r"a\.heic"):
        FrameFolder(tmp_path)
    (tmp_path / "a.heic").unlink()
    picture_writer(tmp_path / "0.png", tiny_clip.frames[0])
    with pytest.raises(InputError, match="has one frame"):
        read(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        FrameFolder(tmp_path / "none")


@pytest.mark.parametrize(("start", "end", "message"), [(8, None, "start 8"), (0, 9, "end 9")])
def test_range_beyond_the_end(tiny_clip, start: int, end: int | None, message: str):
    with pytest.raises(InputError, match=f"{message} lies beyond the end: it has 8 frames"):
        read(tiny_clip.frames_dir, start, end)
