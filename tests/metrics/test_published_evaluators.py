"""Reference columns against the published evaluators' formulas (published_evaluators.py): pictures and masks whose
truth is larger, equal and smaller, through ``nsff score`` and through the score stage.

To 1e-4 dB, 1e-5 (SSIM, LPIPS) and 1e-9 (ARI, Jaccard).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import published_evaluators as published
import pytest
import torch
from wall_world import FRAMES, WallRenderer, config, make_scene, own_world, path_of_cameras
from wall_world import picture as wall_picture

from nsff.decompose.colours import colour_labels
from nsff.files.io import write_image, write_json
from nsff.metrics.folder import score_folder
from nsff.metrics.lpips import Lpips, load_lpips
from nsff.metrics.oracle import chosen_labels
from nsff.metrics.score import run_score
from nsff.metrics.table import Record

SIZE = (40, 54)
SIZES = {"larger": (74, 100), "twice": (80, 108), "equal": SIZE, "smaller": (31, 42), "half": (20, 27)}
TOLERANCE = {"psnr": 1e-4, "ssim": 1e-5, "lpips": 1e-5, "ari": 1e-9, "fg_ari": 1e-9, "jaccard": 1e-9}

every_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def picture(size: tuple[int, int], seed: int) -> np.ndarray:
    """Smooth colours with some noise, (*size, 3) uint8."""
    generator = np.random.default_rng(seed)
    coarse = cv2.resize(generator.random((6, 8, 3)), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.uint8(255 * np.clip(coarse + 0.05 * generator.standard_normal((*size, 3)), 0, 1))


def labels(size: tuple[int, int], seed: int, levels: tuple[int, ...] = (0, 100, 200)) -> np.ndarray:
    """Blobs of the levels, (*size) uint8."""
    generator = np.random.default_rng(seed)
    field = cv2.resize(generator.random((5, 7)), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.array(levels, np.uint8)[np.digitize(field, np.quantile(field, np.arange(1, len(levels)) / len(levels)))]


def write_jpeg(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


@pytest.fixture(scope="module")
def network() -> Lpips:
    """AlexNet with random weights, the same every time."""
    torch.manual_seed(0)
    made = Lpips()
    with torch.no_grad():
        for layer in made.linear:
            layer.weight.abs_()
    return made


def distance(network: Lpips, scaled: bool) -> published.Distance:
    convolutions = {key: value.detach() for key, value in network.features.state_dict().items()}
    return published.alexnet_distance(convolutions, [layer.weight.detach() for layer in network.linear], scaled)


def compared(records: list[Record], view: int, expected: dict[str, float], variant: str = "prediction") -> None:
    """Every expected number, named `region metric` or `metric`, is the view's ``*_reference``."""
    found = {(r.region, r.metric): r.value for r in records if (r.view, r.variant) == (view, variant)}
    for name, value in expected.items():
        region, metric = name.split() if " " in name else ("full", name)
        mine = found[region, f"{metric}_reference"]
        if math.isfinite(value):
            assert mine == pytest.approx(value, abs=TOLERANCE[metric]), (view, name)
        else:
            assert str(mine) == str(value), (view, name)


# --- NSFF ------------------------------------------------------------------------------------------------------------
MASKS = ("plain", "soft", "coloured", "empty", "faint")


RIG = len(MASKS) + 2
"""Cameras and times of the layout below: the first time has a view for each kind of mask, and one more."""


def fill_rig(root: Path, image: np.ndarray, mask: np.ndarray) -> None:
    """The same picture and mask at all times from all cameras."""
    for time in range(RIG):
        for camera in range(1, RIG + 1):
            write_jpeg(root / "mv_images" / f"{time:05d}" / f"cam{camera:02d}.jpg", image)
            write_image(root / "mv_masks" / f"{time:05d}" / f"cam{camera:02d}.png", mask)


def nsff_layout(root: Path, size: tuple[int, int]) -> list[tuple[Path, Path, Path]]:
    """Files (prediction, truth, mask) of the views 0, 1, … at time 0: one for each kind of mask, then one of identical
    pictures."""
    files = []
    fill_rig(root, picture(size, 0), labels(size, 0, (0, 255)))
    for view, kind in enumerate((*MASKS, "plain")):
        truth = root / "mv_images" / "00000" / f"cam{view + 2:02d}.jpg"
        write_jpeg(truth, picture(size, view + 1))
        blobs = labels(size, 40 + view, (0, 255))
        image = {
            "plain": blobs,
            "soft": cv2.GaussianBlur(blobs, (5, 5), 0),
            "coloured": np.dstack([blobs, 0 * blobs, np.roll(blobs, 3, 1)]),
            "empty": 0 * blobs,
            "faint": blobs // 255,
        }[kind]
        mask = root / "mv_masks" / "00000" / f"cam{view + 2:02d}.png"
        write_image(mask, image)
        if view == len(MASKS):  # what the published code compares with
            shown = cv2.resize(cv2.imread(str(truth)), SIZE[::-1], interpolation=cv2.INTER_AREA)[..., ::-1]
        else:
            shown = np.clip(picture(SIZE, view + 1).astype(int) + 3 * view + 2, 0, 255).astype(np.uint8)
        made = root / "made" / f"{view}_rgb.png"
        write_image(made, np.ascontiguousarray(shown))
        files.append((made, truth, mask))
    return files


@every_size
def test_nsff(tmp_path: Path, size: tuple[int, int], network: Lpips) -> None:
    files = nsff_layout(tmp_path, size)
    _, records, _ = score_folder(tmp_path / "made", tmp_path, "nsff24", network)
    for view, (made, truth, mask) in enumerate(files):
        compared(records, view, published.nsff(made, truth, mask, distance(network, scaled=False)))
    value = {(r.view, r.region, r.metric): r.value for r in records if r.variant == "prediction"}
    empty, same = MASKS.index("empty"), len(MASKS)
    assert value[empty, "dynamic", "psnr_reference"] == value[empty, "dynamic", "lpips_reference"] == 0.0
    assert math.isnan(value[empty, "dynamic", "psnr"])
    assert value[same, "full", "psnr_reference"] == math.inf
    assert value[same, "dynamic", "psnr_reference"] == 0.0


def test_nsff_one_level_apart(tmp_path: Path) -> None:
    """Single precision shows in 1e-4 dB where pictures are a level apart."""
    files = nsff_layout(tmp_path, SIZE)
    for level, (made, truth, _) in enumerate(files):
        cv2.imwrite(str(truth), np.full((*SIZE, 3), 20 * level + 10, np.uint8))
        write_image(made, cv2.imread(str(truth)) + np.uint8(1))
    _, records, _ = score_folder(tmp_path / "made", tmp_path, "nsff24")
    for view, (made, truth, mask) in enumerate(files):
        compared(records, view, published.nsff(made, truth, mask, None))


def test_standard_columns_keep_what_is_geometrically_right(tmp_path: Path) -> None:
    """A ramp enlarged twice: bilinear at pixel centres gives the ramp itself, INTER_AREA is up to half a pixel off. Of
    a mask five times as fine the standard takes the centre of each pixel, INTER_NEAREST its first column."""
    ramp = np.repeat((20 + 4 * np.arange(54)).astype(np.uint8)[None, :, None], 40, 0).repeat(3, 2)
    fine = np.repeat((20 + 2 * np.arange(108) - 1).astype(np.uint8)[None, :, None], 80, 0).repeat(3, 2)
    mask = np.zeros((400, 540), np.uint8)
    mask[:, 2:270:5] = 255
    fill_rig(tmp_path, ramp, mask)
    write_image(tmp_path / "made" / "0_rgb.png", fine)
    _, records, _ = score_folder(tmp_path / "made", tmp_path, "nsff24")
    value = {(r.region, r.metric): r.value for r in records}
    assert value["full", "psnr"] > value["full", "psnr_reference"] + 6
    # The left half is hit at its centres, and never at its first columns: an empty mask there, which scores 0.
    assert value["dynamic", "psnr"] > 40
    assert value["dynamic", "psnr_reference"] == 0.0


# --- SAFF ------------------------------------------------------------------------------------------------------------
def coloured(size: tuple[int, int], seed: int, objects: tuple[int, ...]) -> np.ndarray:
    """A picture of objects in SAFF's colours as it writes them (red and blue exchanged)."""
    return np.ascontiguousarray(colour_labels(labels(size, seed, objects))[..., ::-1])


PREDICTED = {
    "two objects": (0, 1, 2),
    "shared channel": (0, 3, 4, 8),
    "many": (0, 7, 35, 11, 26, 29, 2),
    "no black": (3, 4, 9),
    "all black": (0, 0),
    "one object": (5, 5),
}


@every_size
def test_saff_masks(tmp_path: Path, size: tuple[int, int]) -> None:
    files = []
    for view, objects in enumerate(PREDICTED.values()):
        truth = tmp_path / "gt_masks" / f"training_{view:2d}.png"
        write_image(truth, labels(size, view))
        made = tmp_path / "made" / f"{view}.png"
        write_image(made, coloured(SIZE, view + (view == 1), objects))
        files.append((made, truth))
    for view, true in ((6, labels(size, 6, (0, 0))), (7, labels(size, 7, (0, 0)))):  # no true foreground
        truth = tmp_path / "gt_masks" / f"training_{view:2d}.png"
        write_image(truth, true)
        made = tmp_path / "made" / f"{view}.png"
        write_image(made, coloured(SIZE, view, (0, 0) if view == 7 else (0, 1)))
        files.append((made, truth))
    lossy = tmp_path / "gt_masks" / "training_ 8.png"
    write_image(lossy, cv2.GaussianBlur(labels(size, 8, (0, 255)), (3, 3), 0))
    write_image(tmp_path / "made" / "8.png", coloured(SIZE, 8, (0, 3)))
    files.append((tmp_path / "made" / "8.png", lossy))
    rows, records, _ = score_folder(tmp_path / "made", tmp_path, "saff")
    expected = [published.saff_masks(*pair) for pair in files]
    for view, found in enumerate(expected):
        compared(records, view, found)
    assert expected[6]["fg_ari"] == 1.0
    assert math.isnan(expected[7]["jaccard"])
    # The empty foreground's 1 enters the published mean.
    mean = next(row.value for row in rows if (row.split, row.metric) == ("full", "fg_ari_reference"))
    assert mean == pytest.approx(np.mean([found["fg_ari"] for found in expected]), abs=1e-9)


def test_colours_in_the_other_order(tmp_path: Path) -> None:
    """A file in true RGB: channel 0 is the palette's blue, on which other labels meet."""
    write_image(tmp_path / "gt_masks" / "training_ 0.png", labels(SIZE, 0))
    made = tmp_path / "made" / "0.png"
    write_image(made, colour_labels(labels(SIZE, 1, (0, 3, 4, 7, 27))))
    _, records, _ = score_folder(tmp_path / "made", tmp_path, "saff")
    compared(records, 0, published.saff_masks(made, tmp_path / "gt_masks" / "training_ 0.png"))


@every_size
def test_masks_of_captures(tmp_path: Path, size: tuple[int, int]) -> None:
    """Black is the object; levels from 1 to 9 are object for ARI and background for Jaccard."""
    files = []
    for view in range(4):
        truth = tmp_path / "colmap_masks" / f"{view:05d}.png.png"
        true = labels(size, view, (0, 255))
        write_image(truth, np.where(true == 0, 5, true).astype(np.uint8) if view == 2 else true)
        made = tmp_path / "made" / f"{view}.png"
        write_image(made, coloured(SIZE, view + 1, (0, 3, 4, 6)))
        files.append((made, truth))
    _, records, _ = score_folder(tmp_path / "made", tmp_path, "dycheck")
    for view, (made, truth) in enumerate(files):
        compared(records, view, published.saff_masks(made, truth, captures=True))


@every_size
def test_saff_pictures(tmp_path: Path, size: tuple[int, int], network: Lpips) -> None:
    """24 frames. Views 25 and 49 are held against time 0, camera 0, which is one too early."""
    for time in range(24):
        write_image(tmp_path / "gt_masks" / f"training_{time:2d}.png", labels(size, time))
        for camera in range(12):
            if camera in (0, 1, time % 12) and (time < 3 or camera == time % 12):
                image = tmp_path / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.jpg"
                write_jpeg(image, picture(size, 12 * time + camera))
    for name in ("nv_spatial_25", "nv_spatial_26", "nv_static_49"):
        write_image(tmp_path / "gt_masks" / f"{name}.png", labels(size, 1))
    against = {0: (0, 0), 2: (2, 2), 13: (13, 1), 25: (0, 0), 26: (1, 0), 49: (0, 0)}
    for view in against:
        write_image(tmp_path / "made" / f"{view}_rgb.png", picture(SIZE, view))
    same = cv2.imread(str(tmp_path / "mv_images" / "00002" / "cam03.jpg"))[..., ::-1]
    same = cv2.resize(same, SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    write_image(tmp_path / "made" / "2_rgb.png", np.ascontiguousarray(same))
    _, records, _ = score_folder(tmp_path / "made", tmp_path, "saff", network)
    for view, (time, camera) in against.items():
        truth = tmp_path / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.jpg"
        expected = published.saff_pictures(
            tmp_path / "made" / f"{view}_rgb.png", truth, distance(network, scaled=False)
        )
        compared(records, view, expected)
        assert (expected["full psnr"] == math.inf) == (view == 2)


def test_dynamicnerf(tmp_path: Path, network: Lpips) -> None:
    for time in range(3):
        write_image(tmp_path / "gt" / f"v000_t{time:03d}.png", picture(SIZE, time))
        write_image(tmp_path / "made" / f"{time}_rgb.png", picture(SIZE, max(time, 1)))
    _, records, _ = score_folder(tmp_path / "made", tmp_path, "dynnerf12", network)
    for time in range(3):
        files = tmp_path / "made" / f"{time}_rgb.png", tmp_path / "gt" / f"v000_t{time:03d}.png"
        compared(records, time, published.dynamicnerf(*files, distance(network, scaled=True)))


@pytest.mark.parametrize("flip", [False, True])
def test_oracle(flip: bool) -> None:
    seen: list[int] = []
    for seed in range(8):
        made, true = labels(SIZE, seed, tuple(range(1, 7))), labels(SIZE, seed + 50, (0, 255))
        expected = published.oracle_foreground(made, true, flip=flip)
        seen.append(len(expected))
        assert chosen_labels(made, true > 10 if flip else true < 10) == expected
    assert min(seen) < 6
    # Three tenths are enough.
    made, true = np.repeat([[1, 2]], 10, 0), np.zeros((10, 2))
    true[:7, 0], true[:8, 1] = 255, 255
    assert chosen_labels(made, true < 10) == published.oracle_foreground(made, true) == [1]


def test_real_weights(tmp_path: Path, real_weight: Callable[[str], Path]) -> None:
    """The published network itself, where its weights are on this machine."""
    network = load_lpips(real_weight("alexnet_features.pth").parent)
    assert network is not None
    (made, truth, mask), *_ = nsff_layout(tmp_path, SIZES["larger"])
    _, records, _ = score_folder(tmp_path / "made", tmp_path, "nsff24", network)
    compared(records, 0, published.nsff(made, truth, mask, distance(network, scaled=False)))
    package = pytest.importorskip("lpips").LPIPS(net="alex", pretrained=True, pnet_rand=True, verbose=False)
    package.net.load_state_dict(
        dict(zip(package.net.state_dict(), network.features.state_dict().values(), strict=True))
    )
    a, b = (torch.from_numpy(picture(SIZE, seed)).permute(2, 0, 1)[None] / 127.5 - 1 for seed in (0, 1))
    mine = network.compare(*((v[0].permute(1, 2, 0) + 1) / 2 for v in (a, b)))
    with torch.no_grad():
        assert mine == pytest.approx(float(package(a, b)), abs=1e-5)


# --- the score stage -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(54, 72), (36, 48), (25, 33)], ids=["larger", "equal", "smaller"])
@pytest.mark.parametrize("protocol", ["nsff24", "saff"])
def test_score_stage(tmp_path: Path, protocol: str, size: tuple[int, int]) -> None:
    """What the stage writes as pictures and scores is what the published evaluators make of these pictures."""
    poses = path_of_cameras(FRAMES)
    scene, truth = make_scene(tmp_path, own_world(poses), True, poses), tmp_path / "rig"
    for time in range(FRAMES):
        for camera in range(12):
            image = truth / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.png"
            write_image(image, wall_picture(poses[camera % FRAMES], time, *size))
            mask = truth / "mv_masks" / f"{time:05d}" / f"cam{camera + 1:02d}.png"
            write_image(mask, cv2.GaussianBlur(labels(size, time, (0, 255)), (3, 3), 0))
    views = [("training", i, i, i) for i in range(FRAMES)]
    views += [("nv_spatial", FRAMES + t, 0, t) for t in range(1, FRAMES)]
    views += [("nv_static", 2 * FRAMES + c, c, 0) for c in range(1, FRAMES)]
    if protocol == "saff":
        for split, index, _, time in views:
            write_image(truth / "gt_masks" / f"{split}_{index:2d}.png", labels(size, time))
            for folder in (scene.masks_crf_dir, scene.masks_dir, scene.maps_dir):
                name = f"{index}_blend.png" if folder == scene.maps_dir else f"{index}.png"
                write_image(folder / name, labels((36, 48), index, (0, 3, 4)))
            write_image(scene.clusters_dir / "merged" / f"{index}.png", labels((36, 48), index, (1, 3, 4)))
            write_image(scene.maps_dir / f"{index}_rgb.png", wall_picture(poses[0], 0))
        listed = [{"index": i, "split": split, "camera": c, "time": t} for split, i, c, t in views]
        write_json(scene.maps_dir / "views.json", listed)
        write_json(scene.clusters_dir / "clusters.json", {"salient": [0]})
    renderer = WallRenderer(2.0)
    renderer.brightness.data *= 0.97
    run_score(scene, config(evaluation=[{"protocol": protocol, "truth": str(truth)}]), renderer)
    table = pd.read_csv(scene.root / "score_pictures" / "per_view.csv")
    records = [
        Record(r.protocol, r.variant, r.view, r.split, r.time, r.region, r.metric, r.value) for r in table.itertuples()
    ]
    place = lambda folder, t, c: truth / folder / f"{t:05d}" / f"cam{c + 1:02d}.png"  # noqa: E731
    if protocol == "nsff24":
        pairs = [(t, c) for t in range(FRAMES) for c in range(FRAMES) if c != t]
        for view, (time, camera) in enumerate(pairs):
            made = scene.root / "score_pictures" / "nsff24" / f"{view}_rgb.png"
            found = published.nsff(made, place("mv_images", time, camera), place("mv_masks", time, camera), None)
            compared(records, view, found, "raw")
        return
    for split, index, camera, time in views:
        made = scene.root / "score_pictures" / "saff" / f"{index}_rgb.png"
        other = (camera, time - 1) if split == "nv_spatial" else (camera - 1, time) if split == "nv_static" else None
        camera, time = other or (camera, time)
        compared(records, index, published.saff_pictures(made, place("mv_images", time, camera), None), "raw")
        masks = tmp_path / f"{index}.png"
        write_image(masks, np.ascontiguousarray(colour_labels(labels((36, 48), index, (0, 3, 4)))[..., ::-1]))
        expected = published.saff_masks(masks, truth / "gt_masks" / f"{split}_{index:2d}.png")
        compared(records, index, expected, "crf")
