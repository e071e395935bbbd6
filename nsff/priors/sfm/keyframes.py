"""Long clips: every few frames a keyframe, keyframes mapped together, all other frames placed between them.

Mapping all frames of a long clip at once costs more than its length says, and goes wrong where the focal length it
starts from is far from right: a camera that turns all the way round closes its circle with any. Hence keyframes alone
are mapped, with pairs that close loops, from a focal length that pairs of frames agree on (sfm_focal); each other frame
gets the pose that the points of the keyframes around it ask for, and adds what it sees of them. Work grows with the
number of frames.

Notation. Frames i = 0..N-1 are images i + 1 of the database. Keyframes are 0, s, 2s, ... and the last frame, and all
frames between two of these that share little.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from nsff.priors.sfm.features import OVERLAP, FeatureDatabase, sequential_pairs
from nsff.priors.sfm.mapping import Known, assess, map_globally, refine

LONG = 100
"""Clips of more frames than this are mapped by keyframes, about as many."""
MOST_STEP = 6
"""Frames from one keyframe to the next, at most: further apart they may share too little."""
TRIES = 2
SAME_FOCAL = 0.06
"""Mapping is tried again from the focal length it finds where that differs by more than this fraction."""
AROUND = 2
"""A frame between keyframes is matched to so many on each side."""
LOOP_FEATURES = 150
"""Features of a keyframe, the largest, that are compared with those of all others for loops."""
LOOP_MATCHES = 12
"""Keyframes that share fewer of these are no candidates."""
LOOPS = 2
"""Candidates for each keyframe."""
WEAK = 100
"""Keyframes that share fewer features with the next are joined by all frames between them."""
FEWEST_MATCHES = 20
"""A frame that agrees with fewer points gets no pose."""
POSE_ERROR = 6.0
"""Pixels between a point and where it is seen, above which they do not agree."""


def keyframes(n_frames: int) -> list[int]:
    """Frames that are mapped together; all of a clip that is not long."""
    step = min(MOST_STEP, -(-n_frames // LONG))
    return sorted({*range(0, n_frames, step), n_frames - 1})


def denser_keyframes(database: FeatureDatabase, keys: Sequence[int]) -> list[int]:
    """Keyframes, and the frames between those that share little; matches each keyframe with the next."""
    database.match(pairwise(keys))
    shared = {(i, j): len(both) for i, j, both in database.inliers()}
    added = [i for a, b in pairwise(keys) if shared.get((a, b), 0) < WEAK for i in range(a + 1, b)]
    return sorted({*keys, *added})


def keyframe_pairs(database: FeatureDatabase, keys: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of frames to match: keyframes near each other in time or showing the same part of the scene, and frames
    between with those around."""
    pairs = {(keys[a], keys[b]) for a, b in [*sequential_pairs(len(keys)), *loop_pairs(database, keys)]}
    ranks = np.searchsorted(keys, np.arange(len(database.names)))
    for i, rank in enumerate(ranks):
        if keys[rank] != i:
            pairs |= {(min(i, k), max(i, k)) for k in keys[max(0, rank - AROUND) : rank + AROUND]}
    return sorted(pairs)


def loop_pairs(database: FeatureDatabase, keys: Sequence[int]) -> list[tuple[int, int]]:
    """Positions (a, b) in ``keys`` of keyframes far apart in time whose largest features are alike."""
    largest = [_largest(database, i) for i in keys]
    found = set()
    for a in range(len(keys)):
        shared = [(_alike(largest[a], largest[b]), b) for b in range(len(keys)) if abs(b - a) > OVERLAP]
        best = sorted((pair for pair in shared if pair[0] >= LOOP_MATCHES), reverse=True)[:LOOPS]
        found |= {(min(a, b), max(a, b)) for _, b in best}
    return sorted(found)


def map_keyframes(database: FeatureDatabase, keys: Sequence[int], focal: float, known: Known) -> list[Any]:
    """Reconstructions of all frames by way of the keyframes, from the focal length ``focal`` (working pixels) on.

    Mapping is repeated from what it finds where that is far from what it began with. Reconstructions that register
    fewer than half of the keyframes are left out.
    """
    names = [database.names[i] for i in keys]
    models: list[Any] = []
    for _ in range(TRIES):
        found = [model for model in map_globally(database, False, known, focal, names) if _covers(model, len(keys))]
        models = [refine(model, known, relaxed=False) for model in found]
        begun, focal = focal, _focal(models, focal)
        if abs(np.log(focal / begun)) < SAME_FOCAL:
            break
    return [place_others(database, model, keys) for model in models]


def _covers(model: Any, count: int) -> bool:
    quality = assess(model)
    return quality is not None and 2 * quality.registered >= count


def _focal(models: Sequence[Any], otherwise: float) -> float:
    """The focal length of the model with the most points."""
    largest = max(models, key=lambda model: len(model.points3D), default=None)
    return otherwise if largest is None else float(next(iter(largest.cameras.values())).params[0])


def place_others(database: FeatureDatabase, model: Any, keys: Sequence[int]) -> Any:
    """Adds to a reconstruction of keyframes all other frames that agree with its points, with what they see."""
    import pycolmap

    estimation = pycolmap.AbsolutePoseEstimationOptions()
    estimation.ransac.max_error, estimation.ransac.random_seed = POSE_ERROR, database.seed
    refinement = pycolmap.AbsolutePoseRefinementOptions()
    refinement.refine_focal_length = refinement.refine_extra_params = False
    camera = next(iter(model.cameras.values()))
    keyed = {i for i in keys if i + 1 in model.images and model.images[i + 1].has_pose}
    around = _matches_with(database, keyed)
    for i in range(len(database.names)):
        if i in keyed or i not in around:
            continue
        seen = _points_seen(model, around[i])
        at = database.positions(i).astype(float)
        if len(seen) < FEWEST_MATCHES:
            continue
        features, points = list(seen), list(seen.values())
        xyz = np.array([model.points3D[point].xyz for point in points])
        found = pycolmap.estimate_and_refine_absolute_pose(at[features], xyz, camera, estimation, refinement)
        if found is None or found["num_inliers"] < FEWEST_MATCHES:
            continue
        _add(model, i, database.names[i], camera.camera_id, at, found["cam_from_world"])
        for k in np.flatnonzero(found["inlier_mask"]):
            model.add_observation(points[k], pycolmap.TrackElement(i + 1, features[k]))
    model.update_point_3d_errors()
    return model


def _add(model: Any, i: int, name: str, camera_id: int, at: Float[np.ndarray, "K 2"], pose: Any) -> None:
    """Adds frame i with its features and its pose; it replaces one without a pose if there is one."""
    import pycolmap

    image = pycolmap.Image(name=name, camera_id=camera_id, image_id=i + 1)
    image.points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in at])
    if i + 1 in model.images:
        frame = model.frames[model.images[i + 1].frame_id]
        frame.set_cam_from_world(camera_id, pose)
        model.register_frame(frame.frame_id)
    else:
        model.add_image_with_trivial_frame(image, pose)


def _matches_with(database: FeatureDatabase, keyed: set[int]) -> dict[int, list[tuple[int, np.ndarray]]]:
    """For each frame that is no keyframe: keyframes and the matched features (M,2), (the frame's, the keyframe's)."""
    found: dict[int, list[tuple[int, np.ndarray]]] = {}
    for i, j, inliers in database.inliers():
        for frame, key, columns in ((i, j, (0, 1)), (j, i, (1, 0))):
            if key in keyed and frame not in keyed:
                found.setdefault(frame, []).append((key, inliers[:, columns]))
    return found


def _points_seen(model: Any, matches: Sequence[tuple[int, np.ndarray]]) -> dict[int, int]:
    """Points of the model by the features of a frame that see them; each point once, each feature once."""
    seen: dict[int, int] = {}
    taken: set[int] = set()
    for key, pairs in matches:
        features = model.images[key + 1].points2D
        for own, others in pairs:
            feature = features[int(others)]
            if feature.has_point3D() and int(own) not in seen and feature.point3D_id not in taken:
                seen[int(own)] = feature.point3D_id
                taken.add(feature.point3D_id)
    return seen


def _largest(database: FeatureDatabase, i: int) -> Float[np.ndarray, "L 128"]:
    """Unit descriptors of the largest features of a frame."""
    descriptors = database.largest_descriptors(i, LOOP_FEATURES).astype(np.float32)
    return descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-9)


def _alike(first: Float[np.ndarray, "A 128"], second: Float[np.ndarray, "B 128"]) -> int:
    """The number of descriptors that are each other's nearest, and much nearer than the second nearest."""
    if min(len(first), len(second)) < 2:
        return 0
    similarity = first @ second.T
    nearest = similarity.argmax(1)
    two = np.partition(similarity, -2, axis=1)[:, -2:]
    distinct = 1 - two[:, 1] < 0.64 * (1 - two[:, 0])
    return int((distinct & (similarity.argmax(0)[nearest] == np.arange(len(first)))).sum())
