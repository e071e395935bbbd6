"""Frames that a clip should not have: masks, blank and dark ones, combs, repeats, fewer bits than stored, odd times."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from nsff.config import InputConfig
from nsff.datasets import run_ingest
from nsff.datasets.base import Frame, Source
from nsff.datasets.quality import QualityMeter, fitting_stride, judge
from nsff.errors import InputError
from nsff.scene import Scene


def ingested(root: Path, path: Path, **settings) -> Scene:
    scene = Scene(root / "scene")
    run_ingest(scene, InputConfig(path=str(path), **settings))
    return scene


def folder(root: Path, images, picture_writer: Callable, pattern: str = "{:03d}.png") -> Path:
    for i, image in enumerate(images):
        picture_writer(root / pattern.format(i), image)
    return root


# --- bits ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("grey", [False, True])
def test_fewer_bits_than_are_stored(tmp_path: Path, tiny_clip, picture_writer: Callable, bits: int, grey: bool):
    """The first frame alone would fit fewer bits: all are scaled alike."""
    own = [image[..., 0] if grey else image for image in tiny_clip.frames]
    full = 2**bits - 1
    images = [np.round(image.astype(float) * full / 255).astype(np.uint16) for image in own]
    images[0] //= 8
    images[3].flat[0] = full
    scene = ingested(tmp_path, folder(tmp_path / "in", images, picture_writer))
    expected = np.stack([own[5]] * 3, axis=2) if grey else own[5]
    assert np.abs(scene.frame(5).astype(int) - expected).max() <= 1
    assert np.abs(scene.frame(0).astype(int) * 8 - (np.stack([own[0]] * 3, 2) if grey else own[0])).max() <= 12
    assert (f"hold {bits} bits" in scene.manifest["notes"][0]) == (bits < 16)


def test_dark_pictures_of_eight_bits_spread_over_sixteen_stay_dark(tmp_path: Path, tiny_clip, picture_writer: Callable):
    images = [(image // 16).astype(np.uint16) * 257 for image in tiny_clip.frames]
    scene = ingested(tmp_path, folder(tmp_path / "in", images, picture_writer))
    np.testing.assert_array_equal(scene.frame(2), tiny_clip.frames[2] // 16)


def test_transparency_beside_fewer_bits(tmp_path: Path, tiny_clip, picture_writer: Callable):
    images = []
    for image in tiny_clip.frames:
        alpha = np.full((*image.shape[:2], 1), 65535, np.uint16)
        alpha[:10] = 0
        images.append(np.concatenate([image.astype(np.uint16) * 4, alpha], axis=2))
    image = ingested(tmp_path, folder(tmp_path / "in", images, picture_writer)).frame(1)
    assert (image[:10] == 255).all()
    assert np.abs(image[10:].astype(int) - tiny_clip.frames[1][10:]).max() <= 1


# --- blank, dark -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [0, 3, 128, 255])
def test_a_clip_that_shows_nothing_stops(tmp_path: Path, picture_writer: Callable, video_writer: Callable, value: int):
    images = np.full((8, 48, 64, 3), value, np.uint8)
    video_writer(tmp_path / "black.mkv", images, "ffv1", "bgr0")
    for path in (folder(tmp_path / "in", images, picture_writer), tmp_path / "black.mkv"):
        with pytest.raises(InputError, match="shows nothing: all 8 frames"):
            ingested(tmp_path, path)
    assert not (tmp_path / "scene" / "manifest.json").exists()


@pytest.mark.parametrize(("divisor", "verdict"), [(4, "doubtful"), (8, "doubtful"), (30, "poor")])
def test_dark_clips(tmp_path: Path, tiny_clip, picture_writer: Callable, divisor: int, verdict: str):
    images = tiny_clip.frames // divisor
    summary = ingested(tmp_path, folder(tmp_path / "in", images, picture_writer)).summary("ingest")
    assert summary["verdict"] == verdict
    assert ("very dark" in summary["message"]) == (divisor > 4)


@pytest.mark.parametrize("value", [0, 255, 90])
@pytest.mark.parametrize("place", [0, 4, 7])
def test_a_blank_frame_names_itself_and_can_be_skipped(
    tmp_path: Path, tiny_renderer: Callable, picture_writer: Callable, value: int, place: int
):
    images = tiny_renderer(8, 130, 160)[0]
    images[place] = value
    path = folder(tmp_path / "in", images, picture_writer, "img_{:d}.png")
    summary = ingested(tmp_path, path).summary("ingest")
    assert summary["verdict"] == "doubtful"
    said = f"1 frame (source frame {place} (img_{place}.png)) shows nothing; leave it out by input.skip"
    assert said in summary["message"]
    assert "brightness" not in summary["message"]
    scene = ingested(tmp_path, path, skip=[place])
    assert scene.n_frames == 7
    assert scene.summary("ingest")["verdict"] == "good"
    if place > 1:
        summary = ingested(tmp_path, path, start=1).summary("ingest")
        assert f"source frame {place} (img_{place}.png)" in summary["message"]  # as input.skip counts


# --- masks among frames ----------------------------------------------------------------------------------------------
def masked(clip) -> list[np.ndarray]:
    return [image for pair in zip(clip.frames, clip.masks.astype(np.uint8) * 255, strict=True) for image in pair]


def test_masks_among_frames_by_their_pixels(tmp_path: Path, tiny_clip, picture_writer: Callable):
    with pytest.raises(InputError, match=r"8 masks among its frames \(001\.png beside 000\.png\)"):
        ingested(tmp_path, folder(tmp_path / "turns", masked(tiny_clip), picture_writer))
    after = [*tiny_clip.frames, *masked(tiny_clip)[1::2]]
    with pytest.raises(InputError, match=r"8 masks among its frames \(008\.png"):
        ingested(tmp_path, folder(tmp_path / "after", after, picture_writer))
    with pytest.raises(InputError, match="holds masks, not frames"):
        ingested(tmp_path, folder(tmp_path / "masks", masked(tiny_clip)[1::2], picture_writer))


def test_depth_among_frames_by_its_pixels(tmp_path: Path, tiny_clip, picture_writer: Callable):
    depth = [(40 * z).astype(np.uint8) for z in tiny_clip.depth]
    images = [image for pair in zip(tiny_clip.frames, depth, strict=True) for image in pair]
    with pytest.raises(InputError, match=r"grey and coloured pictures by turns \(000\.png, 001\.png\)"):
        ingested(tmp_path, folder(tmp_path / "in", images, picture_writer))


def test_grey_clips_and_single_grey_frames_are_frames(tmp_path: Path, tiny_clip, picture_writer: Callable):
    grey = [image[..., 1] for image in tiny_clip.frames]
    assert ingested(tmp_path, folder(tmp_path / "grey", grey, picture_writer)).n_frames == 8
    mixed = [*tiny_clip.frames[:4], grey[4], *tiny_clip.frames[5:]]
    assert ingested(tmp_path, folder(tmp_path / "mixed", mixed, picture_writer)).n_frames == 8


def test_cmyk_palette_and_animations(tmp_path: Path, tiny_clip, video_writer: Callable):
    for mode in ("CMYK", "P", "L", "1"):
        (tmp_path / mode).mkdir()
        for i, image in enumerate(tiny_clip.frames):
            picture = Image.fromarray(image).convert(mode)
            picture.save(tmp_path / mode / f"{i}.{'jpg' if mode == 'CMYK' else 'png'}", quality=98)
    image = ingested(tmp_path, tmp_path / "CMYK").frame(2).astype(int)
    assert np.abs(image - tiny_clip.frames[2]).mean() < 8
    for mode in ("P", "L"):
        assert ingested(tmp_path, tmp_path / mode).n_frames == 8


# --- combs -----------------------------------------------------------------------------------------------------------
def interlaced(path: Path, images: np.ndarray, codec: str = "mpeg2video") -> None:
    """Half as many frames, each with the rows of two moments, as a camcorder writes them."""
    import av

    height, width = images.shape[1:3]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"flags": "+ilme+ildct"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 8_000_000
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25)
        )
        flagged, sink = graph.add("setfield", "tff"), graph.add("buffersink")
        source.link_to(flagged)
        flagged.link_to(sink)
        graph.configure()
        for i in range(len(images) // 2):
            woven = images[2 * i].copy()
            woven[1::2] = images[2 * i + 1][1::2]
            frame = av.VideoFrame.from_ndarray(woven, format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            graph.push(frame)
            frame = graph.pull()
            frame.pict_type = 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def fast(tiny_renderer: Callable) -> np.ndarray:
    """24 frames in which much moves from one to the next."""
    return np.ascontiguousarray(np.roll(tiny_renderer(24, 144, 176)[0], 1, axis=2)[:, :, ::1])


def test_interlaced_video_is_deinterlaced(tmp_path: Path, fast: np.ndarray):
    interlaced(tmp_path / "clip.mpg", fast)
    scene = ingested(tmp_path, tmp_path / "clip.mpg")
    assert scene.n_frames == 12
    np.testing.assert_allclose(np.diff([frame["time"] for frame in scene.manifest["frames"]]), 0.04, atol=1e-3)
    assert any("deinterlaced" in note for note in scene.manifest["notes"])
    assert scene.summary("ingest")["combed"] == []
    # Each frame shows the moment of the field it begins with.
    for i in (2, 6):
        difference = [np.abs(scene.frame(i).astype(float) - fast[k]).mean() for k in (2 * i, 2 * i + 1)]
        assert difference[0] < difference[1]
    assert ingested(tmp_path, tmp_path / "clip.mpg", start=3, end=9, stride=2).n_frames == 3


def test_transparent_frames_are_laid_over_white_and_say_so(tmp_path: Path, fast: np.ndarray, picture_writer: Callable):
    alpha = np.full((*fast.shape[:3], 1), 255, np.uint8)
    alpha[:, :, :8] = 0
    scene = ingested(tmp_path, folder(tmp_path / "in", np.concatenate([fast, alpha], axis=3), picture_writer))
    assert scene.frame(0)[:, :8].min() == 255
    assert "transparent parts of the pictures were laid over white" in scene.manifest["notes"]


def test_combs_that_no_flag_tells_of(tmp_path: Path, fast: np.ndarray, picture_writer: Callable):
    shifted = np.stack([np.roll(image, 5 * i, axis=1) for i, image in enumerate(fast)])
    woven = shifted[::2].copy()
    woven[:, 1::2] = shifted[1::2, 1::2]
    summary = ingested(tmp_path, folder(tmp_path / "in", woven, picture_writer)).summary("ingest")
    assert summary["verdict"] == "poor"
    assert "12 frames (source frames 0 (" in summary["message"]
    assert "have combs of interlacing" in summary["message"]
    assert "bwdif" in summary["message"]
    assert ingested(tmp_path, folder(tmp_path / "whole", shifted, picture_writer)).summary("ingest")["combed"] == []


# --- repeats ---------------------------------------------------------------------------------------------------------
def noisy(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A repeat as a codec leaves it: some blocks changed by a level or two."""
    blocks = generator.random((image.shape[0] // 4 + 1, image.shape[1] // 4 + 1, 1)) < 0.2
    change = np.kron(blocks, np.ones((4, 4, 1)))[: image.shape[0], : image.shape[1]]
    return np.clip(image + change * generator.integers(-1, 2), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("stride", [2, 3, 4, 5, 8])
def test_repeats_above_half_are_all_found_and_the_stride_named(tiny_renderer: Callable, stride: int):
    generator = np.random.default_rng(0)
    meter = QualityMeter()
    frames = tiny_renderer(12)[0]
    for image in frames:
        for k in range(stride):
            meter.add(image if k == 0 else noisy(image, generator))
    found = meter.values()
    assert found["duplicates"] == [i for i in range(12 * stride) if i % stride]
    assert found["fitting_stride"] == stride
    verdict, complaints = judge(12 * stride, 480, found)
    assert verdict == ("poor" if stride > 2 else "doubtful")
    assert f"set input.stride: {stride}" in complaints[0]
    assert f"set input.stride: {2 * stride}" in judge(12 * stride, 480, found, stride=2)[1][0]


def test_repeats_that_no_stride_fits(tiny_renderer: Callable):
    """24 frames a second in a file of 60: 3, 2, 3, 2 ... of each."""
    meter = QualityMeter()
    for i, image in enumerate(tiny_renderer(16)[0]):
        for _ in range(2 + (i + 1) % 2):
            meter.add(image)
    found = meter.values()
    assert len(found["duplicates"]) == 40 - 16
    assert found["fitting_stride"] is None
    verdict, complaints = judge(40, 480, found)
    assert verdict == "poor"
    assert "mpdecimate" in complaints[0]


def test_a_slow_clip_with_one_cut_has_no_repeats(tiny_renderer: Callable):
    frames = tiny_renderer(24, 48, 64)[0].astype(float)
    slow = [frames[0] * (1 - t) + frames[1] * t for t in np.linspace(0, 1, 30)]
    meter = QualityMeter()
    for image in [*slow, 255 - frames[3]]:
        meter.add(np.round(image).astype(np.uint8))
    assert meter.frozen() == []
    assert fitting_stride([], 10) is None
    assert fitting_stride([3, 9], 12) is None


# --- times -----------------------------------------------------------------------------------------------------------
def test_times_that_do_not_increase_reach_verdict_and_manifest(
    tmp_path: Path, tiny_clip, monkeypatch: pytest.MonkeyPatch
):
    class Backwards(Source):
        kind = "video"

        def frames(self, start, end, stride):
            for i, image in enumerate(tiny_clip.frames):
                yield Frame(i, f"frame {i}", [0, 0.1, 0.2, 0.2, 0.4, 0.3, 0.6, 0.7][i], image)

    monkeypatch.setattr("nsff.datasets.ingest.open_source", lambda path, kind: Backwards(path))
    scene = ingested(tmp_path, tmp_path)
    said = "timestamps do not increase at 2 frames (source frames 3, 5)"
    assert any(said in note for note in scene.manifest["notes"])
    assert said in scene.summary("ingest")["message"]
    assert scene.summary("ingest")["verdict"] != "good"


# --- files that are not what their names say -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1--0.png", "git annex get"),
        (b"\0\0\0\x18ftypheic" + bytes(90), "picture in HEIC"),
    ],
)
def test_a_picture_that_is_something_else(tmp_path: Path, tiny_clip, picture_writer: Callable, content, message):
    path = folder(tmp_path / "in", tiny_clip.frames, picture_writer)
    (path / "003.png").write_bytes(content)
    with pytest.raises(InputError, match=r"003\.png: is no readable image") as caught:
        ingested(tmp_path, path)
    assert message in str(caught.value)
    assert "input.skip: [3]" in caught.value.remedy
    assert ingested(tmp_path, path, skip=[3]).n_frames == 7


def test_unpadded_unicode_upper_case_and_two_frames(tmp_path: Path, tiny_clip, picture_writer: Callable):
    path = tmp_path / "Été à la mer №1" / "images"
    for i in range(100):
        ok, data = cv2.imencode(".png", tiny_clip.frames[i % 8])
        assert ok
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{i + 1}.PNG").write_bytes(data.tobytes())
    scene = ingested(tmp_path, path.parent)
    assert [frame["name"] for frame in scene.manifest["frames"]] == [f"{i + 1}.PNG" for i in range(100)]
    scene = ingested(tmp_path, path, end=2)
    assert scene.n_frames == 2
    assert "2 frames are few" in scene.summary("ingest")["message"]


@pytest.mark.parametrize("name", ["cover.png", "preview.jpg"])
def test_a_picture_without_a_number_among_frames_is_told(
    tmp_path: Path, tiny_clip, picture_writer: Callable, name: str
):
    path = folder(tmp_path, tiny_clip.frames, picture_writer)
    picture_writer(path / name, tiny_clip.frames[0])
    message = ingested(tmp_path, path).summary("ingest")["message"]
    assert f"{name} has no number" in message
    assert f"input.skip: [{len(tiny_clip.frames)}]" in message
