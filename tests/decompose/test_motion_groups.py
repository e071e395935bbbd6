"""Objects by motion: a clip of a still, textured wall before a turned-off camera, with things that move before it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from nsff.cameras import Cameras
from nsff.config import DecomposeConfig
from nsff.decompose.clustering import run_cluster
from nsff.decompose.clusters import Clusters
from nsff.decompose.extract import number_points, object_count
from nsff.decompose.instances import Instances
from nsff.decompose.motion_groups.clean_plate import CleanPlate, clean_plate, harmonic, still_inverse_depth
from nsff.decompose.motion_groups.grouping import Tracklet, group_objects, is_object, same_after_hiding, shadows_of
from nsff.decompose.motion_groups.moving_pixels import Clip, find_moving_pixels
from nsff.decompose.motion_groups.pixel_evidence import log_shadow, log_still, plate_noise
from nsff.decompose.motion_groups.placed import PlacedObjects
from nsff.decompose.motion_groups.track_evidence import vote_evidence
from nsff.decompose.motion_groups.track_graph import build_graph, carried_along, spread
from nsff.decompose.postprocess import read_objects, run_postprocess
from nsff.decompose.view_surfaces import read_disparity, surface_points
from nsff.decompose.views import read_views
from nsff.files.io import read_mask, write_image, write_json
from nsff.models.base import Points
from nsff.results import DepthResult
from nsff.tracking.point_tracks import PointTracks, track_points

HEIGHT, WIDTH, FRAMES = 96, 144, 8


def texture(seed: int, size: tuple[int, int], low: int, high: int) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 1, (*size, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 1.2)
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    return (low + noise * (high - low)).astype(np.uint8)


def still_cameras(count: int) -> Cameras:
    K = np.array([[120.0, 0, WIDTH / 2], [0, 120, HEIGHT / 2], [0, 0, 1]])
    pose = np.concatenate([np.eye(3), np.zeros((3, 1))], axis=1)
    bounds = np.tile([1.0, 9.0], (count, 1))
    return Cameras(np.tile(K, (count, 1, 1)), np.tile(pose, (count, 1, 1)), bounds, WIDTH, HEIGHT)


def film(things, covered=lambda thing, i: True, shadow=None) -> Clip:
    """A clip of squares: each thing is (seed, side, place(i) -> (row, column) or None). The masks show those that
    ``covered`` says; ``shadow(i)`` is a rectangle that is darkened, and covered too."""
    wall = texture(0, (HEIGHT, WIDTH), 120, 250)
    images, masks, flows = [], [], []
    for i in range(FRAMES):
        image, mask = wall.copy(), np.zeros((HEIGHT, WIDTH), bool)
        flow = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
        if shadow is not None:
            where = shadow(i)
            image[where] = (image[where] * 0.5).astype(np.uint8)
            mask[where] = True
        for seed, side, place in things:
            if (at := place(i)) is None:
                continue
            where = np.s_[at[0] : at[0] + side, at[1] : at[1] + side]
            image[where] = texture(seed, (side, side), 0, 110) + np.uint8([120, 0, 0])
            mask[where] |= covered(seed, i)
            for direction, j in enumerate((i + 1, i - 1)):
                to = place(j) if 0 <= j < FRAMES else None
                if to is not None:
                    flow[direction][where] = to[1] - at[1], to[0] - at[0]
        images.append(image)
        masks.append(mask)
        flows.append(flow)
    disparity = [np.full((HEIGHT, WIDTH), 0.25, np.float32)] * FRAMES
    link = lambda i, j: (flows[i][0 if j > i else 1], np.ones((HEIGHT, WIDTH), bool))  # noqa: E731
    return Clip(still_cameras(FRAMES), images, masks, disparity, link)


def area(place, side):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[place[0] : place[0] + side, place[1] : place[1] + side] = True
    return mask


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


# --- trajectories ----------------------------------------------------------------------------------------------------
def test_trajectories_follow_the_flow_and_end_where_it_is_inconsistent():
    flow = np.zeros((20, 30, 2), np.float32)
    flow[..., 0] = 1.5
    valid = np.ones((20, 30), bool)
    valid[:, 10:] = False
    tracks = track_points(lambda i, j: (flow, valid), 4, (20, 30), 5)
    first = tracks.positions[:, 0]
    np.testing.assert_allclose(first, [[2, 2], [3.5, 2], [5, 2], [6.5, 2]])
    ended = np.flatnonzero(np.isfinite(tracks.positions[0, :, 0]) & (tracks.positions[0, :, 0] >= 12))
    assert not tracks.alive[1, ended].any()
    assert tracks.alive[1:].any(0)[~tracks.alive[0]].all()  # what begins later fills what has thinned out


def test_votes_over_time_decide_not_one_frame():
    evidence = vote_evidence(np.array([8.0, 3, 1, 0]), np.full(4, 8.0))
    assert evidence[0] > evidence[1] > 0 > evidence[2] > evidence[3]
    assert vote_evidence(np.array([1.0]), np.array([1.0]))[0] > 0


def test_evidence_spreads_to_what_moves_and_looks_alike_and_not_across_motion():
    """Three trajectories in a row: the second moves as the first does, the third stands still."""
    positions = np.zeros((6, 3, 2), np.float32)
    positions[:, :, 0] = [0, 4, 8]
    positions[:, :2, 0] += np.arange(6)[:, None] * 3
    graph = build_graph(PointTracks(positions), np.zeros((3, 3)), 5.0, 1.0)
    moving = spread(graph, np.array([4.0, 0, 0]), 1.0)
    assert moving[1] > 0.9
    assert moving[2] < 0.75


def test_what_hardly_moves_of_a_body_most_of_which_moves_is_carried_along():
    """A row of trajectories that bends more and more to its right end, above one that stands still and looks the same,
    and beside a single one that looks otherwise, to which it is tied."""
    n_frames, count = 10, 30
    t, k = np.arange(n_frames)[:, None], np.arange(count)
    cloth = np.stack([4.0 * k + 0 * t, 50 + 0.05 * k * np.sin(t)], axis=-1)
    below = np.stack([4.0 * k + 0 * t, 54 + 0 * t + 3.0 * (t > 4) * np.ones(count)], axis=-1)
    pole = np.stack([np.full((n_frames, 1), -4.0), np.full((n_frames, 1), 50.0)], axis=-1)
    positions = np.concatenate([cloth, below, pole], axis=1).astype(np.float32)
    colours = np.full((2 * count + 1, 3), 0.8)
    colours[-1] = 0.1
    graph = build_graph(PointTracks(positions), colours, 4.0, 1.0)
    moving = np.r_[np.where(k >= 10, 0.95, 0.1), np.full(count + 1, 0.05)]
    seen = np.full(2 * count + 1, float(n_frames))
    carried = carried_along(graph, moving, seen, n_frames)
    assert carried[:10].all() and not carried[10:].any()
    few = np.r_[np.where(k >= 20, 0.95, 0.1), np.full(count + 1, 0.05)]
    assert not carried_along(graph, few, seen, n_frames).any()


# --- the still scene -------------------------------------------------------------------------------------------------
def test_depth_behind_things_continues_planes():
    rows = np.tile(np.linspace(0.1, 0.4, 60, dtype=np.float32)[:, None], (1, 80))
    moving = np.zeros((60, 80), bool)
    moving[20:40, 30:50] = True
    spoilt = np.where(moving, 3.0, rows).astype(np.float32)
    np.testing.assert_allclose(still_inverse_depth(spoilt, moving), rows, rtol=0.02)
    np.testing.assert_array_equal(harmonic(rows, np.zeros((60, 80), bool)), rows)


def test_clean_plate_shows_the_wall_behind_what_moves():
    clip = film([(1, 20, lambda i: (30, 10 + 12 * i))])
    plate = clean_plate(clip.cameras, 4, clip.inverse_depth, clip.images, clip.masks)
    assert plate.known.all()
    np.testing.assert_allclose(plate.colour, texture(0, (HEIGHT, WIDTH), 120, 250) / 255, atol=1e-6)


def test_a_shadow_is_told_from_still_ground_and_from_a_thing():
    wall = texture(0, (HEIGHT, WIDTH), 120, 250).astype(np.float32) / 255
    picture = wall.copy()
    picture[20:50, 20:50] *= np.float32([0.45, 0.5, 0.6])
    picture[20:50, 80:110] = texture(3, (30, 30), 0, 110) / 255
    plate = CleanPlate(wall, np.zeros(wall.shape[:2], np.float32), np.ones(wall.shape[:2], bool))
    still = np.ones(wall.shape[:2], bool)
    still[20:50, 20:110] = False
    deviation = np.hypot(plate_noise(picture, plate, still).deviation(plate), 0.02).astype(np.float32)
    shadow, ground = log_shadow(picture, plate, deviation, 11), log_still(picture, plate, deviation)
    inner, thing = np.s_[25:45, 25:45], np.s_[25:45, 85:105]
    assert np.median(shadow[inner]) > np.median(ground[inner]) + 2
    assert np.median(shadow[thing]) < np.median(shadow[inner]) - 1


# --- objects ---------------------------------------------------------------------------------------------------------
def walker(i):
    return 8, 8 + 11 * i


def walkers_shadow(i):
    return np.s_[32:46, 8 + 11 * i : 32 + 11 * i]


def ball(i):
    return None if i in (3, 4) else (62, 110 - 13 * i)


@pytest.fixture(scope="module")
def found():
    """Pixels, objects and shadows of one film: a square with its shadow (1), another that is hidden for two frames (2),
    and a third that rests and that one mask of eight covers."""
    things = [(1, 24, walker), (2, 20, ball), (3, 16, lambda i: (74, 124))]
    clip = film(things, covered=lambda thing, i: thing != 3 or i == 4, shadow=walkers_shadow)
    moving = find_moving_pixels(clip)
    objects = group_objects(clip, moving)
    return objects, shadows_of(objects, moving.shadow)


def test_two_things_are_two_and_masks_are_sharp(found):
    objects, _ = found
    assert {int(k) for frame in objects for k in np.unique(frame)} == {0, 1, 2}
    for i in range(FRAMES):
        assert overlap(objects[i] == 1, area(walker(i), 24)) > 0.85
        if (place := ball(i)) is not None:
            assert overlap(objects[i] == 2, area(place, 20)) > 0.85


def test_a_thing_is_the_same_after_it_was_hidden(found):
    objects, _ = found
    assert (objects[2] == 2).any()
    assert not (objects[3] == 2).any()
    assert (objects[6] == 2).any()


def test_what_masks_vote_for_in_few_frames_is_no_object(found):
    objects, _ = found
    assert all((frame[74:90, 124:140] > 0).mean() < 0.1 for frame in objects)


def test_a_shadow_is_a_layer_of_its_caster_and_no_object(found):
    objects, shadows = found
    for i in range(1, FRAMES - 1):
        assert (objects[i][walkers_shadow(i)] > 0).mean() < 0.2
        assert (shadows[i][walkers_shadow(i)] == 1).mean() > 0.5


def test_other_colours_or_another_place_are_another_thing():
    colours = np.zeros(216)
    colours[3] = 10
    first = Tracklet({0: 100, 1: 100}, {0: np.array([10.0, 10]), 1: np.array([15.0, 10])}, 2, colours)
    same = Tracklet({4: 100, 5: 100}, {4: np.array([30.0, 10]), 5: np.array([35.0, 10])}, 2, colours)
    elsewhere = Tracklet({4: 100, 5: 100}, {4: np.array([90.0, 60]), 5: np.array([95.0, 60])}, 2, colours)
    other = Tracklet(same.areas, same.centres, 2, np.roll(colours, 5))
    assert same_after_hiding(first, same, 0.5) == pytest.approx(1)
    assert same_after_hiding(first, elsewhere, 0.5) == 0
    assert same_after_hiding(first, other, 0.5) == 0
    assert same_after_hiding(same, first, 0.5) == same_after_hiding(first, same, 0.5)


def test_a_speck_is_no_object():
    lasting = Tracklet({i: 400 for i in range(6)}, {}, 6)
    assert is_object(lasting, 6, 100 * 100)
    assert not is_object(Tracklet({i: 2 for i in range(6)}, {}, 6), 6, 100 * 100)
    assert not is_object(Tracklet({0: 400}, {}, 1), 6, 100 * 100)


def test_without_metric_depth_votes_and_colours_tell():
    place = lambda i: (30, 8 + 10 * i)  # noqa: E731
    whole = film([(1, 24, place)])
    clip = Clip(whole.cameras, whole.images, whole.masks, None, whole.link)
    objects = group_objects(clip, find_moving_pixels(clip))
    assert all(overlap(objects[i] == 1, area(place(i), 24)) > 0.85 for i in range(FRAMES))


def test_a_clip_without_motion_has_no_object():
    clip = film([])
    assert not any(frame.any() for frame in group_objects(clip, find_moving_pixels(clip)))


# --- the stage -------------------------------------------------------------------------------------------------------
def test_the_stage_writes_what_later_stages_read(fake_scene, moving_square):
    """Masks pass through the cleaning as they are, views from elsewhere get the objects of their points, and points of
    a model are told apart by their place and by whether they move."""
    scene = fake_scene(extra=1)
    for i in range(scene.n_frames):
        write_image(scene.motion_mask_path(i), (moving_square(i) * 255).astype(np.uint8))
        scene.write_disparity(i, np.where(moving_square(i), 0.4, 0.2).astype(np.float32), np.ones(scene.size))
    write_json(scene.depth_result_path, DepthResult(backend="given", metric=True).model_dump())
    decompose = DecomposeConfig(method="motion")
    run_cluster(scene, decompose)
    run_postprocess(scene, decompose)
    assert scene.summary("cluster")["verdict"] == "good"
    assert scene.summary("cluster")["n_objects"] == 1
    for view in read_views(scene):
        mask = read_mask(scene.mask_path(view.index), scene.size)
        assert overlap(mask == 1, moving_square(int(view.time))) > 0.8, view
        np.testing.assert_array_equal(read_objects(scene, view, [1]), mask)
    clusters, things = Clusters.load(scene), Instances.load(scene)
    assert isinstance(things, PlacedObjects)
    assert object_count(clusters, things) == 1
    view = read_views(scene)[2]
    surface = surface_points(scene, view, read_disparity(scene, view, scene.size)).reshape(-1, 3)
    positions = torch.from_numpy(surface.astype(np.float32))
    numbers = number_points(Points(positions, positions), 2.0, 6, clusters, things)
    assert overlap(numbers.reshape(scene.size) == 1, moving_square(2)) > 0.8
    resting = Points(positions, positions, moving=torch.zeros(len(positions), dtype=torch.bool))
    assert not number_points(resting, 2.0, 6, clusters, things).any()
