"""The names of a scene's files stand in nsff/layout.py, and are those that docs/architecture.md promises."""

import re
from pathlib import Path

from nsff import layout
from nsff.scene import Scene

ROOT = Path(__file__).parents[1]
FOREIGN = {"nsff/datasets/truth_layouts.py"}
"""Readers of what others have laid out, with numbers of five digits too."""


def test_names_of_frames_are_formatted_in_one_place():
    found = {
        str(path.relative_to(ROOT)) for path in (ROOT / "nsff").rglob("*.py") if re.search(r":05d\}", path.read_text())
    }
    assert found == {"nsff/layout.py"} | FOREIGN


def test_paths_and_names_agree():
    scene = Scene(Path("results/toss"))
    assert scene.name == "toss"
    assert scene.frame_path(7) == Path("results/toss/frames/00007.png")
    assert scene.flow_path(3, "bwd") == scene.flow_dir / layout.flow_name(3, "bwd") == scene.path("flow/00003_bwd.npz")
    assert scene.map_path(12, "features").name == layout.map_name(12, "features") == "12_features.npy"
    assert scene.map_path(12, "sal").name == "12_sal.png"
    assert scene.cluster_labels_path(1, "merged").parent == scene.merged_labels_dir
    assert scene.given.depth_path(2) == scene.given_dir / "depth" / "00002.npz"
    assert scene.given.mask_path(2) == scene.path("given", "motion_masks", "00002.png")
    assert layout.extracted_name(4) == "4_rgba.png" and layout.extracted_name(4, 2) == "object_2/4.png"
    assert scene.video_path("view") == scene.path("renders", "view.mp4")
    assert scene.summary_path("depth") == scene.path("summaries", "depth.json")
