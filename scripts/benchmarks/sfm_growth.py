"""CPU time, peak memory and errors of structure from motion on the first N frames of a long clip (see long_clip.py).

    python scripts/benchmarks/sfm_growth.py clips/room --frames 60 125 250 500

Each number of frames runs in a process of its own, so that its peak memory is its own. CPU time is user and system.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import _root  # noqa: F401
import numpy as np

from nsff.cameras import Cameras
from nsff.cameras.align import pose_errors
from nsff.config import SfmConfig
from nsff.files.io import read_image, read_json, write_json
from nsff.priors.sfm.stage import run_sfm
from nsff.scene import Scene


def measure(clip: Path, count: int, folder: Path) -> None:
    """Runs the stage on the first ``count`` frames and prints a line of figures."""
    import pycolmap

    scene = Scene(folder)
    height, width = read_image(clip / "images" / "00000.png").shape[:2]
    scene.frames_dir.mkdir(parents=True)
    scene.given_dir.mkdir()
    for i in range(count):
        (scene.frames_dir / f"{i:05d}.png").symlink_to((clip / "images" / f"{i:05d}.png").resolve())
    write_json(scene.manifest_path, {"n_frames": count, "width": width, "height": height, "frames": []})
    start = time.process_time()
    run_sfm(scene, SfmConfig())
    spent = time.process_time() - start
    summary = scene.summary("sfm")
    truth = read_json(clip / "truth.json")
    images = sorted(
        pycolmap.Reconstruction(str(scene.sfm_dir / "sparse")).images.values(), key=lambda image: image.name
    )
    frames = [int(Path(image.name).stem) for image in images if image.has_pose]
    K = np.array(truth["K"], float)
    K[0, 0] = K[1, 1] = summary["focal"]

    def cameras(K: np.ndarray, poses: np.ndarray) -> Cameras:
        return Cameras(np.tile(K, (len(frames), 1, 1)), poses, np.ones((len(frames), 2)), width, height)

    found = cameras(K, np.array([image.cam_from_world().matrix() for image in images if image.has_pose]))
    true = cameras(np.array(truth["K"], float), np.array(truth["world_to_camera"])[frames])
    errors = pose_errors(found, true)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count} frames: {spent:.0f} s of CPU time, {memory:.0f} MB, {summary['attempt']}, {len(frames)} registered, "
        f"reprojection error {summary['reprojection_error']:.2f} px, centres {errors.position_rmse:.4f} of the extent, "
        f"orientations {errors.rotation_mean:.2f} degrees, focal length {errors.focal:+.1%}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="folder that long_clip.py made")
    parser.add_argument("--frames", type=int, nargs="+", required=True, metavar="N")
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for count in given.frames:
        with tempfile.TemporaryDirectory() as folder:
            process = context.Process(target=measure, args=(given.clip, count, Path(folder) / "scene"))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{count} frames: ended with status {process.exitcode}")


if __name__ == "__main__":
    main()
