"""Folders of images: png, jpg, webp, tif, bmp; sorted naturally (2 before 10), one size.

EXIF orientation is applied, 16 bits are reduced to 8 (nsff.datasets.bit_depth), grey becomes RGB, transparency is laid
over white.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from nsff.datasets.base import (
    FOLDER_FRAME_RATE,
    Frame,
    GivenCameras,
    Source,
    check_range,
    over_white,
    same_aspect,
)
from nsff.datasets.bit_depth import bits_of, reduced
from nsff.datasets.focal import focal_of_picture
from nsff.datasets.frame_names import check_pictures, check_series, missing_numbers, strangers
from nsff.datasets.listing import (
    SUFFIXES,
    arranged,
    frame_files,
    images_folder,
    list_images,
    natural_key,
    visible,
)
from nsff.errors import InputError
from nsff.files.decoding import LARGEST_FILE, decode
from nsff.files.foreign import RECOGNISED_BYTES, foreign_bytes
from nsff.files.reading import check_file, read_bytes, reading

__all__ = ["FrameFolder", "apply_orientation", "exif_orientation", "list_images", "natural_key", "read_picture"]

# EXIF orientation: (transpose, flip left-right, flip top-bottom, degrees counterclockwise).
_ORIENTATIONS = {
    1: (False, False, False, 0), 2: (False, True, False, 0), 3: (False, True, True, 180), 4: (False, False, True, 0),
    5: (True, False, False, 90), 6: (True, True, False, 270), 7: (True, True, True, 270), 8: (True, False, True, 90),
}  # fmt: skip


class FrameFolder(Source):
    """A folder of images, or a folder with them in images/."""

    kind = "frames"
    _bits: int | None = None
    _taken: Sequence[int] = ()
    _as_stored = False
    """Whether EXIF orientation is left alone."""

    def __init__(self, path: Path, images: Path | None = None, files: Sequence[Path] | None = None) -> None:
        super().__init__(path)
        if files is not None:  # a list of the source's own, in order
            self.folder, self.files, self.count = files[0].parent, list(files), len(files)
            self.focal_guess = focal_of_picture(self.files[0])
            return
        self.folder = images or images_folder(self.path)
        if not self.folder.is_dir():
            raise InputError(self.folder, "no such folder", "check input.path")
        self.notes += check_pictures(self.folder)
        self.files, doubt = arranged(list_images(self.folder))
        self.count = len(self.files)
        if not self.files:
            others = sorted(file.name for file in visible(self.folder))[:3]
            problem = "has no images" + (f"; it holds {', '.join(others)}" if others else "")
            raise InputError(self.folder, problem, f"give a folder of images ({', '.join(SUFFIXES)}), or a video file")
        if doubt:
            problem = f"has names whose numbers can be read in two ways: {doubt}"
            raise InputError(self.folder, problem, "give all numbers as many digits (frame_0.50, frame_0007)")
        self._check_names()
        self.focal_guess = focal_of_picture(self.files[0])
        ignored = sum(1 for file in self.folder.iterdir() if file.is_file()) - len(frame_files(self.folder))
        if ignored:
            self.note(f"{ignored} files in {self.folder.name}/ that are no images were left out")

    def _check_names(self) -> None:
        stems: dict[str, Path] = {}
        for file in self.files:
            if file.stem in stems:
                raise InputError(
                    file, f"has the same name as {stems[file.stem].name}", "keep one image per frame in the folder"
                )
            stems[file.stem] = file
        check_series(self.folder, self.files)
        if odd := strangers(self.files):
            at = [index for index, file in enumerate(self.files) if file.name in odd]
            said = f"{odd[0]} has no number, as the other frames do: if it is none (a cover, a mask), leave it out"
            self.complain(f"{said} (input.skip: {at})")
        missing = missing_numbers(self.files)
        if missing:
            some = ", ".join(map(str, missing[:4])) + (", ..." if len(missing) > 4 else "")
            self.complain(f"the numbers of the frames have gaps ({some} missing), where more time passes")

    def frame_names(self) -> list[str] | None:
        return [file.stem for file in self.files]

    def use_cameras(self, given: GivenCameras | None) -> None:
        """Given cameras are of the pixels as stored, unless only the turned picture has their shape."""
        self._as_stored = given is not None
        if given is None:
            return
        for file in self.files:
            orientation = exif_orientation(file)
            if orientation != 1:
                size = picture_size(file)
                shape = (given.cameras.height, given.cameras.width)
                if size is not None and not same_aspect(shape, size) and same_aspect(shape, size[::-1]):
                    self._as_stored = False
                else:
                    self.note("EXIF orientation is not applied: given cameras are of the pixels as they are stored")
                return

    def frames(self, start: int, end: int | None, stride: int) -> Iterator[Frame]:
        check_range(self.folder, len(self.files), start, end, stride, self.skip)
        taken = [i for i in range(start, len(self.files) if end is None else end, stride) if i not in self.skip]
        self._bits, self._taken = None, taken
        for index in taken:
            file = self.files[index]
            try:
                image = self._read(file)
            except InputError as error:
                remedy = f"{error.remedy}, or leave the frame out (input.skip: [{index}])"
                raise InputError(error.subject, error.problem, remedy) from None
            yield Frame(index, file.name, index / FOLDER_FRAME_RATE, image)

    def _read(self, file: Path) -> UInt8[np.ndarray, "H W 3"]:
        image = read_picture(file)
        if image.dtype == np.uint16:
            image = reduced(image, self._find_bits())
        if image.shape[2] == 4:
            image, transparent = over_white(image)
            self.alpha |= transparent
        orientation = 1 if self._as_stored else exif_orientation(file)
        upright, degrees = apply_orientation(image, orientation)
        self.rotation = degrees or self.rotation
        # A quarter turn of an oblong picture shows in its shape; any other turn does not.
        self.turned_unseen |= orientation not in (1, 6, 8) or (orientation != 1 and image.shape[0] == image.shape[1])
        return upright

    def _find_bits(self) -> int:
        """Bits that the colours of all frames use (nsff.datasets.bit_depth); reads them all once."""
        if self._bits is None:
            self._bits, largest = bits_of(self._deep_pictures())
            held = f", which hold {self._bits} bits (largest value {largest})," if self._bits < 16 else ""
            self.note(f"16-bit images{held} were reduced to 8 bits")
        return self._bits

    def _deep_pictures(self) -> Iterator[np.ndarray]:
        for index in self._taken:
            with contextlib.suppress(InputError):  # told when it is this frame's turn
                image = read_picture(self.files[index])
                if image.dtype == np.uint16:
                    yield image


def read_picture(file: Path) -> np.ndarray:
    """(H,W,3) RGB or (H,W,4) RGBA, uint8 or uint16, as stored (before EXIF orientation); InputError if unreadable."""
    message = "is no readable image"
    with reading(file, "replace or remove the file", InputError, "check input.path", message):
        data = read_bytes(file, LARGEST_FILE)
        other = foreign_bytes(data[:RECOGNISED_BYTES])
        try:
            image = decode(data, cv2.IMREAD_UNCHANGED)
        except ValueError as error:
            problem = f"{message} ({error})" + (f": it is {other.what}" if other else "")
            raise InputError(file, problem, other.remedy if other else "replace or remove the file") from None
    if image.dtype not in (np.uint8, np.uint16):
        raise InputError(file, f"has pixels of type {image.dtype}", "store frames with 8 or 16 bits per channel")
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 2:
        return np.concatenate([image[..., :1]] * 3 + [image[..., 1:]], axis=2)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def picture_size(file: Path) -> tuple[int, int] | None:
    """(height, width) as stored, by the header alone; None where that is not readable."""
    from PIL import Image

    try:
        check_file(file)
        with Image.open(file) as picture:
            return picture.height, picture.width
    except Exception:  # the picture itself is read elsewhere, which says what is wrong
        return None


def exif_orientation(file: Path) -> int:
    """EXIF orientation 1..8; 1 where the file has none."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            value = picture.getexif().get(0x0112, 1)
    except Exception:  # the picture itself is read elsewhere; damaged notes beside it say nothing
        return 1
    return value if isinstance(value, int) and value in _ORIENTATIONS else 1


def apply_orientation(image: np.ndarray, orientation: int) -> tuple[np.ndarray, int]:
    """The upright image and the degrees counterclockwise it was turned by. Source: Exif 2.32, tag 0x0112."""
    transpose, left_right, top_bottom, degrees = _ORIENTATIONS[orientation]
    image = image.transpose(1, 0, 2) if transpose else image
    image = image[:, ::-1] if left_right else image
    image = image[::-1] if top_bottom else image
    return np.ascontiguousarray(image), degrees


def matches(path: Path) -> bool:
    """A folder with images in it or in images/."""
    return path.is_dir() and bool(frame_files(images_folder(path)))


def files(path: Path) -> list[Path]:
    """The files of such a folder that are read."""
    return frame_files(images_folder(path))
