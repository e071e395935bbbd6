"""Long clips by keyframes: work grows with the clip, all frames get poses, loops and the focal length are found."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.align import pose_errors
from nsff.config import SfmConfig
from nsff.priors.sfm import keyframes as sfm_keyframes
from nsff.priors.sfm import stage
from nsff.priors.sfm.features import exhaustive_pairs, extract
from nsff.priors.sfm.focal import essential_costs, focal_by_pairs, fundamental_matrix
from nsff.priors.sfm.keyframes import denser_keyframes, keyframe_pairs, keyframes, loop_pairs
from nsff.priors.sfm.mapping import quiet

pycolmap = pytest.importorskip("pycolmap")


@pytest.fixture(scope="module")
def there_and_back(filmed: SimpleNamespace) -> Any:
    """31 frames along an arc; the last come back to where the first were, from a little above."""
    s = np.sin(np.linspace(-1.3, 4.4, 31))
    height = np.linspace(0.0, 0.25, 31)
    return filmed.film(np.stack([0.9 * s, -height, 0.2 * s], 1), 0.12 * s)


@pytest.fixture
def short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of more than ten frames are long."""
    for module in (sfm_keyframes, stage):
        monkeypatch.setattr(module, "LONG", 10)


def test_keyframes_and_pairs_grow_with_the_clip(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sfm_keyframes, "loop_pairs", lambda database, keys: [])

    def pairs(n: int) -> list[tuple[int, int]]:
        database: Any = SimpleNamespace(names=[str(i) for i in range(n)])
        return keyframe_pairs(database, keyframes(n))

    assert keyframes(60) == list(range(60))
    assert keyframes(101) == list(range(0, 101, 2)) and keyframes(500)[-2:] == [495, 499]
    assert max(np.diff(keyframes(2000))) == sfm_keyframes.MOST_STEP
    assert len(pairs(500)) < 3.5 * len(pairs(125)) and len(pairs(1000)) < 2.2 * len(pairs(500))
    seen = {frame for pair in pairs(250) for frame in pair}
    assert seen == set(range(250)) and all(i < j for i, j in pairs(250))


def test_where_little_is_shared_all_frames_are_keyframes():
    class Matched:
        """Keyframes share much, apart from 4 and 6."""

        matched: list[tuple[int, int]] = []

        def match(self, pairs: Any) -> None:
            self.matched = list(pairs)

        def inliers(self) -> list[tuple[int, int, np.ndarray]]:
            return [(i, j, np.zeros((30 if i == 4 else 300, 2), int)) for i, j in self.matched]

    database: Any = Matched()
    assert denser_keyframes(database, [0, 2, 4, 6, 8]) == [0, 2, 4, 5, 6, 8]
    assert database.matched == [(0, 2), (2, 4), (4, 6), (6, 8)]


def test_a_long_clip_is_solved(there_and_back: Any, short_is_long: None, tmp_path: Path):
    scene = there_and_back.save(tmp_path / "long")
    stage.run_sfm(scene, SfmConfig(image_height=240))
    summary = scene.summary("sfm")
    assert summary["attempt"] == "keyframes" and summary["registered"] == 31 and summary["verdict"] == "good"
    model = pycolmap.Reconstruction(str(scene.sfm_dir / "sparse"))
    images = sorted(model.images.values(), key=lambda image: image.name)
    assert min(image.num_points3D for image in images) > 100  # frames between keyframes see points, too
    lens = next(iter(model.cameras.values()))
    K = np.tile(lens.calibration_matrix(), (31, 1, 1))
    found = Cameras(K, np.array([i.cam_from_world().matrix() for i in images]), np.ones((31, 2)), 320, 240)
    errors = pose_errors(found, there_and_back.cameras)
    assert errors.position_rmse < 0.01 and errors.rotation_mean < 0.2 and abs(errors.focal) < 0.04


def test_the_same_long_clip_again(there_and_back: Any, short_is_long: None, tmp_path: Path):
    config = SfmConfig(image_height=240, focal=288.0)
    for name in ("one", "other"):
        stage.run_sfm(there_and_back.save(tmp_path / name), config)
    one, other = ((tmp_path / name / "sfm" / "sparse" / "images.bin").read_bytes() for name in ("one", "other"))
    assert one == other


def test_loops_and_the_focal_length(there_and_back: Any, tmp_path: Path):
    database = extract(there_and_back.save(tmp_path / "loop"), SfmConfig(image_height=240), tmp_path / "work")
    loops = loop_pairs(database, list(range(31)))
    assert loops and all(b - a > 10 for a, b in loops)
    # Most join places that are near each other.
    centres = there_and_back.cameras.centres
    assert np.median([np.linalg.norm(centres[a] - centres[b]) for a, b in loops]) < 0.5
    assert focal_by_pairs(database) is None
    with quiet():
        database.match([(i, j) for i, j in exhaustive_pairs(31) if (i + j) % 4 == 0])
    assert focal_by_pairs(database) == pytest.approx(288, rel=0.08)


def test_an_exact_pair_tells_its_focal_length():
    generator = np.random.default_rng(0)
    points = np.concatenate([generator.uniform(-2, 2, (80, 2)), generator.uniform(4, 8, (80, 1))], 1)
    c, s = np.cos(0.2), np.sin(0.2)
    moved = points @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) + [0.8, 0.1, -0.3]
    first, second = (1.1 * at[:, :2] / at[:, 2:] for at in (points, moved))
    F = fundamental_matrix(first, second)
    ends = [np.concatenate([at, np.ones((80, 1))], 1) for at in (first, second)]
    assert np.abs(np.einsum("ni,ij,nj->n", ends[1], F / np.linalg.norm(F), ends[0])).max() < 1e-10
    costs = essential_costs(F, np.array([0.8, 1.0, 1.1, 1.2, 1.6]))
    assert costs.argmin() == 2 and costs[2] < 1e-8
