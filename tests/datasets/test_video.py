"""Videos: exact frames and times, orientation, transparency, and every way in which a file can be bad."""

from __future__ import annotations

import struct
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsff.datasets.video import VideoSource
from nsff.errors import InputError


def read(path: Path, start: int = 0, end: int | None = None, stride: int = 1) -> list:
    return list(VideoSource(path).frames(start, end, stride))


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Writes (a, b, c, d) into the display matrix of the track header of an MP4 or MOV."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def test_lossless_frames_times_and_range(tiny_clip):
    frames = read(tiny_clip.lossless)
    np.testing.assert_array_equal([frame.image for frame in frames], tiny_clip.frames)
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(8) / 10, atol=1e-6)
    taken = read(tiny_clip.lossless, 1, 7, 2)
    assert [frame.index for frame in taken] == [1, 3, 5]
    np.testing.assert_array_equal(taken[1].image, tiny_clip.frames[3])


def test_h264_is_close(tiny_clip):
    source = VideoSource(tiny_clip.video)
    frames = list(source.frames(0, None, 1))
    assert len(frames) == 8
    assert source.frame_rate == pytest.approx(10)
    assert np.abs(np.array([frame.image for frame in frames]).astype(int) - tiny_clip.frames).mean() < 12


def test_variable_frame_rate_keeps_timestamps(tmp_path: Path, tiny_clip, video_writer: Callable):
    times = [0.0, 0.1, 0.25, 0.3, 0.5, 0.61, 0.9, 1.0]
    video_writer(tmp_path / "vfr.mkv", tiny_clip.frames, "ffv1", "bgr0", times=times)
    np.testing.assert_allclose([frame.time for frame in read(tmp_path / "vfr.mkv")], times, atol=1e-6)
    # Times count from the first source frame, also when it is not taken.
    np.testing.assert_allclose([frame.time for frame in read(tmp_path / "vfr.mkv", 4)], times[4:], atol=1e-6)


@pytest.mark.parametrize(
    ("matrix", "expected", "degrees"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1), 270),  # as phones write upright video: clockwise
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1), 90),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2), 180),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1], 180),  # mirrored
    ],
)
def test_display_matrix(tmp_path: Path, tiny_clip, video_writer: Callable, matrix, expected, degrees: int):
    path = tmp_path / "turned.mov"
    video_writer(path, tiny_clip.frames, "png", "rgb24")
    turn(path, matrix)
    source = VideoSource(path)
    frames = list(source.frames(0, None, 1))
    np.testing.assert_array_equal(frames[3].image, expected(tiny_clip.frames[3]))
    assert source.rotation == degrees


@pytest.mark.parametrize(("height", "width"), [(47, 63), (33, 48), (64, 31)])
def test_odd_sizes(tmp_path: Path, tiny_renderer: Callable, video_writer: Callable, height: int, width: int):
    frames = tiny_renderer(3, height, width)[0]
    video_writer(tmp_path / "odd.mkv", frames, "ffv1", "bgr0")
    np.testing.assert_array_equal([frame.image for frame in read(tmp_path / "odd.mkv")], frames)
    video_writer(tmp_path / "yuv.mkv", frames, "ffv1", "yuv420p")
    assert read(tmp_path / "yuv.mkv")[0].image.shape == (height, width, 3)


@pytest.mark.parametrize("count", [3, 7, 25, 61])
def test_odd_counts(tmp_path: Path, tiny_renderer: Callable, video_writer: Callable, count: int):
    frames = tiny_renderer(count, 32, 32)[0]
    for name, codec, pixels in (
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.mov", "png", "rgb24"),
    ):
        video_writer(tmp_path / name, frames, codec, pixels)
        assert len(read(tmp_path / name)) == count


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "tolerance"),
    [
        ("a.mov", "qtrle", "argb", 1),
        ("a.mov", "png", "rgba", 1),
        ("a.mkv", "ffv1", "bgra", 1),
        ("a.webm", "libvpx-vp9", "yuva420p", 30),
    ],
)
def test_transparency_over_white(tmp_path: Path, tiny_clip, video_writer: Callable, name, codec, pixels, tolerance):
    alpha = np.full((8, 48, 64, 1), 255, np.uint8)
    alpha[:, :24, :32] = 0
    alpha[:, 24:, :32] = 102
    video_writer(tmp_path / name, np.concatenate([tiny_clip.frames, alpha], axis=3), codec, pixels)
    source = VideoSource(tmp_path / name)
    image = next(iter(source.frames(0, None, 1))).image.astype(float)
    own = tiny_clip.frames[0].astype(float)
    assert source.alpha
    assert np.abs(image[2:20, 2:28] - 255).mean() < tolerance
    assert np.abs(image[28:, 2:28] - (0.4 * own + 0.6 * 255)[28:, 2:28]).mean() < tolerance
    assert np.abs(image[:, 36:] - own[:, 36:]).mean() < tolerance


def test_opaque_video_reports_no_alpha(tiny_clip):
    source = VideoSource(tiny_clip.lossless)
    list(source.frames(0, None, 1))
    assert not source.alpha


@pytest.mark.parametrize(("aspect", "width"), [("3/2", 96), ("1281/1280", 64)])
def test_wide_pixels_are_made_square(tmp_path: Path, tiny_clip, aspect: str, width: int):
    """An aspect that scaling a video leaves behind, less than a pixel of the width, changes nothing."""
    from fractions import Fraction

    import av

    with av.open(str(tmp_path / "wide.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        for image in tiny_clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    source = VideoSource(tmp_path / "wide.mp4")
    assert next(iter(source.frames(0, None, 1))).image.shape == (48, width, 3)
    assert [note for note in source.notes if "square" in note] == (
        [f"pixels of aspect {aspect} were made square"] if width != 64 else []
    )


@pytest.mark.parametrize(("tag", "matrix"), [(1, "ITU709"), (6, "ITU601")])
def test_colour_matrix_of_the_file_is_used(tmp_path: Path, tag: int, matrix: str):
    import av

    image = np.full((32, 32, 3), (200, 60, 30), np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.colorspace = tag
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
            frame.colorspace = tag
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    # The other matrix would be off by 15 in green.
    assert np.abs(read(tmp_path / "a.mp4")[1].image.astype(int) - image).max() <= 3


def test_gif_and_unusual_path(tmp_path: Path, tiny_clip, video_writer: Callable):
    path = tmp_path / "mes vidéos d'été" / "clip numéro 1.gif"
    path.parent.mkdir()
    video_writer(path, tiny_clip.frames, "gif", "rgb8")
    assert len(read(path)) == 8


def test_missing():
    with pytest.raises(InputError, match="no such file"):
        VideoSource(Path("/nowhere/at all.mp4"))


def test_no_video(tmp_path: Path):
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    with pytest.raises(InputError, match="not readable as a video") as caught:
        VideoSource(tmp_path / "text.mp4")
    assert "text.mp4" in str(caught.value)


def test_sound_only(tmp_path: Path):
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    with pytest.raises(InputError, match="no video stream"):
        VideoSource(tmp_path / "sound.wav")


@pytest.mark.parametrize("name", ["index last.mp4", "index first.mp4", "stream.mkv"])
def test_truncated(tmp_path: Path, tiny_renderer: Callable, video_writer: Callable, name: str):
    frames = tiny_renderer(25, 64, 64)[0]
    options = {"movflags": "faststart"} if "first" in name else {}
    video_writer(tmp_path / name, frames, "libx264", "yuv420p", options=options)
    whole = (tmp_path / name).read_bytes()
    assert len(read(tmp_path / name)) == 25
    (tmp_path / name).write_bytes(whole[: int(0.6 * len(whole))])
    with pytest.raises(InputError) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)
    assert "damaged" in str(caught.value)
    if "last" not in name:
        # The part before the damage can still be used, as the remedy says.
        assert len(read(tmp_path / name, 0, 5)) == 5


def test_edit_list_that_hides_frames(tmp_path: Path, tiny_renderer: Callable, video_writer: Callable):
    """As phones trim: all frames stay in the file, the edit list shows the last 15 of 25. That is no truncation."""
    frames = tiny_renderer(25, 64, 64)[0]
    path = tmp_path / "trimmed.mp4"
    video_writer(path, frames, "libx264", "yuv420p")
    data = bytearray(path.read_bytes())
    media, edits = data.index(b"mdhd") + 4, data.index(b"elst") + 4
    (timescale,) = struct.unpack_from(">I", data, media + 12)
    count, _, start = struct.unpack_from(">IIi", data, edits + 4)
    assert count == 1
    struct.pack_into(">Ii", data, edits + 8, 1500, start + timescale)  # 1.5 s from 1 s on
    path.write_bytes(data)
    shown = read(path)
    assert len(shown) == 15
    assert np.abs(shown[0].image.astype(int) - frames[10]).mean() < 12


def test_one_frame(tmp_path: Path, tiny_clip, video_writer: Callable):
    video_writer(tmp_path / "one.mkv", tiny_clip.frames[:1], "ffv1", "bgr0")
    with pytest.raises(InputError, match="has one frame"):
        read(tmp_path / "one.mkv")


@pytest.mark.parametrize(
    ("start", "end", "stride", "message"), [(8, None, 1, "start 8"), (2, 9, 1, "end 9"), (5, None, 4, "take one frame")]
)
def test_range_beyond_the_end(tiny_clip, start: int, end: int | None, stride: int, message: str):
    with pytest.raises(InputError, match=message):
        read(tiny_clip.video, start, end, stride)


def test_files_that_are_no_videos_are_named(tmp_path: Path):
    for content, message in ((b"", "empty"), (b"<html><body>Sign in</body></html>", "web page")):
        (tmp_path / "clip.mp4").write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            VideoSource(tmp_path / "clip.mp4")
        assert "again" in caught.value.remedy
