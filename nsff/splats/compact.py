"""A scene of Gaussians with their motion in one small file, which a page in a browser reads by itself.

The layout is in docs/formats.md#compact-splats; whoever changes it raises VERSION. Gaussians are written in another
order than they have (nsff.splats.quantise.morton_order), and come back within the bounds that nsff.splats.quantise
gives.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nsff.errors import StageError
from nsff.files.io import atomic_path
from nsff.files.reading import check_file, check_unpacked, reading
from nsff.splats.quantise import (
    Grid,
    Range,
    from_residuals,
    halves,
    joined,
    logarithms,
    morton_order,
    residuals,
    to_bytes,
    to_grid,
    to_range,
    to_rotations,
)
from nsff.splats.scene import COLOURS, MovingSplats, SplatCameras, SplatScene, SplatSet

SUFFIX = ".splats4d"
MAGIC = b"NSFFSPL1"
FORMAT, VERSION = "nsff splats", 1
TYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32")
ALIGNMENT = 4
"""Bytes at whose multiples arrays begin, in the unpacked file."""


def write_compact(path: Path, scene: SplatScene) -> int:
    """Writes ``scene`` (docs/formats.md#compact-splats); returns the file's size in bytes."""
    packed = gzip.compress(encode(scene), compresslevel=9, mtime=0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed)
    return len(packed)


def read_compact(path: Path) -> SplatScene:
    """Reads a compact file; raises StageError that names it where it is missing, damaged or of another version."""
    with reading(path, "export the scene again", message="is no compact file of splats"):
        size = check_file(path)
        packed = Path(path).read_bytes()
        unpacked = int.from_bytes(packed[-4:], "little")  # gzip's own record of the size (RFC 1952)
        check_unpacked(unpacked, size)
        unpacker = zlib.decompressobj(wbits=31)
        content = unpacker.decompress(packed, unpacked + 1)
        if len(content) != unpacked or not unpacker.eof:
            raise ValueError("its end is missing")
        return decode(content, path)


# --- the unpacked file -------------------------------------------------------------------------------------------
def encode(scene: SplatScene) -> bytes:
    """The file before compression: MAGIC, length of the header, header, arrays."""
    arrays: dict[str, np.ndarray] = {}
    header: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "n_frames": scene.n_frames, "frame_rate": scene.frame_rate,
        "objects": {str(n): scene.object_names.get(n, "") for n in scene.object_numbers},
    }  # fmt: skip
    for name, part in (("static", scene.static), ("moving", scene.moving)):
        header[name], own = _encode_set(part)
        arrays |= {f"{name}.{key}": array for key, array in own.items()}
    if (cameras := scene.cameras) is not None:
        header |= {"height": cameras.height, "width": cameras.width}
        arrays |= {"cameras.intrinsics": cameras.intrinsics, "cameras.world_to_camera": cameras.world_to_camera}
    header["arrays"], offset = {}, 0
    for name, array in arrays.items():
        header["arrays"][name] = {"type": array.dtype.name, "shape": list(array.shape), "offset": offset}
        offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    parts = [MAGIC, len(text).to_bytes(4, "little"), text]
    for array in arrays.values():
        parts += [array.astype(array.dtype.newbyteorder("<")).tobytes(), b"\0" * (-array.nbytes % ALIGNMENT)]
    return b"".join(parts)


def decode(content: bytes, path: Path) -> SplatScene:
    """The scene of an unpacked file. Raises StageError for another version, whatever is raised for a damaged one."""
    begin = len(MAGIC) + 4
    if content[: len(MAGIC)] != MAGIC:
        raise ValueError("another beginning")
    length = int.from_bytes(content[len(MAGIC) : begin], "little")
    header = json.loads(content[begin : begin + length])
    if header["version"] != VERSION:
        raise StageError(path, f"is of version {header['version']}, not {VERSION}", "export the scene again")
    body = content[begin + length :]
    arrays = {name: _array(name, entry, body) for name, entry in header["arrays"].items()}
    static, moving = (
        _decode_set(header[name], {key.partition(".")[2]: a for key, a in arrays.items() if key.startswith(f"{name}.")})
        for name in ("static", "moving")
    )
    assert isinstance(moving, MovingSplats)
    cameras = None
    if "height" in header:
        places = (arrays["cameras.intrinsics"], arrays["cameras.world_to_camera"])
        cameras = SplatCameras(*places, int(header["height"]), int(header["width"]))
    names = {int(number): str(name) for number, name in header["objects"].items() if name}
    return SplatScene(int(header["n_frames"]), static, moving, float(header["frame_rate"]), cameras, names)


def _encode_set(part: SplatSet) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Entries of the header, and arrays by name: (components, Gaussians)."""
    middle = part.path[:, part.path.shape[1] // 2] if isinstance(part, MovingSplats) else part.means
    part = part.chosen(morton_order(middle))
    places = part.path if isinstance(part, MovingSplats) else part.means[:, None]
    grid = to_grid(places.transpose(1, 2, 0), part.scales)
    low, high = halves(residuals(grid.values))
    scale, scales = to_range(logarithms(part.scales.T), np.uint8)
    header: dict[str, Any] = {"count": len(part), "window": places.shape[1], "log_scale": [scale.low, scale.step]}
    arrays = {
        "chunk_origin": grid.origin, "chunk_step": grid.step, "positions_low": low, "positions_high": high,
        "scales": scales, "quaternions": to_rotations(part.quaternions), "opacities": to_bytes(part.opacities),
        "objects": part.objects,
    }  # fmt: skip
    arrays |= {name: to_bytes(array.T) for name, array in part.arrays() if name in COLOURS}
    if isinstance(part, MovingSplats):
        for name, key, values in (
            ("reference", "reference", part.reference),
            ("span", "log_span", logarithms(part.span)),
        ):
            measure, arrays[name] = to_range(values, np.uint16)
            header[key] = [measure.low, measure.step]
        arrays["first"] = part.first
    return header, arrays


def _decode_set(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> SplatSet:
    grid = from_residuals(joined(arrays["positions_low"], arrays["positions_high"]))
    places = Grid(arrays["chunk_origin"], arrays["chunk_step"], grid).positions()
    values: dict[str, Any] = {
        "quaternions": arrays["quaternions"].T / np.float32(127), "opacities": arrays["opacities"] / np.float32(255),
        "scales": np.exp(Range(*header["log_scale"]).numbers(arrays["scales"].T)), "objects": arrays["objects"],
    }  # fmt: skip
    values |= {name: arrays[name].T / np.float32(255) for name in COLOURS if name in arrays}
    if "reference" not in arrays:
        return SplatSet(means=places[0].T, **values)
    values |= {"reference": Range(*header["reference"]).numbers(arrays["reference"]), "first": arrays["first"]}
    values |= {"span": np.exp(Range(*header["log_span"]).numbers(arrays["span"])), "path": places.transpose(2, 0, 1)}
    moving = MovingSplats(means=places[0].T, **values)
    return replace(moving, means=moving.places(moving.reference))


def _array(name: str, entry: dict[str, Any], body: bytes) -> np.ndarray:
    """An array of the body. Raises ValueError for one that does not lie within it."""
    kind, shape, offset = str(entry["type"]), [int(n) for n in entry["shape"]], int(entry["offset"])
    if kind not in TYPES or min(shape, default=0) < 0 or not 0 <= offset <= len(body) or offset % ALIGNMENT:
        raise ValueError(f"array {name} of type {kind[:20]} at {offset}")
    count = int(np.prod(shape, dtype=object))
    dtype = np.dtype(kind).newbyteorder("<")
    if count * dtype.itemsize > len(body) - offset:
        raise ValueError(f"array {name} ends beyond the file")
    return np.frombuffer(body, dtype, count, offset).reshape(shape).astype(kind)
