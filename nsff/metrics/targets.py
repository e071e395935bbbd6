"""The views a protocol scores, brought into the scene's world and pixels: which camera to render, and what the truth
is there.

Notation. Cameras are OpenCV world to camera in the world of cameras.json; pictures (H,W,3) uint8, masks (H,W), all at
the size that is rendered. That is the truth's own size if it is at most the canonical height; else the canonical
height, the truth reduced by area (NSFF). Truth of training cameras goes through the pixel map; where that is more
than resizing, or where masks are scored too, canonical size it is, and smaller truth is enlarged bilinearly. What the
published code makes of pictures and masks on the way to that size stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from nsff.cameras import Cameras
from nsff.cameras.align import PoseErrors, Similarity, pose_errors
from nsff.config import SceneConfig
from nsff.datasets.truth import Truth, TruthCamera, TruthView
from nsff.errors import InputError
from nsff.metrics.canonical_truth import (
    Method,
    PixelMap,
    dilate,
    is_enlarged,
    resize_image,
    resize_labels,
    resize_published,
)
from nsff.metrics.measure import Published
from nsff.metrics.protocols import Protocol, ProtocolView, held_out_frames, reference_truth
from nsff.metrics.regions import changing_region
from nsff.metrics.similarity import carried, fit_similarity
from nsff.scene import Scene


@dataclass(frozen=True)
class Target:
    """One view to render and score. Loaders read files when called, and give None where the layout has none."""

    index: int
    split: str
    time: float
    intrinsics: Float64[np.ndarray, "3 3"]
    starts: tuple[Float64[np.ndarray, "3 4"], ...]
    """Estimates of the camera: the first is what ``raw`` renders; refinement begins at whichever explains the picture
    best."""
    size: tuple[int, int]
    """(height, width)."""
    image: Callable[[], UInt8[np.ndarray, "H W 3"] | None]
    dynamic: Callable[[], Bool[np.ndarray, "H W"] | None]
    labels: Callable[[], Int64[np.ndarray, "H W"] | None]
    reference_image: Callable[[], UInt8[np.ndarray, "H W 3"] | None]
    """The true picture that the protocol's reference code compares with; None: the same as ``image``."""
    reference_dynamic: Callable[[], Bool[np.ndarray, "H W *C"] | None]
    """Where its dynamic-only scores are taken; None: the same as ``dynamic``."""
    reference_masks: Callable[[], Published | None]
    """Labels and foreground as the protocol's reference code reads and resizes them; None without a true mask."""
    refinable: bool = True
    """False where the camera is a training camera at its own time."""


@dataclass(frozen=True)
class Targets:
    views: list[Target]
    similarity: Similarity | None
    """The similarity that fits the truth's world to ours; None where there is none to fit."""
    pose_errors: PoseErrors | None = None
    """Errors of our cameras against the true ones, where these are known."""


def frame_numbers(scene: Scene) -> list[int]:
    """Source numbers of the scene's frames."""
    return [frame.index for frame in scene.ingest_result.frames]


def truth_targets(scene: Scene, config: SceneConfig, protocol: Protocol, truth: Truth) -> Targets:
    """Targets of all views of the truth but the protocol's duplicates; raises InputError where truth and scene do not
    fit."""
    skipped = protocol.duplicates(scene.n_frames)
    views = [view for view in truth.views if view.index not in skipped]
    similarity = None
    if any(view.camera is not None for view in views):
        if truth.training_cameras is None:
            raise InputError(
                truth.path, "has cameras for the views but none for the frames", "give the frames' true cameras too"
            )
        similarity = fit_similarity(truth.training_cameras, scene.cameras)
    pixel_map = PixelMap.load(scene.pixel_map_path)
    targets = []
    for view in views:
        if view.camera is not None:
            assert similarity is not None
            targets.append(_own_camera(scene, config, view, view.camera, truth, similarity))
        else:
            targets.append(_training_camera(scene, protocol, view, truth, pixel_map))
    known = truth.training_cameras
    return Targets(targets, similarity, None if known is None else pose_errors(scene.cameras, known))


def self_targets(scene: Scene, config: SceneConfig) -> Targets:
    """The frames held out of training, at their own cameras. Their dynamic region is the pipeline's own motion mask."""
    held = held_out_frames(scene.n_frames, config.train.hold_out)
    if not held:
        raise InputError(
            scene.root,
            f"protocol self: no frame is held out of {scene.n_frames} (train.hold_out {config.train.hold_out})",
            "set train.hold_out to at least 2 and at most the number of frames",
        )  # fmt: skip
    return Targets([_own_frame(scene, i) for i in held], None)


def _own_frame(scene: Scene, i: int) -> Target:
    cameras = scene.cameras
    return Target(
        index=i,
        split="heldout",
        time=float(i),
        intrinsics=cameras.intrinsics[i],
        starts=(cameras.world_to_camera[i],),
        size=scene.size,
        image=lambda: scene.image(i),
        dynamic=lambda: scene.motion_mask(i),
        labels=_nothing,
        reference_image=_nothing,
        reference_dynamic=_nothing,
        reference_masks=_nothing,
        refinable=False,
    )


def _own_camera(
    scene: Scene, config: SceneConfig, view: TruthView, camera: TruthCamera, truth: Truth, similarity: Similarity
) -> Target:
    """A view with a true camera of its own: true intrinsics, pose mapped into our world."""
    assert truth.training_cameras is not None
    K = camera.intrinsics.copy()
    K[:2, 2] += 0.5 - truth.pixel_centre
    own = Cameras(K[None], camera.world_to_camera[None], np.array([[1.0, 2.0]]), camera.width, camera.height)
    height = min(camera.height, scene.size[0])
    size = (height, round(camera.width * height / camera.height))
    sized = own.resized(*size)
    starts = (
        similarity.apply_cameras(own).world_to_camera[0],
        carried(own, truth.training_cameras, scene.cameras, similarity, view.time),
    )

    def image() -> UInt8[np.ndarray, "H W 3"] | None:
        picture = view.image()
        return None if picture is None else resize_image(picture, size)

    def reference_image() -> UInt8[np.ndarray, "H W 3"] | None:
        picture = view.image()
        return resize_image(picture, size, "area") if picture is not None and is_enlarged(picture, size) else None

    def labels() -> Int64[np.ndarray, "H W"] | None:
        values = view.mask()
        return None if values is None else resize_labels(values, size)

    def dynamic() -> Bool[np.ndarray, "H W"] | None:
        given = view.dynamic_mask()
        if given is not None:
            return resize_labels(given, size)
        values = labels()
        return None if values is None else dilate(values > 0, config.score.dilation)

    def reference_dynamic() -> Bool[np.ndarray, "H W *C"] | None:
        given, values = view.published_dynamic(), view.mask()
        if given is not None:
            return resize_published(given, size)
        return None if values is None else dilate(resize_published(values, size) > 0, config.score.dilation)

    def reference_masks() -> Published | None:
        found = view.published_mask()
        return None if found is None else (resize_published(found[0], size), resize_published(found[1], size))

    return Target(
        view.index, view.split, view.time, sized.intrinsics[0], starts, size, image, dynamic, labels,
        reference_image, reference_dynamic, reference_masks,
    )  # fmt: skip


def _training_camera(scene: Scene, protocol: Protocol, view: TruthView, truth: Truth, pixel_map: PixelMap) -> Target:
    """A view at the camera of a scene frame, at any time: our intrinsics and pose."""
    frame = view.training_camera
    if frame is None or not 0 <= frame < scene.n_frames:
        raise InputError(
            truth.path, f"view {view.index} is at camera {frame}, the scene has {scene.n_frames}", "check the truth"
        )
    cameras = scene.cameras[[frame]]
    size = scene.size
    # Labels are compared with masks at canonical size, and colours likewise where both are scored.
    if protocol.images and not protocol.masks and pixel_map.is_resizing:
        picture = view.image()
        if picture is not None and picture.shape[0] < size[0]:
            size = (picture.shape[0], picture.shape[1])
    sized = cameras.resized(*size)

    def read(source: TruthView, method: Method = "standard") -> UInt8[np.ndarray, "H W 3"] | None:
        picture = source.image()
        if picture is None:
            return None
        return (
            resize_image(picture, size, method)
            if size != scene.size
            else pixel_map.image(picture, source.image_path, method)
        )

    def through_map(values: np.ndarray, name: object, published: bool = False) -> np.ndarray:
        if size == scene.size:
            return pixel_map.labels(values, name, published)
        return resize_published(values, size) if published else resize_labels(values, size)

    def dynamic() -> Bool[np.ndarray, "H W"] | None:
        given = view.dynamic_mask()
        if protocol.dynamic == "changing" and given is None:
            given = changing_region(view, truth.views)
        return None if given is None else through_map(given, view.dynamic_path or view.image_path)

    def reference_dynamic() -> Bool[np.ndarray, "H W *C"] | None:
        given = view.published_dynamic()
        return None if given is None else through_map(given, view.dynamic_path, published=True)

    def labels() -> Int64[np.ndarray, "H W"] | None:
        values = view.mask()
        return None if values is None else through_map(values, view.mask_path)

    def reference_masks() -> Published | None:
        found = view.published_mask()
        if found is None:
            return None
        values, foreground = (through_map(part, view.mask_path, published=True) for part in found)
        return values, foreground

    def reference_image() -> UInt8[np.ndarray, "H W 3"] | None:
        reference = protocol.reference
        source = _reference_source(view, frame, truth.views) if reference.off_by_one else view
        return None if source is None else read(source, reference.truth_resize)

    return Target(
        view.index, view.split, view.time, sized.intrinsics[0], (cameras.world_to_camera[0],), size,
        lambda: read(view), dynamic, labels, reference_image, reference_dynamic, reference_masks,
        refinable=view.time != frame,
    )  # fmt: skip


def _reference_source(view: TruthView, camera: int, views: Sequence[TruthView]) -> TruthView | None:
    """The truth that the off-by-one evaluator compares a view with: same pictures, another view's."""
    wanted = reference_truth(ProtocolView(view.index, view.split, camera, int(view.time)))
    found = [
        v for v in views if v.training_camera == wanted.camera and v.time == wanted.time and v.image_path is not None
    ]
    return replace(found[0]) if found else None


def _nothing() -> None:
    return None
