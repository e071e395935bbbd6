"""Video files through PyAV: any container and codec that FFmpeg reads.

Frames come in order of display with their real timestamps (variable frame rates stay variable), upright (the display
matrix of the container is applied, mirroring included), with square pixels, transparency laid over white. Frames that
are not taken are decoded but not converted, so any range is exact. Nothing but the current frame is held in memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import UInt8

from nsff.datasets.base import Frame, Source, check_range, over_white
from nsff.datasets.focal import focal_of_video
from nsff.datasets.video_guard import check_claims, declared_frames, declared_rate, decoder_options
from nsff.errors import InputError
from nsff.files.foreign import foreign
from nsff.files.reading import check_file, reading

if TYPE_CHECKING:
    import av

_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_REMUX = "the file is damaged or incomplete: copy or encode it again"


class VideoSource(Source):
    """One video file; opening it checks that it is one."""

    kind = "video"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with reading(self.path, _REMUX, InputError), self._open() as container:
            stream = _video_stream(self.path, container)
            self.count = declared_frames(self.path, stream)
            self.frame_rate = declared_rate(stream)
            seconds = _declared_duration(stream) or (container.duration or 0) / av_time_base()
            self.about = [n for n in (stream.frames, round(seconds * (self.frame_rate or 0))) if n]
            self.focal_guess = focal_of_video(stream.metadata, container.metadata)

    def _open(self) -> av.container.InputContainer:
        import av

        remedy = f"if it plays elsewhere, encode it as MP4 (H.264); otherwise {_REMUX}"
        try:
            with reading(self.path, remedy, InputError, "check input.path", "not readable as a video"):
                check_file(self.path)
                return av.open(str(self.path), metadata_errors="replace")
        except InputError as error:
            other = foreign(self.path) if self.path.is_file() else None
            if other is None:
                raise
            raise InputError(self.path, f"{error.problem}: it is {other.what}", other.remedy) from None

    def frames(self, start: int, end: int | None, stride: int) -> Iterator[Frame]:
        with reading(self.path, _REMUX, InputError, "check input.path"):
            yield from self._frames(start, end, stride)

    def _frames(self, start: int, end: int | None, stride: int) -> Iterator[Frame]:
        with self._open() as container:
            stream = _video_stream(self.path, container)
            stream.thread_type = "AUTO"
            stream.codec_context.options = decoder_options(stream.codec_context)
            count, first, last, shown = 0, 0.0, 0.0, 0.0
            for frame in self._progressive(self._decode(container, stream), stream):
                index, count = count, count + 1
                last = _seconds(frame, stream, index, self.frame_rate)
                first = last if index == 0 else first
                shown = float((frame.duration or 0) * (frame.time_base or stream.time_base or 0))
                if index >= start and (index - start) % stride == 0 and index not in self.skip:
                    if frame.is_corrupt:
                        raise InputError(
                            self.path,
                            f"frame {index} is damaged",
                            f"{_REMUX}, or leave the frame out by input.skip: [{index}]",
                        )
                    yield Frame(index, f"{self.path.name} frame {index}", last - first, self._picture(frame, stream))
                if end is not None and count >= end:
                    break
            else:
                self._check_complete(stream, count, last - first + shown)
                self.count, self.about = count, [count]
        check_range(self.path, count, start, end, stride, self.skip)

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        import av

        # FFmpeg's own VP8 and VP9 decoders drop the alpha plane; libvpx keeps it.
        decoder: Any = None
        if stream.metadata.get("alpha_mode") == "1" and stream.codec_context.name in ("vp8", "vp9"):
            name = f"libvpx-{stream.codec_context.name}" if stream.codec_context.name == "vp9" else "libvpx"
            if name in av.codecs_available:
                decoder = av.CodecContext.create(name, "r")
            else:
                self.note(f"transparency is dropped: this FFmpeg has no {name}")
        count = 0
        try:
            for packet in container.demux(stream):
                for frame in decoder.decode(packet if packet.size else None) if decoder else packet.decode():
                    yield frame
                    count += 1
        except av.FFmpegError as error:
            problem = f"cannot be decoded after {count} frames ({_reason(error)})"
            remedy = f"{_REMUX}, or set input.end to {count}" if count > 1 else _REMUX
            raise InputError(self.path, problem, remedy) from None

    def _progressive(self, frames: Iterator[Any], stream: Any) -> Iterator[Any]:
        """The same frames, interlaced ones made whole of the one field they begin with (FFmpeg's bwdif)."""
        import av

        graph: Any = None
        for frame in frames:
            if graph is None and not frame.interlaced_frame:
                yield frame
                continue
            if graph is None:
                if "bwdif" not in av.filter.filters_available:
                    remedy = "deinterlace it first: ffmpeg -i IN -vf bwdif OUT"
                    raise InputError(self.path, "is interlaced, and this FFmpeg has no filter bwdif", remedy)
                self.note("the video is interlaced: frames were deinterlaced (bwdif) and lost some detail up and down")
                graph = _deinterlacer(stream, frame)
            graph.push(frame)
            yield from _pulled(graph)
        if graph is not None:
            graph.push(None)
            yield from _pulled(graph)

    def _check_complete(self, stream: Any, count: int, covered: float) -> None:
        """A truncated file may end without an error of the decoder; what it declares then exceeds what came.

        Frames that an edit list hides are missing from the count and not from the duration; a last frame that is shown
        long is missing from the duration and not from the count. So both have to fall short, where both are declared.
        """
        seconds, declared = _declared_duration(stream), stream.frames
        short = []
        if declared:
            short.append(count < declared - max(3, 0.03 * declared))
        if seconds and self.frame_rate:
            short.append(covered < seconds - max(3 / self.frame_rate, 0.03 * seconds))
        if short and all(short):
            expected = declared or round(seconds * self.frame_rate)  # type: ignore[operator]
            remedy = f"{_REMUX}, or set input.end to {count}" if count > 1 else _REMUX
            raise InputError(self.path, f"is truncated: {count} of {expected} frames can be read", remedy)

    def _picture(self, frame: Any, stream: Any) -> UInt8[np.ndarray, "H W 3"]:
        if any(component.is_alpha for component in frame.format.components):
            image, transparent = over_white(frame.to_ndarray(format="rgba"))
            self.alpha |= transparent
        else:
            image = frame.to_ndarray(format="rgb24")
        transfer = _HDR_TRANSFERS.get(int(frame.color_trc))
        if transfer:
            self.note(f"the video is HDR ({transfer}); its colours are taken without tone mapping and look flat")
        aspect = stream.sample_aspect_ratio
        width = max(1, round(image.shape[1] * float(aspect or 1)))
        if width != image.shape[1]:
            self.note(f"pixels of aspect {aspect} were made square")
            image = cv2.resize(image, (width, image.shape[0]), interpolation=cv2.INTER_AREA)
        matrix = _display_matrix(frame)
        if matrix is not None:
            self.rotation = round(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0]))) % 360
            image = upright(image, matrix)
        return image


def _deinterlacer(stream: Any, frame: Any) -> Any:
    """A graph of FFmpeg's filters that gives one whole frame for each interlaced one; others pass as they are."""
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or stream.time_base
    )
    chain = [source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")]
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    return graph


def _pulled(graph: Any) -> Iterator[Any]:
    """Frames that have come out of a graph."""
    import av

    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            yield graph.pull()


def upright(image: UInt8[np.ndarray, "h w 3"], matrix: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    """Applies a display matrix of quarter turns and mirrors: shown (x', y') = matrix (x, y), x right, y down."""
    if abs(matrix[0, 1]) > abs(matrix[0, 0]):
        image = image.transpose(1, 0, 2)
        flip_x, flip_y = matrix[0, 1] < 0, matrix[1, 0] < 0
    else:
        flip_x, flip_y = matrix[0, 0] < 0, matrix[1, 1] < 0
    return np.ascontiguousarray(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _display_matrix(frame: Any) -> np.ndarray | None:
    """The (2,2) display matrix in the sense of ``upright``, or None where the frame has none or it is the identity."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    a, b, _, c, d = (
        np.frombuffer(bytes(data), np.int32)[:5] / 65536
    )  # 16.16 fixed point; row vectors: (x y) [[a b][c d]]
    matrix = np.array([[a, c], [b, d]])
    return None if np.allclose(matrix, np.eye(2)) or not np.abs(matrix).max() else matrix


def _video_stream(path: Path, container: Any) -> Any:
    import av

    streams = [
        stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise InputError(path, "has no video stream", "give a file with moving pictures")
    largest = max(streams, key=lambda stream: stream.width * stream.height)
    check_claims(path, largest)
    return largest


def av_time_base() -> int:
    """Units of a container's duration in one second."""
    import av

    return int(av.time_base)


def _seconds(frame: Any, stream: Any, index: int, rate: float | None) -> float:
    base = frame.time_base or stream.time_base
    if frame.pts is not None and base is not None:
        return float(frame.pts * base)
    return index / (rate or 24.0)


def _declared_duration(stream: Any) -> float | None:
    """Seconds; only of the stream itself, since sound may be longer than the pictures."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except (KeyError, ValueError):
        return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def matches(path: Path) -> bool:
    """A file is a video until opening it says otherwise."""
    return path.is_file()


def files(path: Path) -> list[Path]:
    """The file itself."""
    return [path]
