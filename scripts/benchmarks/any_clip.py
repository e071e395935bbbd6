"""From pixels alone to cameras, motion masks and objects on any clip, against the truth: one line of a table a clip.

Stages up to depth, and objects by motion, which need no model, are run with default settings and estimated cameras
below ``work/FLOW/CLIP``; what an earlier run left there is kept, unless --from names a stage, from which on everything
is made again. A stage that refuses a clip is a result, too. Columns:

- coarse, motion: intersection over union (Jaccard) of coarse and final motion masks with the truth, mean over frames;
- registered: share of the frames with a camera of their own;
- epipolar: median distance of flow to the epipolar lines of the estimated cameras outside the true mask, dilated by 10
  pixels at 288 rows (median over pairs of neighbours, pixels), and the share of pairs where it is below one pixel;
- near-far: 95th over 5th percentile of the depth of points; order: median depth of points in the upper third of the
  pictures over that in the lower third (ground lies below, so above 1 is likely right);
- cameras: root mean square error of the centres over the extent of the path, where the truth is known;
- objects: mean Jaccard of the union of the true objects, those of which more than half lies in the true masks, with a
  clip that is refused counting 0; ARI, fg-ARI; the number of true objects; the false ones, each with its mean share of
  the picture, though they may be things that move and are not annotated;
- verdicts of the stages: g(ood), d(oubtful), p(oor), and what a stage that refused said.

--sheets writes contact sheets: frame, flow, coarse mask, motion mask, truth; frame, motion mask, objects, with the
outlines of the truth; and a picture of each false object.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from _clip_objects import HEAD as OBJECTS_HEAD
from _clip_objects import false_pictures, objects_sheet, read_objects, run_objects, score_objects
from _root import ROOT
from _scenes import markdown, true_cameras

from nsff.cameras.align import pose_errors
from nsff.cameras.points import SparsePoints
from nsff.config import CanonicalConfig, DepthConfig, FlowConfig, InputConfig, MotionConfig, SfmConfig
from nsff.errors import StageError
from nsff.files.io import read_json, read_mask, read_npz, write_image, write_json
from nsff.geometry.epipolar import curve_distance, has_parallax, pixel_centres, segment_distance
from nsff.scene import Scene

CLIPS = ("davis-train", "davis-camel", "davis-car-roundabout", "davis-dog", "davis-horsejump-high",
         "davis-scooter-black", "flag", "toss", "demo")  # fmt: skip
STAGES = ("ingest", "flow", "coarse_masks", "sfm", "cameras", "motion", "depth", "objects")
HEAD = ["clip", "coarse", "motion", *OBJECTS_HEAD, "registered", "epipolar", "near-far", "order", "cameras", "verdicts",
        "refused"]  # fmt: skip


def main() -> None:
    given = _arguments()
    rows = []
    for clip in given.only:
        scene = Scene(given.work / given.flow / clip)
        refused = run_stages(scene, clip, given)
        rows.append(row(scene, clip, given.scenes, refused))
        print("| " + " | ".join(rows[-1]) + " |", flush=True)
        if given.sheets:
            write_sheets(scene, clip, given)
    print(markdown(HEAD, rows))
    scores = [_number(line[HEAD.index("objects")]) for line in rows]
    print(f"mean Jaccard of objects, refused clips as 0: {np.mean(scores):.3f}")


def _number(cell: str) -> float:
    return 0.0 if cell == "-" else float(cell)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR")
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "any_clip", metavar="DIR")
    parser.add_argument("--only", nargs="+", default=CLIPS, metavar="CLIP", help="folders of --scenes")
    parser.add_argument("--flow", choices=("dis", "raft"), default="dis")
    parser.add_argument("--long-side", type=int, default=768, help="raft: pixels of the longer side (default: 768)")
    parser.add_argument("--iterations", type=int, default=20, help="raft: refinements of the flow (default: 20)")
    parser.add_argument("--stride", type=int, default=1, help="every so many frames of DAVIS clips (default: 1)")
    parser.add_argument("--count", type=int, help="so many frames of a clip (default: all)")
    parser.add_argument("--from", dest="first", choices=STAGES, help="make everything again from this stage on")
    parser.add_argument("--to", dest="last", choices=STAGES, default="objects", help="stop after this stage")
    parser.add_argument("--sheets", action="store_true", help="write contact sheets beside the results")
    return parser.parse_args()


def run_stages(scene: Scene, clip: str, given: argparse.Namespace) -> str:
    """Runs what is not there yet; returns what a stage that refused the clip said, or an empty text."""
    from nsff.datasets.ingest import run_ingest
    from nsff.priors.canonical.stage import run_canonical
    from nsff.priors.depth.stage import run_depth
    from nsff.priors.flow.stage import run_flow
    from nsff.priors.motion.stage import run_coarse_masks, run_motion
    from nsff.priors.sfm.stage import run_sfm

    source = given.scenes / clip / "video.mp4" if clip == "demo" else given.scenes / clip
    stride = given.stride if clip.startswith("davis") else 1
    chosen = InputConfig(path=str(source), cameras="estimate", stride=stride, end=given.count and given.count * stride)
    flow = FlowConfig(backend=given.flow, long_side=given.long_side, iterations=given.iterations)
    runs: dict[str, Callable[[], None]] = {
        "ingest": lambda: run_ingest(scene, chosen),
        "flow": lambda: run_flow(scene, flow, CanonicalConfig().resize_height),
        "coarse_masks": lambda: run_coarse_masks(scene, MotionConfig()),
        "sfm": lambda: run_sfm(scene, SfmConfig()),
        "cameras": lambda: run_canonical(scene, CanonicalConfig()),
        "motion": lambda: run_motion(scene, MotionConfig(instances="off")),
        "depth": lambda: run_depth(scene, DepthConfig(auto_order=["classical"])),
        "objects": lambda: run_objects(scene),
    }
    scene.root.mkdir(parents=True, exist_ok=True)
    done = scene.path("any_clip.json")
    state = read_json(done) if done.exists() else {"seconds": {}, "refused": ""}
    if given.first:
        again = STAGES[STAGES.index(given.first) :]
        state = {"seconds": {name: s for name, s in state["seconds"].items() if name not in again}, "refused": ""}
    for stage in STAGES[: STAGES.index(given.last) + 1]:
        if stage in state["seconds"]:
            continue
        if state["refused"]:
            break
        scene.path("summaries", f"{stage}.json").unlink(missing_ok=True)
        start = time.monotonic()
        try:
            runs[stage]()
            state["seconds"][stage] = round(time.monotonic() - start, 1)
        except StageError as error:
            state["refused"] = f"{stage}: {error}"
        write_json(done, state)
    return str(state["refused"])


def row(scene: Scene, clip: str, scenes: Path, refused: str) -> list[str]:
    """One line of the table; a dash where a stage was not reached."""
    summaries = {name: _summary(scene, name) for name in STAGES}
    done = read_json(scene.path("any_clip.json"))["seconds"]
    cells = dict.fromkeys(HEAD, "-") | {"clip": clip}
    frames = true_frames(scene, clip, scenes)
    if "coarse_masks" in done:
        coarse = [read_mask(scene.coarse_masks_dir / f"{i:05d}.png") > 0 for i in range(scene.n_frames)]
        cells["coarse"] = f"{jaccard(coarse, frames):.2f}"
    if "sfm" in done:
        cells["registered"] = f"{summaries['sfm']['registered'] / scene.n_frames:.0%}"
    if "cameras" in done:
        truth = canonical(scene, frames)
        median, share = epipolar(scene, truth)
        cells["epipolar"] = f"{median:.2f} px, {share:.0%}"
        cells["near-far"], cells["order"] = depth_order(scene)
        known = true_cameras(clip, scenes, scene)
        if known is not None:
            cells["cameras"] = f"{100 * pose_errors(scene.cameras, known).position_rmse:.2f} %"
    if "motion" in done:
        cells["motion"] = f"{jaccard(list(scene.motion_masks()), truth):.2f}"
    if "objects" in done:
        labels = canonical_labels(scene, clip, scenes)
        cells |= dict(zip(OBJECTS_HEAD, score_objects(read_objects(scene), labels).cells(), strict=True))
    cells["verdicts"] = " ".join(str(summaries[name].get("verdict", "-"))[0] for name in STAGES)
    cells["refused"] = refused.split("(")[0].strip() or "-"
    return list(cells.values())


def _summary(scene: Scene, stage: str) -> dict[str, object]:
    path = scene.path("summaries", f"{stage}.json")
    return read_json(path) if path.exists() else {}


def true_frames(scene: Scene, clip: str, scenes: Path) -> list[np.ndarray]:
    """The truth of what moves in each ingested frame, (H,W) bool."""
    return [labels > 0 for labels in true_labels(scene, clip, scenes)]


def true_labels(scene: Scene, clip: str, scenes: Path) -> list[np.ndarray]:
    """The true labels in each ingested frame, (H,W) uint8, 0 for what stands still."""
    masks = []
    for frame in range(scene.n_frames):
        i = scene.ingest_result.frames[frame].index
        rendered = (scenes / clip / "gt_masks").is_dir()
        name = f"gt_masks/training_{i:2d}.png" if rendered else f"masks/{i:05d}.png"
        name = f"truth/labels/{i:05d}.png" if clip == "demo" else name
        mask = read_mask(scenes / clip / name).astype(np.uint8)
        size = scene.frame(frame).shape[:2]
        masks.append(cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST))
    return masks


def canonical_truth(scene: Scene, clip: str, scenes: Path) -> list[np.ndarray]:
    """The truth of what moves in each canonical picture, (H,W) bool."""
    return canonical(scene, true_frames(scene, clip, scenes))


def canonical_labels(scene: Scene, clip: str, scenes: Path) -> list[np.ndarray]:
    """The true labels in each canonical picture, (H,W) uint8."""
    return canonical(scene, true_labels(scene, clip, scenes))


def canonical(scene: Scene, masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Masks or labels in the canonical pictures, with the type that they have."""
    at = read_npz(scene.pixel_map_path, ["map"])["map"].astype(np.float32) - 0.5
    carried = [cv2.remap(mask.astype(np.uint8), at, None, cv2.INTER_NEAREST) for mask in masks]  # type: ignore[call-overload]
    return [one.astype(mask.dtype) for one, mask in zip(carried, masks, strict=True)]


def write_sheets(scene: Scene, clip: str, given: argparse.Namespace) -> None:
    contact_sheet(scene, clip, given.scenes, given.work / f"{given.flow}-{clip}.png")
    if scene.path("objects").is_dir():
        labels = canonical_labels(scene, clip, given.scenes)
        objects_sheet(scene, labels, given.work / f"{given.flow}-{clip}-objects.png")
        scores = score_objects(read_objects(scene), labels)
        false_pictures(scene, scores, given.work / f"{given.flow}-{clip}-false")


def jaccard(masks: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    """Mean over the frames in which anything moves."""
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(masks, truth, strict=True) if b.any()]))


def epipolar(scene: Scene, truth: Sequence[np.ndarray]) -> tuple[float, float]:
    """Median over pairs, and share of pairs below one pixel, of the median epipolar distance of what stands still."""
    cameras, medians = scene.cameras, []
    x = pixel_centres(cameras.height, cameras.width)
    size = 2 * round(10 * cameras.height / 288) + 1
    for i in range(len(cameras) - 1):
        flow, mask = scene.flow(i, "fwd")
        still = mask & ~(cv2.dilate(truth[i].astype(np.uint8), np.ones((size, size), np.uint8)) > 0)
        if still.any():
            nearest = float(cameras.near_far[i, 0])
            # A camera that only turns has no epipolar lines: there the distance is that to the one point left.
            turns = not has_parallax(cameras, i, i + 1, nearest)
            there = (x + flow)[still]
            medians.append(np.median(segment_distance(cameras, i, i + 1, x[still], there, nearest) if turns
                                     else curve_distance(cameras, i, i + 1, x[still], there)))  # fmt: skip
    return float(np.median(medians)), float(np.mean(np.array(medians) < 1))


def depth_order(scene: Scene) -> tuple[str, str]:
    """Far over near depth, and the depth of what is seen in the upper third over that in the lower third."""
    depths, rows = [], []
    cameras, points = scene.cameras, SparsePoints.load(scene.points_path)
    for i in range(len(cameras)):
        pose = cameras.world_to_camera[i]
        seen = (points.xyz[points.seen_in(i)] @ pose[:, :3].T + pose[:, 3]) @ cameras.intrinsics[i].T
        depths.append(seen[:, 2])
        rows.append(seen[:, 1] / np.maximum(seen[:, 2], 1e-9) / cameras.height)
    z, v = np.concatenate(depths), np.concatenate(rows)
    z, v = z[z > 0], v[z > 0]
    if not ((v < 1 / 3).any() and (v > 2 / 3).any()):
        return "-", "-"
    near, far = np.percentile(z, [5, 95])
    return f"{far / near:.1f}", f"{np.median(z[v < 1 / 3]) / np.median(z[v > 2 / 3]):.2f}"


def contact_sheet(scene: Scene, clip: str, scenes: Path, path: Path, count: int = 6) -> None:
    """A row a frame: picture, flow to the next frame as colour, coarse mask, motion mask and truth over the picture."""
    truth = true_frames(scene, clip, scenes)
    lines = []
    for i in np.unique(np.linspace(0, scene.n_frames - 2, count).astype(int)):
        frame = scene.frame(int(i))
        size = (320, round(320 * frame.shape[0] / frame.shape[1]))
        tiles = [frame, flow_colours(scene.raw_flow(int(i), "fwd")[0])]
        for folder in (scene.coarse_masks_dir, scene.motion_dir):
            file = folder / f"{i:05d}.png"
            mask = read_mask(file) > 0 if file.exists() else np.zeros(frame.shape[:2], bool)
            tiles.append(tinted(frame, mask))
        tiles.append(tinted(frame, truth[i]))
        lines.append(np.concatenate([cv2.resize(tile, size, interpolation=cv2.INTER_AREA) for tile in tiles], axis=1))
    write_image(path, np.concatenate(lines))


def flow_colours(flow: np.ndarray) -> np.ndarray:
    """Direction as hue, length as saturation, longest (95 %) fully."""
    length = np.linalg.norm(flow, axis=2)
    hue = (np.arctan2(flow[..., 1], flow[..., 0]) + np.pi) / (2 * np.pi) * 179
    strength = np.clip(length / max(float(np.percentile(length, 95)), 1e-3), 0, 1) * 255
    hsv = np.stack([hue, strength, np.full_like(hue, 255)], axis=-1).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def tinted(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    mask = cv2.resize(mask.astype(np.uint8), frame.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    return np.where(mask[..., None], frame // 2 + np.array([127, 0, 0], np.uint8), frame)


if __name__ == "__main__":
    main()
