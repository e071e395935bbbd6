"""Classical depth against rendered truth on `toss`: the table of docs/benchmarks.md#depth.

Cameras are given (12, between which the clip jumps from frame to frame); flow is the true one, or DIS. Motion masks are
computed. The plane is disparity affine in the pixel's position, fitted in each frame to the true disparity of the
static pixels themselves, with relative errors: no method without the truth can do better with a plane.

    python scripts/benchmarks/depth_accuracy.py [--scenes DIR] [--work DIR]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from nsff.config import CanonicalConfig, DepthConfig, FlowConfig, InputConfig, MotionConfig, SfmConfig  # noqa: E402
from nsff.files.io import read_image, read_npz  # noqa: E402
from nsff.scene import Scene  # noqa: E402

FLOWS = {"true flow": "given", "DIS": "dis"}
HEAD = [
    "flow", "static: error", "median", "fitted plane: error", "ratio", "triangulated", "moving: error", "median",
    "depth / true", "masks cover", "seconds (depth)",
]  # fmt: skip


def prepared(toss: Path, work: Path, flow: str) -> tuple[Scene, float]:
    """The scene with classical depth, and the seconds that the depth stage took. ``flow`` is given or dis."""
    from nsff.datasets.ingest import run_ingest
    from nsff.priors.canonical.stage import run_canonical
    from nsff.priors.depth.stage import run_depth
    from nsff.priors.flow.stage import run_flow
    from nsff.priors.motion.stage import run_coarse_masks, run_motion
    from nsff.priors.sfm.stage import run_sfm

    scene, canonical, motion = Scene(work / f"toss-{flow}"), CanonicalConfig(), MotionConfig()
    run_ingest(scene, InputConfig(path=str(toss), truth_priors=str(toss / "truth") if flow == "given" else None))
    run_flow(scene, FlowConfig(backend=flow), canonical.resize_height)  # type: ignore[arg-type]
    run_coarse_masks(scene, motion)
    run_sfm(scene, SfmConfig())
    run_canonical(scene, canonical)
    run_motion(scene, motion)
    begin = time.perf_counter()
    run_depth(scene, DepthConfig(backend="classical"))
    return scene, time.perf_counter() - begin


def measured(scene: Scene, toss: Path) -> dict[str, float]:
    """Absolute relative errors of depth, over all static and all moving pixels of all frames."""
    static_errors, plane_errors, moving_errors, moving_ratios, covered = [], [], [], [], []
    for i in range(scene.n_frames):
        depth = read_npz(toss / "truth" / "depth" / f"{i:05d}.npz", ["depth"])["depth"].astype(np.float64)
        moving = read_image(toss / "dense" / "mv_masks" / f"{i:05d}" / f"cam{i % 12 + 1:02d}.png")[..., 0] > 127
        disparity = scene.disparity(i)[0].astype(np.float64)
        relative = np.abs(1 / (disparity * depth) - 1)
        static_errors.append(relative[~moving])
        plane_errors.append(np.abs(1 / (plane(depth, ~moving) * depth) - 1)[~moving])
        moving_errors.append(relative[moving])
        moving_ratios.append((1 / (disparity * depth))[moving])
        covered.append(scene.motion_mask(i)[moving])
    static, flat, moved = (np.concatenate(parts) for parts in (static_errors, plane_errors, moving_errors))
    return {
        "static": float(static.mean()),
        "static_median": float(np.median(static)),
        "plane": float(flat.mean()),
        "ratio": float(static.mean() / flat.mean()),
        "triangulated": (scene.summary("depth") or {})["triangulated_fraction"],
        "moving": float(moved.mean()),
        "moving_median": float(np.median(moved)),
        "moving_bias": float(np.median(np.concatenate(moving_ratios))),
        "covered": float(np.concatenate(covered).mean()),
    }


def plane(depth: np.ndarray, static: np.ndarray) -> np.ndarray:
    """Disparity (H,W) affine in the pixel's position: least squares of relative errors on the static pixels."""
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    design = np.stack([u, v, np.ones_like(u)], axis=-1).astype(np.float64)
    solution = np.linalg.lstsq(design[static] * depth[static][:, None], np.ones(static.sum()), rcond=None)[0]
    return np.maximum(design @ solution, 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR",
                        help="folder with toss/ (default: ../shared/scenes)")  # fmt: skip
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "benchmarks", metavar="DIR",
                        help="where the scene is prepared (default: results/benchmarks)")  # fmt: skip
    arguments = parser.parse_args()
    toss = arguments.scenes / "toss"
    rows = []
    for name, flow in FLOWS.items():
        scene, seconds = prepared(toss, arguments.work / "depth", flow)
        found = measured(scene, toss)
        percent = {key: f"{100 * value:.2f} %" for key, value in found.items()}
        rows.append([
            name, percent["static"], percent["static_median"], percent["plane"], f"{found['ratio']:.2f}",
            f"{found['triangulated']:.1%}", percent["moving"], percent["moving_median"],
            f"{found['moving_bias']:.3f}", f"{found['covered']:.1%}", f"{seconds:.0f}",
        ])  # fmt: skip
    print("\n".join(f"| {' | '.join(row)} |" for row in [HEAD, ["---"] * len(HEAD), *rows]))


if __name__ == "__main__":
    main()
