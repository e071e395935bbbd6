"""Labels that come apart: discs whose motion is known, followed by their own exact flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from nsff.config import CrfConfig, DecomposeConfig, ExtractConfig, RenderConfig
from nsff.decompose.clusters import Clusters
from nsff.decompose.crf import run_crf
from nsff.decompose.extract import extract_view, run_extract
from nsff.decompose.instance_splitting import distance_to, gap_is_open, split_label
from nsff.decompose.instances import Instances, find_instances, label_instances
from nsff.decompose.postprocess import run_postprocess
from nsff.decompose.views import View, read_views
from nsff.errors import StageError
from nsff.files.io import read_mask, write_image
from nsff.rendering.maps import run_maps
from nsff.scene import Scene

SIZE = (120, 200)


@dataclass
class Disc:
    """Centre column and row by view, radius, disparity."""

    path: list[tuple[float, float]]
    radius: float
    disparity: float = 0.5

    def covers(self, view: int) -> np.ndarray:
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        x, y = self.path[view]
        return np.hypot(columns - x, rows - y) <= self.radius


class World:
    """Masks, points, disparities and flow of discs before a wall; ``post`` is a still thing beside the masks."""

    def __init__(self, *discs: Disc, post: np.ndarray | None = None, post_disparity: float = 1.0) -> None:
        n = len(discs[0].path)
        order = sorted(discs, key=lambda disc: disc.disparity)
        self.shown = [np.zeros(SIZE, int) for _ in range(n)]
        self.disparities = [np.full(SIZE, 0.1) for _ in range(n)]
        for view in range(n):
            for number, disc in enumerate(order, start=1):
                self.shown[view][disc.covers(view)] = number
                self.disparities[view][disc.covers(view)] = disc.disparity
            if post is not None:
                self.shown[view][post] = 0
                self.disparities[view][post] = post_disparity
        self.order = order
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        self.points = [np.stack([(columns - 100) / 100 / d, (rows - 60) / 100 / d, 1 / d], 2) for d in self.disparities]
        self.masks = [shown > 0 for shown in self.shown]

    def link(self, i: int, j: int):
        flow = np.zeros((*SIZE, 2), np.float32)
        for number, disc in enumerate(self.order, start=1):
            flow[self.shown[i] == number] = np.subtract(disc.path[j], disc.path[i])
        return flow, np.ones(SIZE, bool)

    def split_labels(self) -> tuple[int, list[np.ndarray]]:
        return split_label(self.masks, self.points.__getitem__, self.disparities.__getitem__, self.link)


def line(start, end, n: int) -> list[tuple[float, float]]:
    return [tuple(point) for point in np.linspace(start, end, n)]


# --- parting ---------------------------------------------------------------------------------------------------------
def test_two_things_stay_two_where_they_touch():
    """They meet in the last third: the small one passes in front of the large one."""
    n = 15
    large, small = Disc([(60, 60)] * n, 26), Disc(line((170, 60), (75, 60), n), 14, 0.7)
    world = World(large, small)
    touching = [v for v in range(n) if np.hypot(*np.subtract(small.path[v], large.path[v])) < 38]
    assert 4 <= len(touching) <= 8
    count, labels = world.split_labels()
    assert count == 2
    for view in range(n):
        assert ((labels[view] > 0) == world.masks[view]).all()
        # Along the rim a pixel or two of flow's nearest neighbours may go to the other.
        assert (labels[view][world.shown[view] == 1] == 1).mean() > 0.97, view
        assert (labels[view][world.shown[view] == 2] == 2).mean() > 0.9, view


def test_what_is_off_for_a_moment_is_no_thing():
    n = 20
    apart = [(60 + (55 if view in (4, 5, 6, 7) else 25), 60) for view in range(n)]
    count, labels = World(Disc([(60, 60)] * n, 26), Disc(apart, 10)).split_labels()
    assert count == 1
    assert all(set(np.unique(found)) == {0, 1} for found in labels)


def test_a_speck_is_no_thing():
    """Apart from first to last, but of a fiftieth of the area."""
    n = 8
    count, labels = World(Disc([(60, 60)] * n, 30), Disc([(150, 60)] * n, 4.2)).split_labels()
    assert count == 1
    assert labels[3][60, 150] == 1


@pytest.mark.parametrize(("post_disparity", "instances"), [(0.9, 1), (0.1, 2)])
def test_what_something_nearer_hides_may_be_one(post_disparity, instances):
    """A post before the middle of a disc; or nothing before it: then they are two halves."""
    post = np.zeros(SIZE, bool)
    post[:, 92:108] = True
    count, _ = World(Disc([(100, 60)] * 8, 40), post=post, post_disparity=post_disparity).split_labels()
    assert count == instances


def test_a_thing_that_comes_back_is_the_same():
    """It leaves on the right and returns, while the other stays."""
    away = [*line((150, 60), (186, 60), 4), *[(300, 60)] * 4, *line((186, 60), (150, 60), 4)]
    count, labels = World(Disc([(50, 60)] * 12, 26), Disc(away, 20)).split_labels()
    assert count == 2
    assert labels[1][60, 150] == labels[11][60, 150] == 2
    assert set(np.unique(labels[6])) == {0, 1}


def test_an_empty_label():
    count, labels = World(Disc([(300, 300)] * 3, 5)).split_labels()
    assert count == 1
    assert not np.any(labels)


def test_gaps():
    a, b = np.zeros((5, 9), bool), np.zeros((5, 9), bool)
    a[2, :3], b[2, 6:] = True, True
    disparity = np.full((5, 9), 0.2)
    disparity[a], disparity[b] = 0.4, 0.5
    assert gap_is_open(distance_to(a), b, disparity)
    disparity[2, 3:6] = 0.52  # within 5 % of the nearer
    assert gap_is_open(distance_to(a), b, disparity)
    disparity[2, 3:6] = 0.53
    assert not gap_is_open(distance_to(a), b, disparity)
    disparity[2, 3] = disparity[2, 4] = 0.2  # most of it is open
    assert gap_is_open(distance_to(a), b, disparity)


# --- numbers ---------------------------------------------------------------------------------------------------------
def by_hand() -> Instances:
    """Label 1 is one thing, label 2 is two, 2 and 3, of which time 4 shows one alone; label 3 is one, 4."""
    return Instances(
        [1, 2, 1],
        np.array([0.0, 4.0]),
        [np.array([[0.0, 0, 1], [5, 0, 1]]), np.array([[9.0, 0, 1]])],
        [np.array([2, 2]), np.array([2])],
        [np.array([2, 3]), np.array([3])],
    )


def test_points_get_the_number_of_the_nearest_with_their_label():
    instances = by_hand()
    assert instances.total == 4
    assert instances.split_labels == [2]
    assert instances.first.tolist() == [0, 1, 2, 4]
    labels = np.array([0, 1, 2, 2, 3])
    points = np.array([[5.0, 0, 1], [5, 0, 1], [1, 0, 1], [4, 0, 1], [5, 0, 1]])
    assert instances.numbers_of(labels, points, 1.5).tolist() == [0, 1, 2, 3, 4]
    assert instances.numbers_of(labels, points, 2.5).tolist() == [0, 1, 3, 3, 4]


def test_things_are_stored(tmp_path):
    scene = Scene(tmp_path)
    assert Instances.load(scene) is None
    by_hand().save(scene.masks_dir)
    found = Instances.load(scene)
    assert found is not None
    assert found.counts == [1, 2, 1]
    assert [p.tolist() for p in found.points] == [p.tolist() for p in by_hand().points]
    assert [p.tolist() for p in found.numbers] == [[2, 3], [3]]
    path = scene.instances_path
    content = dict(np.load(path))
    np.savez(path, **content | {"labels": content["labels"][:2]})
    with pytest.raises(StageError, match=r"things\.npz.*lengths"):
        Instances.load(scene)


# --- the stages ------------------------------------------------------------------------------------------------------
def two_squares(scene: Scene) -> list[np.ndarray]:
    """Clusters of one salient label: two squares that do not move, the smaller on the left. Views of another split show
    them six pixels further right, in the cameras of the training views."""
    masks = []
    for view in read_views(scene):
        shift = 6 if view.split != "training" else 0
        label, mask = np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.uint8)
        mask[10:24, 8 + shift : 20 + shift], mask[10:24, 36 + shift : 50 + shift] = 1, 2
        label[mask > 0] = 1
        write_image(scene.clusters_dir / "merged" / f"{view.index}.png", label + 1)
        write_image(scene.maps_dir / f"{view.index}_depth.png", np.where(mask, 60000, 20000).astype(np.uint16))
        masks.append(mask)
    Clusters(np.eye(4, dtype=np.float32)[:2], np.arange(2), [1]).save(scene.clusters_dir, {})
    for i in range(scene.n_frames - 1):
        flow, valid = np.zeros((48, 64, 2), np.float32), np.ones((48, 64), bool)
        scene.write_flow(i, "fwd", flow, valid)
        scene.write_flow(i + 1, "bwd", flow, valid)
    return masks


def larger_first(masks: list[np.ndarray]) -> list[np.ndarray]:
    return [np.where(mask > 0, 3 - mask, 0) for mask in masks]


def test_masks_of_all_views_have_things_for_labels(fake_scene):
    scene = fake_scene(extra=3)
    masks = larger_first(two_squares(scene))
    run_postprocess(scene, DecomposeConfig(cleaning="none"))
    for view, mask in zip(read_views(scene), masks, strict=True):
        np.testing.assert_array_equal(read_mask(scene.masks_dir / f"{view.index}.png"), mask)
    summary = scene.summary("postprocess")
    assert summary["things"] == [2]
    assert summary["n_objects"] == 2
    assert "1 of 1 labels were split into instances: 2 objects" in summary["message"]
    run_crf(scene, CrfConfig(backend="own", iterations=0))
    assert set(np.unique(read_mask(scene.masks_crf_dir / "7.png"))) == {0, 1, 2}


def test_not_where_a_preset_says_so(fake_scene):
    scene = fake_scene(extra=3)
    two_squares(scene)
    run_postprocess(scene, DecomposeConfig(cleaning="none", split_instances=False))
    assert set(np.unique(read_mask(scene.masks_dir / "2.png"))) == {0, 1}
    assert not scene.instances_path.exists()
    assert scene.summary("postprocess")["things"] is None


def test_one_thing_needs_no_file(fake_scene):
    scene = fake_scene()
    two_squares(scene)
    for view in read_views(scene):
        path = scene.clusters_dir / "merged" / f"{view.index}.png"
        label = read_mask(path)
        label[:, 30:] = 1
        write_image(path, label)
    run_postprocess(scene, DecomposeConfig(cleaning="none"))
    assert scene.summary("postprocess")["things"] == [1]
    assert not scene.instances_path.exists()


def test_a_label_that_no_training_view_shows_is_one_thing(fake_scene):
    """Label 2 comes into the picture in another camera alone; its number follows the two of label 1."""
    scene = fake_scene(extra=3)
    two_squares(scene)
    Clusters(np.eye(4, dtype=np.float32)[:3], np.arange(3), [1, 2]).save(scene.clusters_dir, {})
    path = scene.clusters_dir / "merged" / "7.png"
    label = read_mask(path)
    label[30:40, :10] = 3
    write_image(path, label)
    run_postprocess(scene, DecomposeConfig(cleaning="none"))
    assert scene.summary("postprocess")["things"] == [2, 1]
    assert set(np.unique(read_mask(scene.masks_dir / "7.png")[30:40, :10])) == {3}
    assert set(np.unique(read_mask(scene.masks_dir / "6.png"))) == {0, 1, 2}


def test_held_out_views_are_labelled_by_what_the_others_show(fake_scene):
    """Training views 0, 2, 4: flow is chained over the frames between."""
    scene = fake_scene()
    masks = larger_first(two_squares(scene))
    views = read_views(scene)
    training = [view for view in views if view.index % 2 == 0]
    labels = [(mask > 0).astype(np.uint8) for mask in masks]
    instances, numbered = find_instances(scene, training, [labels[view.index] for view in training], 1)
    assert instances.counts == [2]
    np.testing.assert_array_equal(numbered[1], masks[2])
    np.testing.assert_array_equal(label_instances(scene, views[3], labels[3], instances), masks[3])


def test_extracted_objects_are_things(box_world, read_ply):
    """Both boxes have one label; their surfaces tell samples apart, those inside and behind as well."""
    scene, renderer = box_world(n=4)
    run_maps(scene, RenderConfig())
    one_label = Clusters(np.eye(4, dtype=np.float32)[:3], np.array([0, 1, 1]), [1])
    view = View(3, "training", 3, 3.0)
    resting, moving = [[0.7, 0.0, 3.0]], [[0.15, 0.0, 2.0]]
    points = [np.array(resting + moving, np.float32)] * 4
    instances = Instances([2], np.arange(4.0), points, [np.array([1, 1])] * 4, [np.array([1, 2])] * 4)
    found = extract_view(renderer, scene, view, one_label, True, instances)
    apart = extract_view(renderer, scene, view, Clusters(one_label.centroids, np.arange(3), [1, 2]))
    assert sorted(found.rgba) == [0, 1, 2]
    for number in (0, 1, 2):
        np.testing.assert_allclose(found.rgba[number], apart.rgba[number], atol=1e-5)
    one_label.save(scene.clusters_dir, {"K": 3})
    for i in range(4):
        write_image(scene.clusters_dir / "merged" / f"{i}.png", np.ones((48, 64), np.uint8))
    instances.save(scene.masks_dir)
    assert sorted(run_extract(scene, ExtractConfig(clouds=1))["alpha"]) == ["1", "2"]
    ply = next((scene.extracted_dir / "points").glob("*_clusters.ply"))
    assert {0, 1, 2} == set(read_ply(ply)["object"])
