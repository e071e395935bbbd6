"""Pictures of labels as people have them: lossy, soft, with alpha, with palettes, of 16 bits, and none at all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from nsff.datasets.label_values import SOFT_REMARK
from nsff.datasets.labels import ALPHA, ALPHA_ALONE, grey_levels, read_label_picture, read_labels
from nsff.datasets.priors import read_motion_mask
from nsff.datasets.truth_registry import open_truth
from nsff.errors import InputError
from nsff.files.io import write_image
from nsff.metrics.folder import score_folder
from nsff.metrics.segmentation import jaccard

SIZE = (90, 160)


def things(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Three objects, 1 to 3, two of which touch: a disc, a bar and a ring that is three pixels thin; (*size) uint8."""
    labels, scale = np.zeros(size, np.uint8), size[0] / 90
    at = lambda *values: tuple(round(scale * value) for value in values)  # noqa: E731
    cv2.circle(labels, at(45, 45), *at(25), 1, -1)
    cv2.rectangle(labels, at(60, 30), at(95, 50), 2, -1)
    cv2.circle(labels, at(125, 40), *at(22), 3, max(3, *at(3)))
    return labels


def photograph(seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    coarse = cv2.resize(generator.random((9, 16, 3)), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    return np.uint8(255 * np.clip(coarse + 0.02 * generator.standard_normal((*SIZE, 3)), 0, 1))


TWO = 255 * (things() > 0).astype(np.uint8)
INSTANCES = 80 * things()
COLOURS = np.array([[0, 0, 0], [220, 20, 60], [0, 128, 255], [250, 200, 0]], np.uint8)[things()]


def write(path: Path, image: np.ndarray, *options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    order = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[image.shape[-1] if image.ndim == 3 else 2]
    assert cv2.imwrite(str(path), image if order is None else cv2.cvtColor(image, order), list(options))
    return path


def doubled(mask: np.ndarray) -> np.ndarray:
    return cv2.resize(cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST), mask.shape[::-1])


BOX = cv2.rectangle(np.zeros((180, 320), np.uint8), (61, 40), (200, 121), 255, -1)
TWO_LEVELS = {
    "jpeg 95": (".jpg", TWO, [cv2.IMWRITE_JPEG_QUALITY, 95]),
    "jpeg 50": (".jpg", TWO, [cv2.IMWRITE_JPEG_QUALITY, 50]),
    "jpeg in colour": (".jpg", np.dstack([TWO] * 3), []),
    "jpeg, grey 200": (".jpg", TWO // 255 * np.uint8(200), []),
    "webp": (".webp", np.dstack([TWO] * 3), [cv2.IMWRITE_WEBP_QUALITY, 70]),
    "blurred": (".png", cv2.GaussianBlur(TWO, (5, 5), 0), []),
    "blurred more": (".png", cv2.GaussianBlur(TWO, (0, 0), 3), []),
    "antialiased": (".png", cv2.resize(255 * np.uint8(things((180, 320)) > 0), SIZE[::-1], interpolation=3), []),
    "enlarged": (".png", doubled(TWO), []),
    "red, blurred": (".png", cv2.GaussianBlur(np.dstack([TWO, 0 * TWO, 0 * TWO]), (5, 5), 0), []),
    "antialiased box": (".png", cv2.resize(BOX, SIZE[::-1], interpolation=cv2.INTER_AREA), []),
    "16 bits, blurred": (".png", cv2.GaussianBlur(TWO.astype(np.uint16) * 257, (5, 5), 0), []),
}  # fmt: skip


@pytest.mark.parametrize("kind", TWO_LEVELS)
def test_nearly_two_values_are_cut_at_half(tmp_path: Path, kind: str) -> None:
    suffix, image, options = TWO_LEVELS[kind]
    found = read_label_picture(write(tmp_path / f"mask{suffix}", image, *options))
    assert found.remark == SOFT_REMARK
    assert len(np.unique(found.labels)) == 2
    if kind == "antialiased box":
        assert np.count_nonzero(found.labels) == pytest.approx(70 * 41, abs=41)
        return
    assert jaccard(found.labels, TWO) > (0.9 if kind in ("blurred more", "enlarged", "antialiased") else 0.965)
    if image.ndim == 2 and suffix == ".png" and image.dtype == np.uint8:
        np.testing.assert_array_equal(found.labels, np.where(image >= 128, 255, 0))


def test_a_frame_where_the_object_is_nearly_gone(tmp_path: Path) -> None:
    """No part of it is as bright as it was, or wide: background, and no reason to stop."""
    speck = np.zeros(SIZE, np.uint8)
    speck[40, 60:62] = 255
    for name, image in (("soft.png", cv2.GaussianBlur(speck, (9, 9), 0)), ("lossy.jpg", speck)):
        found = read_labels(write(tmp_path / name, image))
        assert np.count_nonzero(found) <= 12
    assert not read_labels(write(tmp_path / "none.jpg", np.zeros(SIZE, np.uint8))).any()


PLAIN = {
    "two values": TWO,
    "instances": INSTANCES,
    "ids": things(),
    "16 bits": things().astype(np.uint16) * 20000,
    "16 bits, ids": things() + np.uint16(1000) * (things() > 0),
    "colours": COLOURS,
    "many ids": np.kron(np.arange(80, dtype=np.uint8).reshape(8, 10), np.ones((9, 16), np.uint8)),
    "specks of a third": np.where(np.arange(160)[None, :] * np.arange(90)[:, None] == 3000, 100, TWO).astype(np.uint8),
    "noise of few labels": np.random.default_rng(0).integers(0, 6, SIZE).astype(np.uint8),
    "noise of few grey levels": np.random.default_rng(0).choice([0, 100, 200], SIZE).astype(np.uint8),
    "thin": (np.arange(160)[None, :] % 3).repeat(90, 0).astype(np.uint8),
    "tiny": np.array([[0, 1, 2], [3, 0, 0]], np.uint8),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_labels_stay_as_they_are(tmp_path: Path, kind: str) -> None:
    image = PLAIN[kind]
    found = read_label_picture(write(tmp_path / "mask.png", image))
    assert not found.remark
    codes = image if image.ndim == 2 else image.astype(np.int64) @ np.array([65536, 256, 1])
    np.testing.assert_array_equal(found.labels, codes)


def cut_out() -> np.ndarray:
    return np.where(TWO[..., None] > 0, photograph(), 0).astype(np.uint8)


REFUSED = {
    "instances as jpeg": (".jpg", INSTANCES),
    "ids as jpeg": (".jpg", things()),
    "colours as jpeg": (".jpg", COLOURS),
    "instances, blurred": (".png", cv2.GaussianBlur(INSTANCES, (9, 9), 0)),
    "colours, blurred": (".png", cv2.GaussianBlur(COLOURS, (9, 9), 0)),
    "instances, antialiased": (".png", cv2.resize(80 * things((180, 320)), SIZE[::-1], interpolation=cv2.INTER_AREA)),
    "photograph": (".png", photograph()),
    "grey photograph": (".png", photograph()[..., 0]),
    "photograph as jpeg": (".jpg", photograph()),
    "photograph cut out": (".png", cut_out()),
    "depth": (".png", np.linspace(0, 65535, 90 * 160).reshape(SIZE).astype(np.uint16)),
    "ramp": (".png", np.arange(160, dtype=np.uint8)[None].repeat(90, 0)),
    "bands": (".png", np.arange(240, dtype=np.uint8).repeat(60).reshape(SIZE)),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_labels_is_refused(tmp_path: Path, kind: str) -> None:
    suffix, image = REFUSED[kind]
    path = write(tmp_path / f"mask_7{suffix}", image)
    with pytest.raises(InputError) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)
    number = re.search(r"has (\d+) different values", str(caught.value))
    assert number
    assert int(number[1]) > 4
    assert "PNG" in caught.value.remedy


# --- alpha -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("colours", "alpha", "remark"),
    [
        (photograph(), TWO, ALPHA_ALONE),
        (photograph(), cv2.GaussianBlur(TWO, (5, 5), 0), ALPHA_ALONE),
        (cut_out(), TWO, ALPHA_ALONE),
        (np.full((*SIZE, 3), 255, np.uint8), TWO, ALPHA_ALONE),
        (np.zeros((*SIZE, 3), np.uint8), TWO, ALPHA_ALONE),
        (COLOURS, TWO, ALPHA),
        (np.dstack([INSTANCES] * 3), TWO, ALPHA),
        (COLOURS + np.uint8(3), TWO, ALPHA),
        (COLOURS, np.full(SIZE, 255, np.uint8), ""),
        (np.dstack([TWO] * 3), np.full(SIZE, 128, np.uint8), ""),
    ],
)
def test_alpha(tmp_path: Path, colours: np.ndarray, alpha: np.ndarray, remark: str) -> None:
    """Transparent is background; the colours count where they are labels; alpha that is the same everywhere is none."""
    found = read_label_picture(write(tmp_path / "mask.png", np.dstack([colours, alpha])))
    assert found.remark == remark
    true = TWO if remark == ALPHA_ALONE or len(np.unique(colours)) == 2 else things()
    assert jaccard(found.labels, true) > 0.96
    assert len(np.unique(found.labels)) == len(np.unique(true))


def test_an_alpha_channel_of_instances(tmp_path: Path) -> None:
    found = read_labels(write(tmp_path / "mask.png", np.dstack([photograph(), INSTANCES])))
    np.testing.assert_array_equal(found, INSTANCES)


# --- palettes --------------------------------------------------------------------------------------------------------
def indexed(path: Path, labels: np.ndarray, palette: list[int]) -> Path:
    image = Image.fromarray(labels, mode="P")
    image.putpalette(palette)
    image.save(path)
    return path


def davis_palette() -> list[int]:
    """Of PASCAL and DAVIS: bit 3 k + c of an index is bit 7 - k of channel c."""
    return [
        sum((index >> 3 * k + channel & 1) << 7 - k for k in range(3)) for index in range(256) for channel in range(3)
    ]


def test_palettes(tmp_path: Path) -> None:
    """Indices are labels, also where colours repeat or black is none; where a compressor sorted them, colours are."""
    labels = things()
    for palette in (davis_palette(), [200, 200, 200] * 4, [(37 * i) % 256 for i in range(768)], [0] * 12):
        path = indexed(tmp_path / "mask.png", labels, palette)
        np.testing.assert_array_equal(read_labels(path), labels)
    sorted_by_colour = indexed(tmp_path / "sorted.png", (TWO == 0).astype(np.uint8), [255, 255, 255, 0, 0, 0])
    np.testing.assert_array_equal(read_labels(sorted_by_colour) > 0, TWO > 0)
    transparent = Image.fromarray(labels, mode="P")
    transparent.putpalette(davis_palette())
    transparent.save(tmp_path / "transparent.png", transparency=0)
    np.testing.assert_array_equal(read_labels(tmp_path / "transparent.png"), labels)
    Image.fromarray(TWO).convert("1").save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "bits.png"), TWO)


def test_a_photograph_with_a_palette_is_refused(tmp_path: Path) -> None:
    for name, image in (("opaque.png", photograph()), ("alpha.png", np.dstack([photograph(), TWO]))):
        Image.fromarray(image).quantize(64).save(tmp_path / name)
        with pytest.raises(InputError, match=rf"{name}: has \d\d different values"):
            read_labels(tmp_path / name)
    many = indexed(tmp_path / "many.png", PLAIN["many ids"], davis_palette())
    np.testing.assert_array_equal(read_labels(many), PLAIN["many ids"])


def test_published_evaluators_read_grey_levels(tmp_path: Path) -> None:
    soft = cv2.GaussianBlur(TWO, (5, 5), 0)
    np.testing.assert_array_equal(grey_levels(write(tmp_path / "soft.png", soft)), soft)
    # 16 bits are beyond them: the labels, in their order.
    deep = write(tmp_path / "deep.png", things().astype(np.uint16) * 20000)
    np.testing.assert_array_equal(grey_levels(deep), things())


# --- every reader of truth -------------------------------------------------------------------------------------------
def layout(protocol: str, root: Path, suffix: str, image: np.ndarray) -> Callable[[], np.ndarray]:
    """Truth of the protocol whose masks are that picture; a function that gives the foreground of view 0."""
    if protocol == "masks":
        write(root / "masks" / f"0{suffix}", image)
        return lambda: open_truth(protocol, root).views[0].mask() != 0
    if protocol == "saff":
        write(root / "training_ 0.png", image)
        return lambda: open_truth(protocol, root).views[0].mask() != 0
    if protocol == "dycheck":
        write(root / "colmap_masks" / f"00000.png{suffix}", 255 - image if image.ndim == 2 else image)
        return lambda: open_truth(protocol, root).views[0].mask() != 0
    for time in range(2):
        for camera in range(1, 3):
            write(root / "mv_images" / f"{time:05d}" / f"cam{camera:02d}.png", photograph())
            write(root / "mv_masks" / f"{time:05d}" / f"cam{camera:02d}.png", image)
    return lambda: open_truth(protocol, root).views[0].dynamic_mask()


@pytest.mark.parametrize("protocol", ["masks", "saff", "dycheck", "nsff24"])
def test_every_layout(tmp_path: Path, protocol: str) -> None:
    suffix = ".png" if protocol in ("saff", "nsff24") else ".jpg"
    soft = cv2.GaussianBlur(TWO, (3, 3), 0) if suffix == ".png" else TWO
    foreground = layout(protocol, tmp_path / "soft", suffix, soft)
    assert jaccard(foreground().astype(int), TWO) > 0.98
    assert "cut at half" in open_truth(protocol, tmp_path / "soft").notes[-1]
    for image in (photograph(), cv2.GaussianBlur(INSTANCES, (9, 9), 0)):
        refused = layout(protocol, tmp_path / "refused", suffix, image)
        with pytest.raises(InputError, match="different values"):
            refused()


def test_given_motion_masks(tmp_path: Path) -> None:
    """Masks of what moves that come with the input are read alike."""
    for image in (cv2.GaussianBlur(TWO, (3, 3), 0), np.dstack([photograph(), TWO]), TWO // 255, np.dstack([TWO] * 3)):
        assert jaccard(read_motion_mask(write(tmp_path / "mask.png", image)).astype(int), TWO) > 0.98
    with pytest.raises(InputError, match="different values"):
        read_motion_mask(write(tmp_path / "photograph.png", photograph()))


def test_masks_of_0_and_1_whose_object_is_black(tmp_path: Path) -> None:
    write_image(tmp_path / "colmap_masks" / "00000.png.png", (TWO == 0).astype(np.uint8))
    indexed(tmp_path / "colmap_masks" / "00001.png.png", (TWO == 0).astype(np.uint8), [0, 0, 0, 255, 255, 255])
    for view in open_truth("dycheck", tmp_path).views:
        np.testing.assert_array_equal(view.mask(), TWO > 0)


def test_the_command_says_what_it_read(tmp_path: Path) -> None:
    for kind, image in (("soft", cv2.GaussianBlur(TWO, (5, 5), 0)), ("alpha", np.dstack([photograph(), TWO]))):
        for i in range(3):
            write(tmp_path / kind / "masks" / f"{i}.png", image)
            write(tmp_path / "made" / f"{i}.png", TWO // 255)
    for kind, message in (("soft", "cut at half"), ("alpha", "alpha channel")):
        rows, _, notes = score_folder(tmp_path / "made", tmp_path / kind, "masks")
        assert {row.metric: row.value for row in rows}["jaccard"] > 0.97
        assert any("3 of 3 true masks" in note and message in note for note in notes)


@pytest.mark.parametrize("kind", ["png", "jpg", "soft", "alpha"])
def test_the_masks_of_the_shared_case(shared: Path, tmp_path: Path, kind: str) -> None:
    case = shared / "cases" / "masks_lossy" / "make.py"
    if not case.exists():
        pytest.skip("no ../shared/cases/masks_lossy")
    subprocess.run([sys.executable, str(case), str(tmp_path / "out")], check=True, env={**os.environ})
    rows, _, notes = score_folder(tmp_path / "out" / "pred", tmp_path / "out" / kind, "masks")
    found = {row.metric: row.value for row in rows}
    # Smoothing rounds corners off, for good.
    assert found["jaccard"] > (0.98 if kind == "soft" else 0.9999)
    assert found["ari"] > (0.98 if kind == "soft" else 0.9999)
    assert bool(notes) == (kind != "png")
