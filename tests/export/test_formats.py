"""Depth, masks and films, read back by other programs' readers or by the published definition of a format."""

from __future__ import annotations

import importlib.util
import json
import subprocess

import imageio.v3 as imageio
import numpy as np
import pytest

from nsff.cli import main
from nsff.export.coco import compressed, run_lengths
from nsff.export.exr import write_exr
from nsff.export.films import bled, over_white, write_film
from nsff.export.masks import davis_palette
from nsff.export.times import frame_rate
from nsff.files.io import read_mask, write_image, write_json
from nsff.scene import Scene


# --- depth -----------------------------------------------------------------------------------------------------------
def exr_by_its_definition(data: bytes) -> tuple[dict[str, bytes], np.ndarray]:
    """Attributes and the only channel of an OpenEXR file of scan lines with ZIP compression ("OpenEXR File Layout")."""
    import struct
    import zlib

    assert struct.unpack_from("<II", data) == (20000630, 2)
    at, attributes = 8, {}

    def text() -> str:
        nonlocal at
        end = data.index(b"\0", at)
        found, at = data[at:end].decode(), end + 1
        return found

    while name := text():
        kind = text()
        (size,) = struct.unpack_from("<I", data, at)
        attributes[name] = data[at + 4 : at + 4 + size]
        at += 4 + size
        assert kind
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    lines = {0: 1, 2: 1, 3: 16}[attributes["compression"][0]]
    result = np.zeros((height, width), "<f4")
    for offset in struct.unpack_from(f"<{-(-height // lines)}Q", data, at):
        y, size = struct.unpack_from("<iI", data, offset)
        count, block = min(lines, height - y + top), data[offset + 8 : offset + 8 + size]
        if size < 4 * width * count:
            shuffled = np.frombuffer(zlib.decompress(block), np.uint8).astype(np.int64)
            summed = (np.cumsum(np.concatenate([shuffled[:1], shuffled[1:] - 128])) % 256).astype(np.uint8)
            half = (len(summed) + 1) // 2
            raw = np.empty(len(summed), np.uint8)
            raw[0::2], raw[1::2] = summed[:half], summed[half:]
            block = raw.tobytes()
        result[y - top : y - top + count] = np.frombuffer(block, "<f4").reshape(count, width)
    return attributes, result


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (40, 33)])
def test_exr_holds_every_bit(tmp_path, size):
    values = (np.random.default_rng(0).random(size) * 100).astype(np.float32)
    values.flat[0] = 0
    write_exr(tmp_path / "a.exr", values)
    attributes, found = exr_by_its_definition((tmp_path / "a.exr").read_bytes())
    np.testing.assert_array_equal(found, values)
    assert attributes["channels"].startswith(b"Y\0\2\0\0\0")  # floats
    if importlib.util.find_spec("OpenEXR"):
        import OpenEXR

        np.testing.assert_array_equal(OpenEXR.File(str(tmp_path / "a.exr")).channels()["Y"].pixels, values)


def test_depth_of_pictures_and_exr(fake_scene):
    """The planted maps: 1/z is 50000/65535 · 0.5 on the square, 20000/65535 · 0.5 elsewhere."""
    scene = fake_scene(n=3)
    levels = read_mask(scene.map_path(0, "depth"))
    levels[0, 0], levels[0, 1] = 0, 1  # infinitely far, and farther than pictures reach
    write_image(scene.map_path(0, "depth"), levels)
    assert main(["export", "depth", str(scene.root)]) == 0
    folder = scene.exports_dir / "depth"
    unit = json.loads((folder / "depth.json").read_text())["scene_units_per_level"]
    picture = imageio.imread(folder / "png" / "00000.png")
    assert picture.dtype == np.uint16
    z = 65535 / 0.5 / levels[2:].astype(float)
    np.testing.assert_allclose(picture[2:] * unit, z, atol=unit)
    assert picture.max() == 65535
    assert picture[0, 0] == picture[0, 1] == 0
    _, exact = exr_by_its_definition((folder / "exr" / "00000.exr").read_bytes())
    np.testing.assert_allclose(exact[2:], z, rtol=1e-6)
    assert exact[0, 0] == 0
    assert exact[0, 1] == pytest.approx(2 * 65535)


# --- masks -----------------------------------------------------------------------------------------------------------
def coco_decoded(segmentation: dict) -> np.ndarray:
    """A mask by the definition of COCO's compressed run lengths (COCO API, common/maskApi.c: rleFrString)."""
    counts, at, text = [], 0, segmentation["counts"]
    while at < len(text):
        value, place, more = 0, 0, True
        while more:
            code = ord(text[at]) - 48
            value |= (code & 31) << (5 * place)
            more = bool(code & 32)
            at, place = at + 1, place + 1
            if not more and code & 16:
                value |= -1 << (5 * place)
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(segmentation["size"][::-1]).T


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_run_lengths_come_back(share):
    generator = np.random.default_rng(1)
    for size in ((1, 1), (7, 5), (90, 160)):
        mask = generator.random(size) < share
        counts = run_lengths(mask)
        assert sum(counts) == mask.size
        assert sum(counts[1::2]) == mask.sum()
        encoded = {"size": list(size), "counts": compressed(counts)}
        np.testing.assert_array_equal(coco_decoded(encoded), mask)
        if importlib.util.find_spec("pycocotools"):
            from pycocotools import mask as tools

            np.testing.assert_array_equal(tools.decode(encoded), mask)
            assert tools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode() == encoded["counts"]


def test_masks_of_all_kinds(fake_scene, moving_square_mask):
    scene = fake_scene(n=3)
    masks = [2 * moving_square_mask(i).astype(np.uint8) for i in range(3)]
    masks[1][:] = 0
    for i, mask in enumerate(masks):
        write_image(scene.mask_path(i), mask)
    assert main(["export", "masks", str(scene.root)]) == 0
    folder = scene.exports_dir / "masks"
    content = json.loads((folder / "coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["00000.png", "00001.png", "00002.png"]
    assert [(a["image_id"], a["track_id"]) for a in content["annotations"]] == [(0, 2), (2, 2)]
    for entry in content["annotations"]:
        mask = coco_decoded(entry["segmentation"])
        np.testing.assert_array_equal(mask, masks[entry["image_id"]] == 2)
        rows, columns = np.nonzero(mask)
        assert entry["area"] == mask.sum()
        assert entry["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    from PIL import Image

    picture = Image.open(folder / "davis" / "00002.png")
    assert picture.mode == "P"
    np.testing.assert_array_equal(np.asarray(picture), masks[2])
    np.testing.assert_array_equal(
        np.asarray(picture.convert("RGB"))[masks[2] == 2], [[0, 128, 0]] * (masks[2] > 0).sum()
    )
    np.testing.assert_array_equal(imageio.imread(folder / "labels" / "00002.png"), masks[2])
    # The palette's published entries: teal is 6, bright red 9, the last one 255 (PASCAL VOC).
    assert davis_palette()[[6, 9, 255]].tolist() == [[0, 128, 128], [192, 0, 0], [224, 224, 192]]


@pytest.fixture
def moving_square_mask():
    from tests.decompose.conftest import truth_mask

    return truth_mask


# --- films -----------------------------------------------------------------------------------------------------------
def soft_disc(count: int = 6, size: tuple[int, int] = (48, 65)) -> list[np.ndarray]:
    """A red disc with a soft edge that moves to the right; black where alpha is 0."""
    v, u = np.indices(size)
    frames = []
    for i in range(count):
        alpha = ((14 - np.hypot(u - 20 - 3 * i, v - 24)) / 6).clip(0, 1)
        colour = np.where(alpha[..., None] > 0, [220, 40, 60], 0)
        frames.append(np.dstack([colour, alpha * 255]).round().astype(np.uint8))
    return frames


def decoded_by_ffmpeg(path, decoder: list[str]) -> np.ndarray:
    """RGBA frames by the program ffmpeg, which has libraries of its own."""
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()
    command = [program, "-v", "error", *decoder, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgba", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, 48, 65, 4)


@pytest.mark.parametrize(("kind", "decoder"), [("webm", ["-c:v", "libvpx-vp9"]), ("mov", [])])
def test_films_keep_soft_alpha(tmp_path, kind, decoder):
    frames = soft_disc()
    path = write_film(tmp_path / "disc", frames, 12.0, kind)
    found = decoded_by_ffmpeg(path, decoder)
    assert len(found) == len(frames)
    for frame, truth in zip(found, frames, strict=True):
        difference = np.abs(frame[..., 3].astype(int) - truth[..., 3])
        assert difference.mean() < 1.5
        assert difference.max() < 40
        # Also where alpha is small, colour is the disc's: no dark fringe.
        edge = (truth[..., 3] > 20) & (truth[..., 3] < 200)
        assert edge.sum() > 100
        assert np.abs(frame[edge][:, :3].astype(int) - [220, 40, 60]).mean() < 12


def test_colours_go_on_beyond_the_edge():
    frame = soft_disc(1)[0]
    found = bled(frame)
    np.testing.assert_array_equal(found[..., 3], frame[..., 3])
    np.testing.assert_array_equal(found[..., :3].reshape(-1, 3), np.broadcast_to([220, 40, 60], (48 * 65, 3)))
    empty = np.zeros((2, 2, 4), np.uint8)
    np.testing.assert_array_equal(bled(empty), empty)


@pytest.mark.parametrize("kind", ["mp4", "gif", "pictures"])
def test_films_without_alpha_are_read_by_imageio(tmp_path, kind):
    frames = soft_disc()
    path = write_film(tmp_path / "disc", frames, 12.5, kind)
    if kind == "pictures":
        found = np.stack([imageio.imread(file) for file in sorted(path.iterdir())])
        np.testing.assert_array_equal(found, frames)
        return
    found = imageio.imread(path, plugin="pillow" if kind == "gif" else "pyav")[..., :3]
    assert found.shape[0] == 6
    truth = np.stack([over_white(frame) for frame in frames])
    error = np.abs(found[:, :48, :65].astype(int) - truth)
    assert error.mean() < 6
    if kind == "gif":
        assert imageio.immeta(path, plugin="pillow")["duration"] == 80


def test_the_rate_is_that_of_the_frames_that_were_taken(tmp_path):
    """Every second frame of a video of 24 a second; without times, what the source says."""
    scene = Scene(tmp_path / "results" / "clip")
    frames = [{"index": 2 * i, "name": "x", "time": round(2 * i / 24, 6)} for i in range(5)]
    write_json(scene.manifest_path, {"n_frames": 5, "frame_rate": 24.0, "frames": frames})
    assert frame_rate(scene) == 12
    write_json(scene.manifest_path, {"n_frames": 5, "frame_rate": 30.0})
    assert frame_rate(Scene(scene.root)) == 30
