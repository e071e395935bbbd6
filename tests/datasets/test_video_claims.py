"""Headers of videos that claim what no file holds: the frames are what is believed, or nothing is."""

import struct

import av
import numpy as np
import pytest

from nsff.config import InputConfig
from nsff.datasets import run_ingest
from nsff.datasets.video import VideoSource
from nsff.errors import InputError
from nsff.scene import Scene


@pytest.fixture
def avi(tmp_path, tiny_renderer):
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in tiny_renderer(8, 48, 64)[0]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    assert VideoSource(path).count == 8
    return path


def changed(path, chunk, offset, value):
    """The header's field of 32 bits at ``offset`` of the body of ``chunk``, little-endian."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(chunk) + 8 + offset, value)
    path.write_bytes(data)


@pytest.mark.parametrize("count", [2**31 - 1, 2**31, 2**32 - 1, 10**6])
def test_a_count_that_the_bytes_cannot_hold(tmp_path, avi, count):
    changed(avi, b"avih", 16, count)
    changed(avi, b"strh", 32, count)
    source = VideoSource(avi)
    assert source.count is None
    assert len(list(source.frames(0, 8, 1))) == 8
    with pytest.raises(InputError, match=r"clip\.avi: is truncated: 8 of \d+ frames can be read"):
        list(source.frames(0, None, 1))
    run_ingest(Scene(tmp_path / "scene"), InputConfig(path=str(avi), end=8))
    assert Scene(tmp_path / "scene").n_frames == 8


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 2**31 - 1), (60_000, 60_000), (0, 48), (2**32 - 1, 1)])
def test_frames_that_are_larger_than_any(avi, width, height):
    changed(avi, b"strf", 4, width)
    changed(avi, b"strf", 8, height)
    sizes, told = set(), "clip.avi"
    try:
        sizes = {frame.image.shape[:2] for frame in VideoSource(avi).frames(0, None, 1)}
    except InputError as error:
        told = str(error)
    assert "clip.avi" in told
    assert sizes <= {(48, 64)}  # the stream itself says its size, and that may be believed


@pytest.mark.parametrize(("scale", "rate"), [(0, 0), (1, 2**32 - 1), (2**32 - 1, 1), (0, 25)])
def test_rates_that_are_none(avi, scale, rate):
    changed(avi, b"strh", 20, scale)
    changed(avi, b"strh", 24, rate)
    source, frames, told = None, [], "clip.avi"
    try:
        source = VideoSource(avi)
        frames = list(source.frames(0, None, 1))
    except InputError as error:
        told = str(error)
    assert "clip.avi" in told
    assert source is None or source.frame_rate is None or 0.01 <= source.frame_rate <= 10_000
    assert np.isfinite([frame.time for frame in frames]).all()
