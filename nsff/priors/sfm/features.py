"""Features and verified matches for structure from motion, in a COLMAP database (CPU SIFT, one shared camera).

Notation. Frames are enlarged or reduced to a working height; ``scale`` is working over ingested size, so that pixel
positions (centres at +0.5) convert by it alone. COLMAP masks: 0 is ignored, the file is named like the image + .png.
Image i of the database is frame i; ids count from 1 in that order whatever the threads do, which keeps runs repeatable.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from tqdm import tqdm

from nsff.config import SfmConfig
from nsff.errors import StageError
from nsff.files.io import read_mask, write_image, write_text
from nsff.imaging.overlay import Overlay, find_overlay
from nsff.layout import frame_name
from nsff.scene import Scene

SMALLEST, LARGEST = 540, 1080
"""Rows between which frames are brought if sfm.image_height is null: measured, smaller frames lose accuracy."""
FEATURES_PER_IMAGE = 2000
OVERLAP = 10
"""Sequential: every frame is matched to so many following ones, and to those 2^k further on."""
EXHAUSTIVE_PAIRS = 20_000
"""No more pairs than this are matched; a longer clip gets as many neighbours per frame as fit."""
FIRST_FOCAL = 1.2
"""Focal length to begin with, over the longer side; every later step estimates it."""


LEAST_MATCHES = 15
"""A pair of frames with fewer verified matches says nothing (COLMAP's own bound)."""


Moving = Callable[[int], Bool[np.ndarray, "H W"]]
"""Gives the mask of a frame, of any size, whose features are left out."""


@dataclass(frozen=True)
class Matches:
    """Verified matches of frames i < j, working pixels."""

    i: int
    j: int
    first: Float[np.ndarray, "M 2"]
    second: Float[np.ndarray, "M 2"]


@dataclass
class FeatureDatabase:
    """A COLMAP database of one scene, and what is known about it."""

    folder: Path
    names: list[str]
    scale: float
    width: int
    height: int
    """Working size."""
    seed: int
    max_error: float
    principal_point: tuple[float, float]
    """Working pixels."""
    distortion: float = 0.0
    """The radial distortion that mapping starts from."""
    matched: set[tuple[int, int]] = field(default_factory=set)
    overlay: Overlay | None = None
    """Text, logos and bars burnt into the frames; there are no features on them."""

    @property
    def path(self) -> Path:
        return self.folder / "database.db"

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        import pycolmap

        database = pycolmap.Database.open(str(self.path))
        try:
            yield database
        finally:
            database.close()

    def features_per_image(self) -> list[int]:
        """Number of features of each frame."""
        with self.opened() as database:
            return [database.num_keypoints_for_image(i + 1) for i in range(len(self.names))]

    def positions(self, i: int) -> Float[np.ndarray, "K 2"]:
        """Positions of the features of frame i, working pixels."""
        with self.opened() as database:
            return _positions(database.read_keypoints(i + 1))

    def set_lens(self, K: Float[np.ndarray, "3 3"]) -> Any:
        """Makes the camera a pinhole with known intrinsics (working pixels), and returns it."""
        import pycolmap

        with self.opened() as database:
            camera_id = database.read_all_cameras()[0].camera_id
            params = [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
            lens = pycolmap.Camera(
                model="PINHOLE", width=self.width, height=self.height, camera_id=camera_id, params=params
            )
            database.update_camera(lens)
        return lens

    def set_focal(self, pixels: float) -> None:
        """Sets the focal length (working pixels) the mapper starts from."""
        with self.opened() as database:
            camera = database.read_all_cameras()[0]
            camera.params = [pixels, *self.principal_point, self.distortion]
            camera.has_prior_focal_length = True  # the mapper decomposes essential, not fundamental matrices
            database.update_camera(camera)

    def match(self, pairs: Iterable[tuple[int, int]]) -> int:
        """Matches pairs of frames and verifies them geometrically, without those matched before; returns how many."""
        import pycolmap

        todo = sorted(set(pairs) - self.matched)
        matching = pycolmap.FeatureMatchingOptions()
        matching.use_gpu, matching.num_threads = False, threads()
        verification = pycolmap.TwoViewGeometryOptions()
        verification.ransac.max_error, verification.ransac.random_seed = self.max_error, self.seed
        verification.detect_watermark = False
        listing = self.folder / "pairs.txt"
        with tqdm(total=len(todo), desc="match features", unit="pair") as progress:
            for start in range(0, len(todo), 64):
                chunk = todo[start : start + 64]
                write_text(listing, "".join(f"{self.names[i]} {self.names[j]}\n" for i, j in chunk))
                pycolmap.match_image_pairs(
                    str(self.path),
                    matching_options=matching,
                    pairing_options=_pairing(listing),
                    verification_options=verification,
                    device=pycolmap.Device.cpu,
                )
                progress.update(len(chunk))
        self.matched |= set(todo)
        return len(todo)

    def verified(self) -> list[Matches]:
        """The verified matches of all pairs of frames that have any, in the order of the frames."""
        with self.opened() as database:
            positions = [_positions(database.read_keypoints(i + 1)) for i in range(len(self.names))]
        return [Matches(i, j, positions[i][both[:, 0]], positions[j][both[:, 1]]) for i, j, both in self.inliers()]

    def inliers(self) -> list[tuple[int, int, Int[np.ndarray, "M 2"]]]:
        """Pairs of frames i < j with verified matches, and these as indices into the features of both, in order."""
        found = []
        with self.opened() as database:
            for pair, geometry in zip(*database.read_two_view_geometries(), strict=True):
                i, j = (image_id - 1 for image_id in _pair_ids(pair))
                if len(geometry.inlier_matches):
                    found.append((i, j, np.asarray(geometry.inlier_matches, int)))
        return sorted(found, key=lambda pair: pair[:2])

    def largest_descriptors(self, i: int, count: int) -> UInt8[np.ndarray, "L 128"]:
        """Descriptors of the features of frame i that cover most of it."""
        with self.opened() as database:
            keypoints, descriptors = database.read_keypoints(i + 1), database.read_descriptors(i + 1)
        data = descriptors if isinstance(descriptors, np.ndarray) else np.asarray(descriptors.data)
        order = np.argsort(-_scales(keypoints), kind="stable")[:count]
        return data[order]

    def displacement(self) -> float | None:
        """Median over the verified pairs of the median shift of their inliers, ingested pixels; None without pairs."""
        shifts = [
            np.median(np.linalg.norm(pair.second - pair.first, axis=1))
            for pair in self.verified()
            if len(pair.first) >= LEAST_MATCHES
        ]
        return float(np.median(shifts)) / self.scale if shifts else None


def coarse_masks(scene: Scene, sfm: SfmConfig) -> Moving | None:
    """The coarse masks of a scene; None where there are none, or the settings say not to use them."""
    if not (sfm.use_masks and scene.coarse_masks_dir.is_dir()):
        return None
    return lambda i: read_mask(scene.coarse_masks_dir / frame_name(i), scene.frame(i).shape[:2]) > 127


def extract(
    scene: Scene,
    sfm: SfmConfig,
    folder: Path,
    enlarge: float = 1.0,
    moving: Moving | Literal["coarse"] | None = "coarse",
) -> FeatureDatabase:
    """Writes the frames at working height, extracts features, returns the database.

    What is burnt in is left out, and so is what ``moving`` covers: the coarse masks, masks of your own, or nothing.
    ``enlarge`` multiplies the working height.
    """
    import pycolmap

    if moving == "coarse":
        moving = coarse_masks(scene, sfm)
    overlay = find_overlay(scene.n_frames, scene.frame)
    names = [frame_name(i) for i in range(scene.n_frames)]
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    size: tuple[int, int] | None = None
    for i, name in enumerate(names):
        frame = scene.frame(i)
        if size is not None and frame.shape[:2] != size:
            raise StageError(
                scene.frames_dir / name, f"is {frame.shape[1]}x{frame.shape[0]}, the first frame {size[1]}x{size[0]}",
                "all frames of a scene must share one size: run ingest again",
            )  # fmt: skip
        size = (frame.shape[0], frame.shape[1])
        height, width = working_size(size, sfm.image_height, enlarge)
        write_image(folder / "images" / name, _resized(frame, height, width))
        if moving is not None or overlay is not None:
            left_out = np.zeros((height, width), bool) if overlay is None else overlay.at((height, width))
            if moving is not None:
                mask = moving(i).astype(np.uint8)
                left_out |= cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0
            write_image(folder / "masks" / f"{name}.png", np.where(left_out, 0, 255).astype(np.uint8))
    assert size is not None
    scale = height / size[0]
    centre = sfm.principal_point or (size[1] / 2, size[0] / 2)
    database = FeatureDatabase(
        folder, names, scale, width, height, sfm.seed, max_error=4.0,
        principal_point=(centre[0] * width / size[1], centre[1] * height / size[0]), distortion=sfm.distortion or 0.0,
        overlay=overlay,
    )  # fmt: skip

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_RADIAL"
    if moving is not None or overlay is not None:
        reader.mask_path = str(folder / "masks")
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu, options.num_threads = False, threads()
    options.sift.max_num_features = FEATURES_PER_IMAGE
    options.sift.max_num_orientations = 1  # a second orientation repeats a position
    options.sift.first_octave = 0  # frames are already enlarged where that helps
    pycolmap.Database.open(str(database.path)).close()
    pycolmap.import_images(str(database.path), str(database.images), pycolmap.CameraMode.SINGLE, names, reader)
    for start in tqdm(range(0, len(names), 8), desc="extract features", unit="8 frames"):
        pycolmap.extract_features(
            str(database.path), str(database.images), names[start : start + 8], pycolmap.CameraMode.SINGLE,
            reader, options, pycolmap.Device.cpu,
        )  # fmt: skip
    focal = sfm.focal * scale if sfm.focal else FIRST_FOCAL * max(width, height)
    database.set_focal(focal)
    return database


def working_size(size: tuple[int, int], height: int | None, enlarge: float = 1.0) -> tuple[int, int]:
    """(height, width) at which features of frames of ``size`` are extracted."""
    rows = round((height or int(np.clip(size[0], SMALLEST, LARGEST))) * enlarge)
    return rows, round(size[1] * rows / size[0])


def sequential_pairs(count: int, overlap: int = OVERLAP) -> list[tuple[int, int]]:
    """Pairs of frames at most ``overlap`` apart, or a power of two beyond that."""
    steps = [*range(1, overlap + 1), *(2**k for k in range(1, 16) if 2**k > overlap)]
    return [(i, i + step) for i in range(count) for step in steps if i + step < count]


def exhaustive_pairs(count: int) -> list[tuple[int, int]]:
    """All pairs, or as many neighbours per frame as EXHAUSTIVE_PAIRS allows."""
    reach = max(OVERLAP, EXHAUSTIVE_PAIRS // count)
    pairs = {(i, j) for i in range(count) for j in range(i + 1, min(count, i + 1 + reach))}
    return sorted(pairs | set(sequential_pairs(count)))


def threads() -> int:
    """Processors this process may use. Only work whose result does not depend on it takes more than one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    larger = height > image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)


def _pairing(listing: Path) -> Any:
    import pycolmap

    options = pycolmap.ImportedPairingOptions()
    options.match_list_path = str(listing)
    return options


def _pair_ids(pair: int) -> tuple[int, int]:
    import pycolmap

    first, second = pycolmap.pair_id_to_image_pair(pair)
    return int(first), int(second)


def _scales(keypoints: Any) -> np.ndarray:
    """Sizes of features, by the area of their affine frame; columns are x, y and the four entries of the frame."""
    if not isinstance(keypoints, np.ndarray):
        return np.array([keypoint.compute_scale() for keypoint in keypoints])
    if keypoints.shape[1] < 6:
        return keypoints[:, 2]
    return np.abs(keypoints[:, 2] * keypoints[:, 5] - keypoints[:, 3] * keypoints[:, 4])


def _positions(keypoints: Any) -> np.ndarray:
    if isinstance(keypoints, np.ndarray):
        return keypoints[:, :2]
    import pycolmap

    return np.asarray(pycolmap.keypoints_to_matrix(keypoints))[:, :2]
