"""The cameras of a scene for COLMAP, nerfstudio and Blender, with the frames that they belong to.

One folder serves them all: ``images/`` and ``sparse/0/`` are what COLMAP and Gaussian splatting programs ask for,
``transforms.json`` beside ``images/`` is nerfstudio's, and ``blender_camera.py`` is run within Blender. All are in the
world of cameras.json; pixel centres lie at +0.5.
"""

from __future__ import annotations

from pathlib import Path

from nsff.cameras.colmap import to_reconstruction
from nsff.cameras.nerfstudio import write_transforms
from nsff.cameras.points import SparsePoints
from nsff.export.blender import blender_script
from nsff.export.times import frame_rate, frame_times
from nsff.files.io import atomic_directory, write_image, write_text
from nsff.files.ply import write_ply
from nsff.layout import frame_name
from nsff.scene import Scene

POINTS = "points.ply"


def export_cameras(scene: Scene, folder: Path) -> None:
    """Writes ``folder`` (replaced as a whole):

    - images/00000.png …: the frames without lens distortion
    - sparse/0/*.bin, sparse_text/*.txt: COLMAP models, binary and text, with the points of structure from motion
    - transforms.json: nerfstudio, with time in [0, 1] and near and far as further keys; points.ply, which it names
    - blender_camera.py: an animated camera
    """
    cameras, times = scene.cameras, frame_times(scene)
    points = SparsePoints.load(scene.points_path) if scene.points_path.exists() else SparsePoints.empty()
    names = [frame_name(i) for i in range(scene.n_frames)]
    reconstruction = to_reconstruction(cameras, names, points)
    with atomic_directory(folder) as temporary:
        for i, name in enumerate(names):
            write_image(temporary / "images" / name, scene.image(i))
        for part in ("sparse/0", "sparse_text"):
            (temporary / part).mkdir(parents=True)
        reconstruction.write_binary(str(temporary / "sparse/0"))
        reconstruction.write_text(str(temporary / "sparse_text"))
        write_ply(temporary / POINTS, points.xyz, points.rgb)
        span = max(float(times[-1] - times[0]), 1e-9)
        relative = [f"images/{name}" for name in names]
        write_transforms(temporary / "transforms.json", cameras, relative, (times - times[0]) / span, POINTS)
        write_text(temporary / "blender_camera.py", blender_script(cameras, frame_rate(scene), scene.name))
