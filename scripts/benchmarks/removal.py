"""How well the background shows where an object was left out: the scene without it against what other frames saw.

For pixels on the object in frame i, colours of the same places are gathered from the other training frames, at the
depth that the scene without the object has there; a frame counts where nothing moves at that pixel and it sees the
place (depths agree within 5 %). Their median stands for the truth. PSNR of the rendering against it: on the object's
pixels, on other pixels where something moves (its shadow, the rim), and far from both. Correspondences rest on the
model's own depth and cameras; the background's colours do not. ``psnr_object_with_it`` is that of the whole scene.

With --filmed, the folder of an NVIDIA Dynamic Scene with mv_images/ and mv_masks/, truth is what the same camera filmed
at other times, the median over those whose masks leave the pixel free: nothing of the model is in it. Then the object's
shadow is reported apart: pixels free of all that moves that are darker than this truth (by DARKER after a blur), nearer
to the object than to anything else that moves; ``psnr_shadow_filmed`` is that of the frame itself.

    python scripts/benchmarks/removal.py results/demo demo/truth/labels --without 1 --frames 0 6 12 18
    python scripts/benchmarks/removal.py results/toss ../shared/scenes/toss/gt_masks --label 200 --without 1 \\
        --filmed ../shared/scenes/toss/dense --frames 0 4 8 12 16 20
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _root  # noqa: F401
import cv2
import numpy as np
import torch

from nsff.decompose.removal import left_out_of
from nsff.decompose.view_surfaces import unproject
from nsff.decompose.views import read_rgb, read_views, training_views
from nsff.export.depth import rendered_depth
from nsff.export.videos import asked
from nsff.files.io import read_image, read_mask, read_npz, write_image
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene

FEWEST = 3
"""Frames that have to see a place."""
TOLERANCE = 0.05
DARKER, BLUR = 3 / 255, 3.0
"""A shadow's share of brightness, and the standard deviation of the blur before, pixels."""


def grown(mask: np.ndarray, radius: int) -> np.ndarray:
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), shape) > 0


def psnr(errors: np.ndarray) -> float:
    return float(-10 * np.log10(errors.mean())) if errors.size else np.nan


def background(scene: Scene, i: int, depth: np.ndarray, busy: list[np.ndarray], depths: list[np.ndarray]) -> np.ndarray:
    """The median colour of other frames at each pixel of frame i, NaN where fewer than FEWEST see it."""
    cameras, (height, width) = scene.cameras, scene.size
    points = unproject(depth, cameras.intrinsics[i], cameras.world_to_camera[i]).reshape(-1, 3)
    places, distances = cameras.project(points)
    colours = []
    for j in range(scene.n_frames):
        if j == i:
            continue
        u, v = (places[j, :, k].reshape(height, width).astype(np.float32) - 0.5 for k in (0, 1))
        seen = cv2.remap(busy[j].astype(np.uint8), u, v, cv2.INTER_NEAREST, borderValue=1) == 0
        there = cv2.remap(depths[j], u, v, cv2.INTER_NEAREST)
        seen &= np.abs(there / distances[j].reshape(height, width) - 1) < TOLERANCE
        colour = cv2.remap(scene.image(j).astype(np.float32) / 255, u, v, cv2.INTER_LINEAR)
        colour[~seen] = np.nan
        colours.append(colour)
    stacked = np.stack(colours)
    enough = np.isfinite(stacked[..., 0]).sum(0) >= FEWEST
    result = np.full((height, width, 3), np.nan)
    result[enough] = np.nanmedian(stacked[:, enough], axis=0)
    return result


def filmed(path: Path, size: tuple[int, int]) -> np.ndarray:
    """A picture of the rig (H,W,3), uint8, at the scene's size."""
    return cv2.resize(read_image(path), size[::-1], interpolation=cv2.INTER_AREA)


def filmed_background(folder: Path, camera: int, size: tuple[int, int]) -> np.ndarray:
    """Colours (H,W,3) that a camera of the rig, from 0, filmed where nothing moves, NaN where it always does."""
    colours = []
    for time in sorted((folder / "mv_images").iterdir()):
        picture = filmed(time / f"cam{camera + 1:02d}.jpg", size) / 255
        masks = list((folder / "mv_masks" / time.name).glob(f"cam{camera + 1:02d}.*"))
        picture[grown(filmed(masks[0], size)[..., 0] > 127, 2)] = np.nan
        colours.append(picture)
    stacked = np.stack(colours)
    enough = np.isfinite(stacked[..., 0]).sum(0) >= FEWEST
    result = np.full((*size, 3), np.nan)
    result[enough] = np.nanmedian(stacked[:, enough], axis=0)
    return result


def shadow_of(
    folder: Path, camera: int, time: int, label: np.ndarray, picture: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Pixels of the shadow that the object on ``label`` casts in a picture filmed at ``time``."""
    masks = sorted((folder / "mv_masks").iterdir())[time]
    mask = filmed(next(iter(masks.glob(f"cam{camera + 1:02d}.*"))), label.shape)[..., 0] > 127
    dark = cv2.GaussianBlur(np.nan_to_num((picture - truth).mean(-1)), (0, 0), BLUR) < -DARKER
    distance = [cv2.distanceTransform((~x).astype(np.uint8), cv2.DIST_L2, 5) for x in (label, mask & ~grown(label, 3))]
    return dark & ~grown(mask | label, 4) & (distance[0] < distance[1]) & np.isfinite(truth[..., 0])


def labels_of(folder: Path, camera: int, label: int | None) -> np.ndarray:
    """True pixels of what is left out, in training frame ``camera``."""
    paths = (folder / f"{camera:05d}.png", folder / f"training_{camera:2d}.png")
    mask = read_mask(next(path for path in paths if path.is_file()))
    return mask > 0 if label is None else mask == label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="a finished scene, results/NAME")
    parser.add_argument("labels", type=Path, help="true masks of the frames, 00000.png ...: 0 is no object")
    parser.add_argument("--label", type=int, metavar="N", help="the value of what is left out (default: all but 0)")
    parser.add_argument("--filmed", type=Path, metavar="DIR", help="truth is what the same camera filmed: see above")
    parser.add_argument("--rig", type=int, default=12, help="cameras of the rig: frame t is of camera t mod N")
    parser.add_argument("--without", nargs="+", default=["1"], help="what is left out")
    parser.add_argument("--frames", type=int, nargs="+", default=[0])
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="keep input, with it, without it, and truth")
    arguments = parser.parse_args()
    scene = Scene(arguments.scene)
    grid = read_npz(scene.pixel_map_path, ["map"])["map"].astype(np.float32) - 0.5
    views = training_views(read_views(scene))
    labels = [labels_of(arguments.labels, view.camera, arguments.label) for view in views]
    labels = [cv2.remap(x.astype(np.uint8), grid[..., 0], grid[..., 1], cv2.INTER_NEAREST) > 0 for x in labels]
    blends = [read_mask(scene.map_path(view.index, "blend"), scene.size) > 25 for view in views]
    busy = [grown(label, 5) | grown(blend, 2) for label, blend in zip(labels, blends, strict=True)]
    depths = [rendered_depth(scene, view) for view in views]
    renderer = Renderer.load(scene.model_dir)
    renderer = renderer.without(left_out_of(scene, asked(arguments.without)))
    columns = [
        "frame",
        "pixels",
        "seen_elsewhere",
        "psnr_object",
        "psnr_object_with_it",
        "psnr_other_motion",
        "psnr_far",
    ]
    columns += ["shadow_pixels", "psnr_shadow", "psnr_shadow_with_it", "psnr_shadow_filmed"] if arguments.filmed else []
    print(",".join(columns))
    for i in arguments.frames:
        K, E = scene.cameras.intrinsics[i], scene.cameras.world_to_camera[i]
        with torch.no_grad():
            maps = renderer.render(K, E, *scene.size, float(i), ("rgb", "depth"))
        if arguments.filmed:
            truth = filmed_background(arguments.filmed, i % arguments.rig, scene.size)
        else:
            truth = background(scene, i, maps["depth"].numpy(), busy, depths)
        known = np.isfinite(truth[..., 0])
        error = np.square(maps["rgb"].clamp(0, 1).numpy() - truth).mean(-1)
        whole = np.square(read_rgb(scene, views[i], scene.size) / 255 - truth).mean(-1)
        on, beside = labels[i] & known, busy[i] & ~grown(labels[i], 3) & known
        far = ~grown(labels[i], 15) & ~busy[i] & known
        values = (psnr(error[on]), psnr(whole[on]), psnr(error[beside]), psnr(error[far]))
        share = on.sum() / max(labels[i].sum(), 1)
        line = f"{i},{labels[i].sum()},{share:.3f}," + ",".join(f"{value:.2f}" for value in values)
        if arguments.filmed:
            own = scene.image(i).astype(np.float32) / 255
            shadow = shadow_of(arguments.filmed, i % arguments.rig, i, labels[i], own, truth)
            cast = psnr(np.square(own - truth).mean(-1)[shadow])
            line += f",{shadow.sum()},{psnr(error[shadow]):.2f},{psnr(whole[shadow]):.2f},{cast:.2f}"
        if arguments.pictures:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            shown = [scene.image(i) / 255, read_rgb(scene, views[i], scene.size) / 255, maps["rgb"].clamp(0, 1).numpy()]
            write_image(
                arguments.pictures / f"{i:05d}.png",
                (255 * np.hstack([*shown, np.nan_to_num(truth)])).round().astype(np.uint8),
            )
        print(line, flush=True)


if __name__ == "__main__":
    main()
