"""Clips of odd counts and sizes through the whole workflow: nothing counts on 24 frames, even sides or landscape."""

import numpy as np
import pytest

from nsff.files.io import read_image, read_json


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "height", "width"), [(3, 65, 48), (7, 41, 63), (25, 48, 37), (61, 35, 48)], ids=lambda value: str(value)
)
def test_an_odd_clip(new_project, filmed, dense_writer, truth_writer, count, height, width):
    project, clip = new_project("drôle de clip"), filmed(count, height, width)
    dense_writer(project.folder / "clip", clip)
    truth_writer(project.folder / "truth", clip)
    evaluation = [{"protocol": protocol, "truth": "truth"} for protocol in ("views", "masks")]
    project.configure(
        {"clip": {"input": {"path": "clip"}, "evaluation": evaluation}}, canonical={"resize_height": 64},
        train={"steps": 20, "checkpoint_every": 10, "log_every": 10},
        render={"paths": ["view", "time", "spacetime"], "maps": ["saliency"], "canonical_views": "saff"},
    )  # fmt: skip
    ended = project.snakemake()
    assert ended.status == 0, ended.text[-4000:]
    scene = project.scene("clip")
    assert (scene / "report.html").stat().st_size > 0
    size = (min(height, 64), round(width * min(height, 64) / height))
    assert read_image(scene / "images" / f"{count - 1:05d}.png").shape[:2] == size
    views = read_json(scene / "maps" / "views.json")
    assert len(views) == 2 * count + min(count, 12)
    for folder in ("maps", "masks_crf"):
        name = f"{len(views) - 1}_rgb.png" if folder == "maps" else f"{len(views) - 1}.png"
        assert read_image(scene / folder / name).shape[:2] == size
    assert np.load(scene / "renders" / "time_maps" / "saliency" / "00000.npy").ndim == 2
