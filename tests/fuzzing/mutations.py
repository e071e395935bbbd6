"""What is done to the bytes of a good file; every choice is the generator's, so that a number names one mutation."""

import struct
from collections.abc import Callable

import numpy as np

EXTREMES = [0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1]
NUMBERS = [
    b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"1e30", b"9" * 400, b"9" * 5000, b"null", b"[]", b"{}", b"true",
    b'"x"', b'""', b"0.5", b"1e-300",
]  # fmt: skip
TEXTS = [
    b"", b"\n" * 9, b"[" * 3000, b'{"a":' * 2000, b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"\xe9t\xe9", b"a: &a [*a]",
]  # fmt: skip


def flipped(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    for _ in range(int(rng.integers(1, 9))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def cut(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    return bytes(data[: int(rng.integers(len(data)))])


def emptied(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    return b""


def field(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """A number in the first bytes, where headers are, becomes an extreme one."""
    size = int(rng.choice([1, 2, 4, 8]))
    at = int(rng.integers(max(1, min(len(data), 200) - size)))
    value = EXTREMES[int(rng.integers(len(EXTREMES)))] % 2 ** (8 * size)
    order = "<>"[int(rng.integers(2))]
    data[at : at + size] = struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], value)
    return bytes(data)


def spliced(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """A piece of the file, or of another one, is laid over another place."""
    source = data if rng.random() < 0.6 else others[int(rng.integers(len(others)))]
    start, at = int(rng.integers(len(source))), int(rng.integers(len(data)))
    piece = source[start : start + int(rng.integers(1, 400))]
    data[at : at + (len(piece) if rng.random() < 0.5 else 0)] = piece
    return bytes(data)


def without(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    at = int(rng.integers(len(data)))
    del data[at : at + int(rng.integers(1, 200))]
    return bytes(data)


def zeroed(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    at = int(rng.integers(len(data)))
    end = min(len(data), at + int(rng.integers(1, 512)))
    data[at:end] = bytes(end - at)
    return bytes(data)


def renumbered(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """A run of digits, as text has them, becomes another value."""
    places = [i for i, byte in enumerate(data[:20000]) if 48 <= byte < 58]
    if not places:
        return flipped(data, rng, others)
    at = end = places[int(rng.integers(len(places)))]
    while end < len(data) and chr(data[end]) in "0123456789.e-+":
        end += 1
    data[at:end] = NUMBERS[int(rng.integers(len(NUMBERS)))]
    return bytes(data)


def text(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Texts that no reader of texts likes, before the file, after it or in its place."""
    piece, way = TEXTS[int(rng.integers(len(TEXTS)))], int(rng.integers(3))
    return [piece + bytes(data), bytes(data) + piece, piece][way]


def swapped(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """The content of a file of another type."""
    return others[int(rng.integers(len(others)))]


MUTATIONS: list[Callable[[bytearray, np.random.Generator, list[bytes]], bytes]] = [
    flipped, flipped, flipped, cut, field, field, field, spliced, spliced, without, zeroed, renumbered, renumbered,
    text, swapped, emptied,
]  # fmt: skip
