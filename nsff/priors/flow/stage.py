"""Optical flow between neighbouring frames, both ways, by one of the estimators of nsff.priors.flow.registry.

Notation. Flow f (H,W,2) is (right, down) in pixels: the pixel centred at x in the first picture is seen at x + f(x) in
the second. Files lie at the working size: the ingested frames reduced to a given number of rows (aspect kept, never
enlarged). A flow is consistent at x where going there and back returns near x (NSFF, run_flows_video.py).

An estimator may see the frames at another size; its flow is brought to the working size. Any two frames can be given
to it (``between``); the stage asks for neighbours, and for pairs ``flow.far`` frames apart. A new estimator is one file
(docs/extending.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from tqdm import tqdm

from nsff.config import FlowConfig
from nsff.errors import StageError
from nsff.files.io import atomic_directory, write_json
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.layout import far_flow_name, flow_name
from nsff.priors.flow.cut_check import CutCheck, agreements, describe_cuts, list_cuts
from nsff.priors.flow.estimator import FlowBackend, FlowEstimator
from nsff.priors.flow.registry import FLOW, for_far_pairs
from nsff.priors.flow.signs import explained_change, judged_by_change
from nsff.results import FlowResult
from nsff.scene import Scene, read_flow, write_flow

FAR_RELATIVE = 0.1
"""Flow between frames further apart is consistent where going there and back returns to within this share of the way
(and ``flow.consistency_absolute`` pixels)."""
PAIRS = 30
"""So many pairs of frames, spread over the clip, are compared with the pictures."""


def choose_backend(flow: FlowConfig, given: bool) -> str:
    """The name of what the setting stands for, ``given`` being whether the source brings flow: given, or a backend's.

    Raises WeightsError where a file that the settings name is missing, or one that is found is damaged.
    """
    return _choose(flow, given)[0]


def _choose(flow: FlowConfig, given: bool) -> tuple[str, Path | None]:
    """The name as ``choose_backend`` returns it, and the file of the weights that the backend loads."""
    chosen = FLOW.choose(flow, given)
    assert chosen is not None  # dis needs nothing
    return chosen


def run_flow(scene: Scene, flow: FlowConfig, height: int) -> None:
    """Writes raw_flow/ as a whole and summaries/flow.json.

    Reads frames/ (or given/flow/ with backend given, or auto where that exists). ``height`` is the working height in
    pixels (canonical.resize_height); given flow keeps its own size. Raises StageError naming the file that is missing,
    corrupt or of another size than its neighbours, and where flow.cuts is stop and the clip has cuts.
    """
    given = scene.given.flow_dir
    backend, weights = _choose(flow, given.is_dir())
    look = CutCheck(scene, flow.cuts)
    with atomic_directory(scene.raw_flow_dir, sealed=True) as folder:
        if backend == "given":
            numbers = _copy_given(scene, given, folder)
        else:
            named = flow.model_copy(update={"backend": backend})
            estimator = FLOW.open_chosen(named, backend, weights)
            numbers = _estimate_all(scene, estimator, named, height, folder)
        cuts = look.after(agreements([share for share, _ in numbers]))
        far = _estimate_far(scene, flow, backend, weights, height, folder) if flow.far else None
        explained = _explained(scene, folder)
        write_json(folder / scene.raw_flow_result_path.name, FlowResult(backend=backend).model_dump())
    summary = {
        "backend": backend,
        "weights": weights.name if weights else None,
        **judged_by_change(_verdict(numbers), explained),
        "cuts": list_cuts(cuts),
    }
    if far is not None:
        summary["far"] = far
    if cuts:
        summary |= {
            "verdict": "poor",
            "message": f"{summary['message']} But {describe_cuts(scene, cuts)}: these are several places.",
        }
    scene.write_summary("flow", summary)


def working_size(size: tuple[int, int], height: int) -> tuple[int, int]:
    """(height, width) of frames of ``size`` reduced to ``height`` rows; smaller frames stay as they are."""
    h, w = size
    return (h, w) if h <= height else (height, max(1, round(w * height / h)))


def consistency(
    flow: Float32[np.ndarray, "H W 2"],
    back: Float32[np.ndarray, "H W 2"],
    relative: float,
    absolute: float,
    inside: bool = True,
) -> Bool[np.ndarray, "H W"]:
    """True where |f + b(x+f)| < relative (|f| + |b(x+f)|) + absolute and, with ``inside``, x + f lies in the picture.

    ``flow`` leads from a picture to another and ``back`` from there to the first; b is read by cubic interpolation,
    zero outside. NSFF: relative 0.5, absolute 0.5 px, ``inside`` False: a flow below 1 px that leaves the picture
    agrees with the zero that it finds there.
    """
    h, w = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    u, v = columns + flow[..., 0], rows + flow[..., 1]
    there = cv2.remap(back, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    error = np.linalg.norm(flow + there, axis=2)
    bound = relative * (np.linalg.norm(flow, axis=2) + np.linalg.norm(there, axis=2)) + absolute
    agrees = error < bound
    if inside:
        agrees &= (u >= -0.5) & (u <= w - 0.5) & (v >= -0.5) & (v <= h - 0.5)
    return agrees


def between(
    estimator: FlowEstimator,
    first: UInt8[np.ndarray, "h w 3"],
    second: UInt8[np.ndarray, "h w 3"],
    size: tuple[int, int],
    config: FlowConfig,
) -> tuple[FlowAndMask, FlowAndMask]:
    """Flow from one picture to another and its consistency, and the same back, at ``size`` (H, W) and in its pixels.

    The pictures are of one size, and may be any frames of a clip, neighbours or not.
    """
    forward = resize_flow(estimator.estimate(first, second), size)
    backward = resize_flow(estimator.estimate(second, first), size)
    bounds = (config.consistency_relative, config.consistency_absolute, config.consistency_inside)
    return (
        (forward, consistency(forward, backward, *bounds)),
        (backward, consistency(backward, forward, *bounds)),
    )


def seen_size(size: tuple[int, int], height: int, config: FlowConfig) -> tuple[int, int]:
    """(height, width) at which the backend of ``config`` sees frames of ``size``: with raft, flow.long_side may change
    it."""
    backend = FLOW.backends.get(config.backend)
    resized = isinstance(backend, FlowBackend) and backend.resized
    if not resized or config.long_side is None:
        return working_size(size, height)
    factor = config.long_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _estimate_all(
    scene: Scene, estimator: FlowEstimator, config: FlowConfig, height: int, folder: Path
) -> list[tuple[float, float]]:
    """Estimates every neighbouring pair; returns (consistent fraction, mean magnitude in pixels) per file,
    forward and backward by turns.
    """
    numbers = []
    first = scene.frame(0)
    ingested = first.shape[:2]
    size, seen = working_size(ingested, height), seen_size(ingested, height, config)
    first = resize_frame(first, seen)
    for i in tqdm(range(scene.n_frames - 1), desc="flow", unit="pair"):
        second = scene.frame(i + 1)
        if second.shape[:2] != ingested:
            raise StageError(
                scene.frame_path(i + 1),
                f"is {second.shape[1]}x{second.shape[0]}, the frame before it {ingested[1]}x{ingested[0]}",
                "all frames of a scene must share one size: run ingest again",
            )
        second = resize_frame(second, seen)
        forward, backward = between(estimator, first, second, size, config)
        for k, direction, (flow, mask) in ((i, "fwd", forward), (i + 1, "bwd", backward)):
            if not np.isfinite(flow).all():
                raise StageError(
                    f"flow {flow_name(k, direction)}",
                    f"{config.backend} estimated values that are not finite",
                    "look at the frames, or choose another flow.backend",
                )
            write_flow(folder / flow_name(k, direction), flow, mask)
            numbers.append((float(mask.mean()), float(np.linalg.norm(flow, axis=2).mean())))
        first = second
    return numbers


def _estimate_far(
    scene: Scene, flow: FlowConfig, backend: str, weights: Path | None, height: int, folder: Path
) -> dict[str, Any]:
    """Estimates flow between frames ``flow.far`` apart, both ways; returns figures for the summary.

    Where neighbours' flow is given, the backend is the one that auto stands for. Motion over several frames is large,
    and a bound that grows by half of it would call everything consistent: it grows by ``FAR_RELATIVE`` at most.
    """
    if backend == "given":
        backend, weights = _choose(for_far_pairs(flow), False)
    bound = min(flow.consistency_relative, FAR_RELATIVE)
    named = flow.model_copy(update={"backend": backend, "consistency_relative": bound, "consistency_inside": True})
    estimator = FLOW.open_chosen(named, backend, weights)
    ingested = scene.frame(0).shape[:2]
    size, seen = working_size(ingested, height), seen_size(ingested, height, named)
    frames: dict[int, UInt8[np.ndarray, "h w 3"]] = {}
    pairs = [(i, i + step) for i in range(scene.n_frames) for step in flow.far if i + step < scene.n_frames]
    shares = []
    for i, j in tqdm(pairs, desc="far flow", unit="pair"):
        frames = {k: frame for k, frame in frames.items() if k >= i}  # pairs are in the order of i
        for k in (i, j):
            if k not in frames:
                frames[k] = resize_frame(scene.frame(k), seen)
        for (a, b), (there, mask) in zip(
            ((i, j), (j, i)), between(estimator, frames[i], frames[j], size, named), strict=True
        ):
            write_flow(folder / far_flow_name(a, b), np.where(np.isfinite(there), there, 0), mask)
            shares.append(float(mask.mean()))
    return {
        "distances": flow.far, "backend": backend, "consistent_fraction": float(np.mean(shares)) if shares else None,
    }  # fmt: skip


def _copy_given(scene: Scene, given: Path, folder: Path) -> list[tuple[float, float]]:
    """Copies given flow after checking every file; returns (consistent fraction, mean magnitude in pixels) per file,
    forward and backward by turns.
    """
    numbers, size = [], None
    n = scene.n_frames
    names = [flow_name(i + k, way) for i in range(n - 1) for k, way in ((0, "fwd"), (1, "bwd"))]
    for name in tqdm(names, desc="given flow", unit="file"):
        flow, mask = read_flow(given / name, size)
        size = mask.shape
        write_flow(folder / name, flow, mask)
        numbers.append((float(mask.mean()), float(np.linalg.norm(flow, axis=2).mean())))
    return numbers


def _explained(scene: Scene, folder: Path) -> list[float | None]:
    """How much of the change between frames flow explains (nsff.priors.flow.signs), of pairs spread over the clip."""
    found = []
    for i in np.unique(np.linspace(0, scene.n_frames - 2, PAIRS).astype(int)) if scene.n_frames > 1 else ():
        flow, consistent = read_flow(folder / flow_name(int(i), "fwd"), None)
        first, second = (resize_frame(scene.frame(int(k)), consistent.shape) for k in (i, i + 1))
        found.append(explained_change(first, second, flow, consistent))
    return found


def _verdict(numbers: list[tuple[float, float]]) -> dict[str, Any]:
    consistent, magnitude = np.array(numbers).T
    share, worst = float(consistent.mean()), float(consistent.min())
    verdict = "good" if share >= 0.85 and worst >= 0.5 else "doubtful" if share >= 0.6 else "poor"
    message = (
        f"Flow agrees with its return on {share:.0%} of the pixels (worst pair {worst:.0%}); "
        f"mean motion {magnitude.mean():.1f} px."
    )
    if verdict != "good":
        message += (
            " Large or blurred motion, cuts, or bare surfaces are likely: "
            "use a higher frame rate or a smaller input.stride."
        )
    elif magnitude.mean() < 0.2:
        message += " Hardly anything moves: the camera may stand still."
    return {
        "files": len(numbers),
        "consistent_fraction": share,
        "consistent_fraction_worst": worst,
        "mean_magnitude": float(magnitude.mean()),
        "verdict": verdict,
        "message": message,
    }
