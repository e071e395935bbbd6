"""SPZ files of Gaussians, by the layout as it is published, and as an independent reader (gsply) finds them."""

import gzip
import struct

import numpy as np
import pytest

from nsff.splats.scene import SplatSet
from nsff.splats.spz import write_splats_spz

C0 = 0.28209479177387814
TURN = np.array([1, -1, -1])
"""From the world's axes to the file's."""


def some(count: int = 300, reach: float = 5.0) -> SplatSet:
    rng = np.random.default_rng(0)
    means = rng.uniform(-reach, reach, (count, 3))
    scales = np.exp(rng.uniform(-8, 1, (count, 3)))
    return SplatSet(
        means, rng.normal(size=(count, 4)), scales, rng.uniform(0, 1, count), rng.uniform(0, 1, (count, 3)),
        np.zeros(count),
    )  # fmt: skip


def rotations(raw: bytes) -> np.ndarray:
    """Quaternions w, x, y, z, bit by bit."""
    found = []
    for packed in np.frombuffer(raw, "<u4").tolist():
        largest, rest, values = packed >> 30, packed, {}
        for index in reversed([i for i in range(4) if i != packed >> 30]):
            size, negative = rest & 511, rest >> 9 & 1
            values[index] = (-1) ** negative * np.sqrt(0.5) * size / 511
            rest >>= 10
        values[largest] = np.sqrt(1 - sum(value**2 for value in values.values()))
        found.append([values[3], values[0], values[1], values[2]])
    return np.array(found)


@pytest.mark.parametrize(("reach", "bits"), [(5.0, 16), (1000.0, 12)])
def test_what_the_bytes_say(tmp_path, reach, bits):
    splats, path = some(reach=reach), tmp_path / "a.spz"
    write_splats_spz(path, splats)
    content, n = gzip.decompress(path.read_bytes()), len(splats)
    magic, version, count, degree, found, flags, reserved = struct.unpack("<IIIBBBB", content[:16])
    assert (magic, version, count, degree, flags, reserved) == (0x5053474E, 3, n, 0, 0, 0)
    assert found >= bits
    assert len(content) == 16 + n * (9 + 1 + 3 + 3 + 4)
    means = [int.from_bytes(content[16 + 3 * i : 19 + 3 * i], "little", signed=True) for i in range(3 * n)]
    np.testing.assert_allclose(np.reshape(means, (n, 3)) / 2**found * TURN, splats.means, atol=0.51 / 2**found)
    rest = np.frombuffer(content[16 + 9 * n : 16 + 16 * n], np.uint8).astype(float)
    np.testing.assert_allclose(rest[:n] / 255, splats.opacities, atol=0.51 / 255)
    colours = 0.5 + C0 * (rest[n : 4 * n] / 255 - 0.5) / 0.15
    np.testing.assert_allclose(colours.reshape(n, 3), splats.colours, atol=0.51 / 135)
    np.testing.assert_allclose(rest[4 * n :].reshape(n, 3) / 16 - 10, np.log(splats.scales), atol=0.51 / 16)
    unit = splats.quaternions / np.linalg.norm(splats.quaternions, axis=1, keepdims=True)
    angle = 2 * np.arccos(np.abs((rotations(content[16 + 16 * n :]) * [1, *TURN] * unit).sum(1)).clip(0, 1))
    assert np.degrees(angle).max() < 0.25


def test_what_another_reader_finds(tmp_path):
    gsply = pytest.importorskip("gsply")
    splats, path = some(), tmp_path / "a.spz"
    write_splats_spz(path, splats)
    found = gsply.read_spz(path)
    np.testing.assert_allclose(found.means * TURN, splats.means, atol=1e-5)
    np.testing.assert_allclose(found.scales, np.log(splats.scales), atol=0.51 / 16)
    np.testing.assert_allclose(0.5 + C0 * found.sh0.reshape(-1, 3), splats.colours, atol=0.51 / 135)
    unit = splats.quaternions / np.linalg.norm(splats.quaternions, axis=1, keepdims=True)
    assert np.abs((found.quats * [1, *TURN] * unit).sum(1)).min() > 0.9999


def test_no_gaussians(tmp_path):
    write_splats_spz(tmp_path / "none.spz", SplatSet.empty())
    assert len(gzip.decompress((tmp_path / "none.spz").read_bytes())) == 16
