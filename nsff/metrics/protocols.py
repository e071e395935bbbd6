"""Named evaluation protocols: which frames train, which views test, which metrics, how they are averaged.
docs/protocols.md.

A score without its protocol means nothing: five benchmarks in the field share one data set's name. Each protocol also
says what the published evaluation code does differently (``Reference``); such numbers go into columns named
``*_reference`` and exist only to be put beside that code's tables.

Notation. N frames train, 0..N-1; a view is (index, split, camera, time), where camera c is the camera of training
frame c (or of the rig) and time is a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from nsff.config.base import nearest
from nsff.config.reproduce import RIG_CAMERAS
from nsff.errors import ConfigError


@dataclass(frozen=True)
class ProtocolView:
    index: int
    split: str
    camera: int
    time: int


@dataclass(frozen=True)
class Reference:
    """The published evaluation code's ways, reproduced in the ``*_reference`` metrics."""

    code: str
    ssim_data_range: float = 2.0
    """2: scikit-image's former default for float pictures."""
    lpips_symmetric: bool = True
    """Whether pictures are brought to [-1,1]."""
    lpips_input_scaling: bool = False
    """False: the version is given as a number and compared with the text '0.1', so the input scaling is skipped."""
    lpips_bgr: bool = False
    masked: bool = False
    """Whether the code has dynamic-only scores at all."""
    psnr_8bit: bool = False
    """PSNR by OpenCV on 8 bits; identical pictures score 361.2 dB."""
    single_precision: bool = False
    """Whether pictures are rounded to single precision."""
    truth_resize: Literal["area", "nearest"] = "area"
    """OpenCV's interpolation that brings the truth to the prediction's size, also where that enlarges it."""
    off_by_one: bool = False
    """Held-out views are compared with the truth of the view before them: one frame, or one camera, too early."""
    merged_colours: bool = False
    """Labels are told apart by one colour channel."""


NSFF = Reference("NSFF evaluation.py", masked=True, single_precision=True)
SAFF = Reference(
    "SAFF evaluate_recon_ours.py, evaluate_ours.py",
    lpips_symmetric=False,
    truth_resize="nearest",
    off_by_one=True,
    merged_colours=True,
)
DYNAMICNERF = Reference(
    "DynamicNeRF evaluation.py", ssim_data_range=1.0, lpips_input_scaling=True, lpips_bgr=True, psnr_8bit=True
)


@dataclass(frozen=True)
class Protocol:
    """One named protocol. ``views(N)`` lists its views for N training frames where it fixes them (None: the truth
    does)."""

    name: str
    title: str
    train: str
    test: str
    reference: Reference
    images: bool = False
    """Scores colours: psnr, ssim, lpips."""
    masks: bool = False
    """Scores labels: ari, fg_ari, jaccard."""
    dynamic: Literal["given", "objects", "changing", "estimated"] | None = None
    """Where the region of dynamic-only scores comes from: mv_masks of the data, true object labels dilated by
    score.dilation, what changes among the true pictures of a camera that stands still, or the pipeline's own motion
    masks; None: full pictures only."""
    region: str = "dynamic"
    """The name of that region in the rows of scores."""
    average: Literal["images", "splits"] = "images"
    """images: one mean over all images. splits: images → split → mean of the splits."""
    refined: bool = False
    """Whether held-out cameras are refined where the cameras were estimated (variant aligned)."""
    views: Callable[[int], list[ProtocolView]] | None = None
    duplicates: Callable[[int], frozenset[int]] = field(default=lambda n: frozenset())
    """Indices of views that repeat a training view and are not scored."""
    frames: int | None = None
    """Training frames of the published protocol."""
    published_mean: str = ""
    """The set of pictures that the published mean is taken over, in words."""


def _training(n_frames: int) -> list[ProtocolView]:
    return [ProtocolView(i, "training", i, i) for i in range(n_frames)]


def _nsff24(n_frames: int) -> list[ProtocolView]:
    """Every time t and every rig camera c ≠ t mod 12: 264 for 24 frames. Camera c stands where training frame c
    does."""
    pairs = [(t, c) for t in range(n_frames) for c in range(RIG_CAMERAS) if c != t % RIG_CAMERAS]
    return [ProtocolView(i, "heldout", c, t) for i, (t, c) in enumerate(pairs)]


def _dynnerf12(n_frames: int) -> list[ProtocolView]:
    """Camera 0 at every time; time 0 is the training view, and the published means hold it."""
    return [ProtocolView(t, "heldout" if t else "training", 0, t) for t in range(n_frames)]


def _saff(n_frames: int) -> list[ProtocolView]:
    """SAFF's canonical views (render_2D): 60 for 24 frames."""
    spatial = [ProtocolView(n_frames + t, "nv_spatial", 0, t) for t in range(n_frames)]
    static = [ProtocolView(2 * n_frames + c, "nv_static", c, 0) for c in range(min(n_frames, RIG_CAMERAS))]
    return _training(n_frames) + spatial + static


def _dycheck(n_frames: int) -> list[ProtocolView]:
    """SAFF's split of DyCheck's frames: even ones train, odd ones test; every view at its own camera and time."""
    return [ProtocolView(i, "test" if i % 2 else "training", i, i) for i in range(n_frames)]


def held_out_frames(n_frames: int, every: int) -> list[int]:
    """Frames left out of training by train.hold_out: the last of each block of ``every``; none for 0."""
    return list(range(every - 1, n_frames, every)) if every else []


VIEWS = Protocol(
    name="views",
    title="Held-out cameras given with the scene",
    train="all frames",
    test="the held-out (camera, time) pairs of the truth",
    images=True,
    dynamic="objects",
    reference=NSFF,
    refined=True,
)
MASKS = Protocol(
    name="masks",
    title="Given masks on the training views",
    train="all frames",
    test="every training view with a mask",
    masks=True,
    reference=SAFF,
    views=_training,
)
SELF = Protocol(
    name="self",
    title="Held-out frames of the input itself",
    train="all but every hold_out-th frame",
    test="those frames, at their own cameras",
    images=True,
    dynamic="estimated",
    reference=NSFF,
)
REFIT = Protocol(
    name="refit",
    title="Frames left out of a short second training",
    train="all but every k-th frame, Gaussians of 90 rows (nsff/metrics/refit.py)",
    test="those frames, at their own cameras",
    images=True,
    dynamic="estimated",
    reference=NSFF,
)
"""Scored by itself, without truth: no evaluation of the configuration names it."""
NSFF24 = Protocol(
    name="nsff24",
    title="NSFF on NVIDIA Dynamic Scene",
    train="24 frames, frame t from camera t mod 12",
    test="24 times x 12 cameras without the training camera: 264 images",
    images=True,
    dynamic="given",
    reference=NSFF,
    refined=True,
    views=_nsff24,
    frames=24,
    published_mean="the 264 images, then 8 scenes",
)
DYNNERF12 = Protocol(
    name="dynnerf12",
    title="DynamicNeRF on NVIDIA Dynamic Scene",
    train="12 frames, frame t from camera t",
    test="camera 0 at times 0..11, 480x270",
    images=True,
    dynamic="changing",
    reference=DYNAMICNERF,
    refined=True,
    views=_dynnerf12,
    frames=12,
    published_mean="12 images with the training view v000_t000, then 7 scenes (no DynamicFace)",
)
SAFF_VIEWS = Protocol(
    name="saff",
    title="SAFF on NVIDIA Dynamic Scene",
    train="24 frames, as nsff24",
    test="24 training views, 23 of camera 0 at times 1..23, 11 of cameras 1..11 at time 0",
    images=True,
    masks=True,
    dynamic="given",
    average="splits",
    reference=SAFF,
    refined=True,
    views=_saff,
    duplicates=lambda n: frozenset({n, 2 * n}),
    frames=24,
    published_mean="images, then split, then 8 scenes",
)
DYCHECK = Protocol(
    name="dycheck",
    title="SAFF on DyCheck's captures",
    train="even frames (train.hold_out: 2)",
    test="masks of the even (training) and the odd frames (test), and colours where the frames lie beside the masks",
    images=True,
    masks=True,
    dynamic="objects",
    average="splits",
    reference=Reference("SAFF evaluate_ours_per_scene.py", lpips_symmetric=False, merged_colours=True),
    views=_dycheck,
    frames=48,
    published_mean="images, then split, then scenes",
)
IPHONE = Protocol(
    name="iphone",
    title="DyCheck's captures, its own evaluation",
    train="all frames of the moving camera",
    test="the still cameras' frames; region covisible is what at least max(5, N // 10) training frames see",
    images=True,
    dynamic="given",
    region="covisible",
    reference=Reference("DyCheck", ssim_data_range=1.0, lpips_input_scaling=True),
    refined=True,
)
PROTOCOLS: dict[str, Protocol] = {
    p.name: p for p in (VIEWS, MASKS, SELF, NSFF24, DYNNERF12, SAFF_VIEWS, DYCHECK, IPHONE)
}
"""All protocols that an evaluation may name, by name."""


def get_protocol(name: str) -> Protocol:
    """The protocol of that name; raises ConfigError naming what there is."""
    if name not in PROTOCOLS:
        raise ConfigError(
            f"protocol {name}", "unknown", f"{nearest(name, PROTOCOLS)} known: {', '.join(PROTOCOLS)}".strip()
        )
    return PROTOCOLS[name]


def reference_truth(view: ProtocolView) -> ProtocolView:
    """(split, camera, time) that SAFF's reconstruction evaluator compares a view with (evaluate_recon_ours.py).

    View i of nv_spatial is rendered at time i - 24 and compared with time i - 25; view i of nv_static is rendered
    with camera i - 48 and compared with camera i - 49.
    """
    camera, time = view.camera, view.time
    if view.split == "nv_spatial":
        time = max(time - 1, 0)
    elif view.split == "nv_static":
        camera = max(camera - 1, 0)
    return ProtocolView(view.index, view.split, camera, time)
