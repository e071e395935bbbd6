"""``nsff score`` on folders: the documented numbers of perfect and shifted predictions, colour-coded masks, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nsff.cli import main
from nsff.decompose.colours import colour_labels
from nsff.errors import InputError
from nsff.files.io import write_image
from nsff.metrics.canonical_truth import PixelMap, dilate, resize_labels
from nsff.metrics.folder import read_prediction_labels, score_folder
from nsff.metrics.table import collect_scores

SIZE = (24, 40)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """SAFF's layout: 24 training masks, padded names, mv_images of 12 cameras."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "truth"
    for split, numbers in (("training", range(24)), ("nv_spatial", range(25, 48)), ("nv_static", range(49, 60))):
        for i in numbers:
            labels = np.zeros(SIZE, np.uint8)
            labels[4:14, i % 12 : i % 12 + 10] = 100
            labels[16:22, 20:35] = 200
            write_image(folder / "gt_masks" / f"{split}_{i:2d}.png", labels)
    for time in range(24):
        for camera in range(1, 13):
            image = generator.integers(0, 255, (*SIZE, 3)).astype(np.uint8)
            write_image(folder / "mv_images" / f"{time:05d}" / f"cam{camera:02d}.png", image)
    return folder


def perfect(folder: Path, truth: Path, colours: bool = False) -> Path:
    from nsff.datasets.truth_registry import open_truth

    for view in open_truth("saff", truth).views:
        labels = view.mask()
        image = view.image()
        assert labels is not None
        assert image is not None
        # SAFF writes its colours with red and blue exchanged.
        made = colour_labels(labels // 100)[..., ::-1] if colours else (labels // 100).astype(np.uint8)
        write_image(folder / f"{view.index}.png", np.ascontiguousarray(made))
        write_image(folder / f"{view.index}_rgb.png", image)
    return folder


@pytest.mark.parametrize("colours", [False, True])
def test_saff_splits_and_reference(tmp_path: Path, truth: Path, colours: bool) -> None:
    rows, records, notes = score_folder(perfect(tmp_path / "made", truth, colours), truth, "saff")
    value = {(row.split, row.metric): row.value for row in rows if row.variant == "prediction"}
    assert [value[f"{split}/full", "count"] for split in ("training", "nv_spatial", "nv_static")] == [24, 23, 11]
    assert value["full", "ari"] == value["full", "fg_ari"] == value["full", "jaccard"] == 1.0
    assert value["full", "psnr"] == 100.0
    # The published evaluator compares held-out views with their neighbours: a perfect render scores badly there.
    assert value["training/full", "psnr_reference"] == np.inf
    assert value["nv_spatial/full", "psnr_reference"] < 10
    assert value["nv_static/full", "psnr_reference"] < 10
    assert not notes
    assert {record.view for record in records} == set(range(60)) - {24, 48}


def test_command(
    tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSFF_WEIGHTS", str(tmp_path / "none"))
    made = perfect(tmp_path / "made", truth)
    (made / "3.png").unlink()
    (made / "3_rgb.png").unlink()
    out = tmp_path / "out.csv"
    per_view = tmp_path / "views.csv"
    arguments = ["score", "--pred", str(made), "--truth", str(truth), "--protocol", "saff", "--out", str(out)]
    assert main([*arguments, "--per-view", str(per_view)]) == 0
    printed = capsys.readouterr()
    assert "nv_spatial/full" in printed.out
    assert "pictures of 1 of 58 views are not in" in printed.err
    assert "masks of 1 of 58 views are not in" in printed.err
    assert "LPIPS is left out" in printed.err
    table = collect_scores([out])
    assert set(table["scene"]) == {"made"}
    assert per_view.read_text().count("\n") > 100


def test_command_errors(tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong, and what to do, in two lines and without a traceback; status 1."""

    def run(pred: Path) -> str:
        assert main(["score", "--pred", str(pred), "--truth", str(truth), "--protocol", "saff", "--no-lpips"]) == 1
        said = capsys.readouterr().err
        assert said.startswith("nsff score: error: ")
        assert "Traceback" not in said
        assert said.splitlines()[1].startswith("  what to do: ")
        return said

    assert f"{tmp_path / 'absent'}: no such folder" in run(tmp_path / "absent")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "0_rgb.png" in run(empty)
    write_image(empty / "0_rgb.png", np.zeros((24, 24, 3), np.uint8))
    assert "24x24" in run(empty)


def test_interruption(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nsff.metrics.folder.score_folder", stop)
    assert main(["score", "--pred", "a", "--truth", "b", "--protocol", "saff", "--no-lpips"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_static_part_is_scored_too(tmp_path: Path, truth: Path) -> None:
    made = perfect(tmp_path / "made", truth)
    write_image(made / "30_static_rgb.png", np.full((*SIZE, 3), 120, np.uint8))
    rows, records, _ = score_folder(made, truth, "saff")
    assert {record.view for record in records if record.variant == "static"} == {30}
    value = {(row.variant, row.split, row.metric): row.value for row in rows}
    assert value["static", "full", "psnr"] < 15 < value["prediction", "full", "psnr"]
    assert value["static", "full", "count"] == 1


def test_copied_frames_beside_a_prediction(tmp_path: Path, truth: Path) -> None:
    """View 30 is camera 0 at time 6: its copy is frame 6, filmed by camera 6 at that time."""
    from nsff.files.io import read_image
    from nsff.metrics.measure import image_scores
    from nsff.metrics.protocols import SAFF

    _, records, _ = score_folder(perfect(tmp_path / "made", truth), truth, "saff")
    value = {(r.variant, r.view): r.value for r in records if (r.metric, r.region) == ("psnr", "full")}
    true, copied = (read_image(truth / "mv_images" / "00006" / f"cam{camera:02d}.png") for camera in (1, 7))
    expected = image_scores(copied, true, {"full": None}, SAFF)["full"]["psnr"]
    assert value["copy", 30] == pytest.approx(expected)
    # A training view is its own copy: not a baseline.
    assert {view for variant, view in value if variant == "copy"} == {*range(25, 48), *range(49, 60)}
    # Without cameras no camera is the nearest.
    assert not any(variant == "copy_camera" for variant, _ in value)


def test_predicted_labels(tmp_path: Path) -> None:
    labels = np.arange(12).reshape(3, 4)
    write_image(tmp_path / "grey.png", labels.astype(np.uint8))
    write_image(tmp_path / "colour.png", colour_labels(labels))
    write_image(tmp_path / "bgr.png", np.ascontiguousarray(colour_labels(labels)[..., ::-1]))
    write_image(tmp_path / "three.png", np.repeat(labels.astype(np.uint8)[..., None], 3, 2))
    for name in ("grey", "colour", "bgr", "three"):
        np.testing.assert_array_equal(read_prediction_labels(tmp_path / f"{name}.png"), labels)
    # DAVIS: indices into a palette of its own.
    from PIL import Image

    indexed = Image.fromarray(labels.astype(np.uint8), mode="P")
    indexed.putpalette([(37 * i) % 256 for i in range(768)])
    indexed.save(tmp_path / "indexed.png")
    np.testing.assert_array_equal(read_prediction_labels(tmp_path / "indexed.png"), labels)
    for broken in (b"", (tmp_path / "indexed.png").read_bytes()[:60], b"text"):
        (tmp_path / "broken.png").write_bytes(broken)
        with pytest.raises(InputError, match=r"broken\.png"):
            read_prediction_labels(tmp_path / "broken.png")
    write_image(tmp_path / "photo.png", np.random.default_rng(0).integers(0, 255, (4, 4, 3)).astype(np.uint8))
    with pytest.raises(InputError, match=r"photo\.png"):
        read_prediction_labels(tmp_path / "photo.png")


# --- truth through the pixel map -------------------------------------------------------------------------------------
def resizing_map(size: tuple[int, int], frame: tuple[int, int]) -> PixelMap:
    u, v = np.meshgrid(np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5)
    scale = np.array([frame[1] / size[1], frame[0] / size[0]])
    return PixelMap((np.stack([u, v], -1) * scale).astype(np.float32), frame)


def test_resizing_map_reduces_by_area() -> None:
    pixel_map = resizing_map((3, 4), (6, 8))
    assert pixel_map.is_resizing
    image = np.random.default_rng(0).integers(0, 255, (12, 16, 3)).astype(np.uint8)
    expected = image.reshape(3, 4, 4, 4, 3).mean((1, 3))
    np.testing.assert_allclose(pixel_map.image(image, "x"), expected, atol=0.51)
    labels = np.arange(24).reshape(4, 6)[:3, :4]
    np.testing.assert_array_equal(pixel_map.labels(np.kron(labels, np.ones((4, 4), int)), "x"), labels)
    with pytest.raises(InputError, match="16x16"):
        pixel_map.labels(np.zeros((16, 16), int), "mask.png")


def test_cropping_map_shifts_truth() -> None:
    """Canonical pixels are frame pixels moved by (2, 1): truth moves along, at any scale."""
    u, v = np.meshgrid(np.arange(5) + 2.5, np.arange(4) + 1.5)
    pixel_map = PixelMap(np.stack([u, v], -1).astype(np.float32), (8, 10))
    assert not pixel_map.is_resizing
    frame = np.random.default_rng(1).integers(0, 255, (8, 10, 3)).astype(np.uint8)
    np.testing.assert_array_equal(pixel_map.image(frame, "x"), frame[1:5, 2:7])
    np.testing.assert_array_equal(pixel_map.labels(frame[..., 0].astype(int), "x"), frame[1:5, 2:7, 0])
    large = np.repeat(np.repeat(frame, 2, 0), 2, 1)
    np.testing.assert_allclose(pixel_map.image(large, "x"), frame[1:5, 2:7], atol=1)
    np.testing.assert_array_equal(pixel_map.labels(large[..., 0].astype(int), "x"), frame[1:5, 2:7, 0])


def test_resize_labels_and_dilation() -> None:
    labels = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(resize_labels(labels, (4, 4)), np.kron(labels, np.ones((2, 2), int)))
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    np.testing.assert_array_equal(dilate(mask, 0), mask)
    grown = dilate(mask, 3)
    assert grown[1, 4]
    assert grown[4, 7]
    assert not grown[1, 1]
