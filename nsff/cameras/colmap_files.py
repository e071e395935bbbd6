"""Whether the binary files of a COLMAP model are whole: every count in them is compared with the bytes that follow.

COLMAP's own reader believes the counts: a file that was cut or emptied makes it read on past the end for ever. The
layouts, little-endian without padding (COLMAP, "Output format"; src/colmap/scene/reconstruction_io_binary.cc):

cameras.bin   n × (camera u32, model i32, width u64, height u64, parameters f64 × those of the model)
images.bin    n × (image u32, quaternion f64 × 4, translation f64 × 3, camera u32, name to its 0 byte,
              m u64, m × (x f64, y f64, point u64))
points3D.bin  n × (point u64, x y z f64, red green blue u8, error f64, m u64, m × (image u32, keypoint u32))
rigs.bin      n × (rig u32, s u32, (type i32, sensor u32), (s - 1) × (type i32, sensor u32, has pose u8, pose f64 × 7))
frames.bin    n × (frame u32, rig u32, pose f64 × 7, m u32, m × (type i32, sensor u32, data u64))
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from nsff.files.checksums import verify
from nsff.files.reading import check_file, read_bytes, reason

REMEDY = "make it again with COLMAP, or set input.cameras: estimate"
PARAMETERS = (3, 4, 4, 5, 8, 8, 12, 5, 4, 5, 12, 16, 4, 5, 3, 4, 6, 2)
"""Numbers of parameters of COLMAP's camera models, by their numbers."""
TEXT = 2**31


class _Bytes:
    """A file of bytes that is walked from its start; ValueError where it ends too soon."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, layout: str) -> tuple[int, ...]:
        fields = struct.Struct(f"<{layout}")
        self.skip(fields.size)
        return fields.unpack_from(self.data, self.at - fields.size)

    def skip(self, size: int, count: int = 1) -> None:
        if size * count > len(self.data) - self.at:
            raise ValueError(f"it claims {size * count} more bytes at byte {self.at} of {len(self.data)}")
        self.at += size * count

    def skip_text(self) -> None:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise ValueError(f"a name that does not end, at byte {self.at} of {len(self.data)}")
        self.at = end + 1


def _camera(data: _Bytes) -> None:
    model = data.take("IiQQ")[1]
    if not 0 <= model < len(PARAMETERS):
        raise ValueError(f"camera model {model} is unknown")
    data.skip(8, PARAMETERS[model])


def _image(data: _Bytes) -> None:
    data.skip(64)
    data.skip_text()
    data.skip(24, data.take("Q")[0])


def _point(data: _Bytes) -> None:
    data.skip(43)
    data.skip(8, data.take("Q")[0])


def _rig(data: _Bytes) -> None:
    sensors = data.take("II")[1]
    for number in range(sensors):
        data.skip(8)
        if number and data.take("B")[0]:
            data.skip(56)


def _frame(data: _Bytes) -> None:
    data.skip(64)
    data.skip(16, data.take("I")[0])


LAYOUTS: dict[str, tuple[Callable[[_Bytes], None], int]] = {
    "cameras.bin": (_camera, 24),
    "images.bin": (_image, 73),
    "points3D.bin": (_point, 51),
    "rigs.bin": (_rig, 16),
    "frames.bin": (_frame, 68),
}
"""For each file how one of its entries is walked over, and the fewest bytes of one."""


def check_model_files(folder: Path) -> None:
    """ValueError that names the first file of a model that is not whole; text is only looked at for its kind and size.

    To be called within nsff.files.reading.reading. A file that changed after its stage wrote it is a StageError.
    """
    for file in model_files(folder):
        verify(file)
        try:
            if file.suffix == ".txt":
                check_file(file, TEXT)
            else:
                check_counts(read_bytes(file), *LAYOUTS[file.name])
        except (OSError, ValueError) as error:
            raise ValueError(f"{file.name}: {reason(error)}") from None


def model_files(folder: Path) -> Iterator[Path]:
    """The files of a model in COLMAP's formats that are there."""
    for name in LAYOUTS:
        for file in (folder / name, (folder / name).with_suffix(".txt")):
            if file.exists():
                yield file


def check_counts(data: bytes, walk: Callable[[_Bytes], None], least: int) -> None:
    """ValueError where the entries that a file claims and its bytes do not end together."""
    content = _Bytes(data)
    (count,) = content.take("Q")
    if count * least > len(data):
        raise ValueError(f"it claims {count} entries in {len(data)} bytes")
    for _ in range(count):
        walk(content)
    if content.at != len(data):
        raise ValueError(f"{len(data) - content.at} bytes follow its {count} entries")
