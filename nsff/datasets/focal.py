"""A guess of the focal length from what cameras write beside their pictures: EXIF of images, metadata of videos.

Notation. A guess is the focal length over the diagonal of the frame, which no reduction or turn of the frame changes.
Focal lengths equivalent to those of 35 mm film are over its diagonal of 43.27 mm (CIPA DCG-001). A guess only: videos
are cropped and steadied in ways that nobody writes down.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from nsff.files.reading import check_file

FILM_DIAGONAL = math.hypot(36, 24)
PLAUSIBLE = (0.2, 20.0)
"""Focal lengths over the diagonal (9 to 870 mm on film); an entry outside is taken for a mistake, not for a lens."""
QUICKTIME = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
# EXIF 2.32: directory of the camera's own tags, and the tags read from it.
EXIF, FOCAL, FOCAL_35MM, COLUMNS, ROWS, X_RESOLUTION, UNIT = 0x8769, 0x920A, 0xA405, 0xA002, 0xA003, 0xA20E, 0xA210
MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
"""Length of the unit in which the resolution of the sensor is given, by its EXIF code."""


def focal_of_picture(file: Path) -> float | None:
    """Focal length over the diagonal by EXIF: equivalent to film, or in mm with the sensor's resolution; else None."""
    from PIL import Image

    try:
        check_file(file)
        with Image.open(file) as picture:
            tags, size = dict(picture.getexif().get_ifd(EXIF)), picture.size
    except Exception:  # the picture itself is read elsewhere; damaged notes beside it say nothing
        return None
    equivalent = _number(tags.get(FOCAL_35MM))
    if equivalent:
        return _plausible(equivalent / FILM_DIAGONAL)
    focal, resolution = _number(tags.get(FOCAL)), _number(tags.get(X_RESOLUTION))
    unit = MILLIMETRES.get(int(_number(tags.get(UNIT)) or 2))
    if not focal or not resolution or unit is None:
        return None
    # The resolution counts pixels as they were taken; the picture may have been reduced since.
    columns, rows = _number(tags.get(COLUMNS)) or size[0], _number(tags.get(ROWS)) or size[1]
    return _plausible(focal * resolution / unit / math.hypot(columns, rows))


def focal_of_video(*metadata: Mapping[str, str]) -> float | None:
    """The same by the entries of a video's container and stream, where a phone wrote them (Apple's)."""
    for entries in metadata:
        found = re.search(r"\d+(\.\d+)?", entries.get(QUICKTIME, ""))  # some write 26, some 26.00mm
        if found:
            return _plausible(float(found.group()) / FILM_DIAGONAL)
    return None


def _number(value: object) -> float | None:
    """The value of an EXIF entry; None where it is missing, no number, or 0 (which means unknown)."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _plausible(ratio: float) -> float | None:
    return ratio if PLAUSIBLE[0] <= ratio <= PLAUSIBLE[1] else None
