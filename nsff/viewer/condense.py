"""Fewer Gaussians that draw the same pictures: those that are seen, fitted anew to pictures of all of them.

A trained scene has many Gaussians behind others, and many of almost no light. How much Gaussian i lights a picture is
Σ T_i α_i over its pixels (notation of nsff.models.gaussians.splats). Those that light less than ``SEEN`` pixels in
every picture are left out, and more where the file has no room for them. Scales, opacities and colours of the others
are then fitted to the pictures that all made, and to how opaque these are (as compression of Gaussian scenes does, Fan
et al. 2023, LightGaussian): without the latter, dark places would become holes, through which a light background
shines. The clip's cameras, and others beside them, draw these pictures, each at its own time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from tqdm import tqdm

from nsff.cameras import Cameras
from nsff.models.gaussians.rasterisers import gpu_problem, rasterise
from nsff.models.gaussians.splats import Camera, Splats
from nsff.splats.scene import SplatScene

SEEN = 0.6
"""Pixels of light that a Gaussian has to give to a picture to be kept."""
TRIES = 4
"""Times that more are left out where there is no room."""
PIXELS = 150_000
"""Larger pictures are shrunk to about so many pixels."""
PICTURES = 48
"""Pictures of the clip's cameras, at most."""
BESIDE = 0.08
"""How far beside the clip's cameras others stand, in nearest depths, and how many of these there are for each of the
clip's: every second picture has one."""
GROWN = 1.2
"""Gaussians begin the fit so much larger, since they have to fill what was left out."""
RATES = (0.02, 0.08, 0.02)
"""Learning rates of Adam, for logarithms of scales, logits of opacities, and colours."""


@dataclass(frozen=True)
class View:
    """A camera, a time, and what all Gaussians draw there."""

    camera: Camera
    time: float
    picture: Float32[Tensor, "H W 4"]
    """Colours, and how opaque the pixel is."""


def condensed(
    splats: SplatScene,
    cameras: Cameras,
    most: tuple[int, int],
    steps: int,
    room: Callable[[SplatScene], float] = lambda splats: np.inf,
) -> SplatScene:
    """The Gaussians that are seen, at most ``most`` that rest and that move, after ``steps`` of the fit.

    ``cameras``: the clip's, one a frame. ``room``: the share of a scene that there is room for; below 1 those that
    light least are left out. Object numbers, paths and times stay. Without steps the scene is only thinned.
    """
    device = torch.device("cuda" if torch.cuda.is_available() and gpu_problem() is None else "cpu")
    views, light = observed(splats, cameras, device)
    light = np.where(light > SEEN, light, 0)
    fewer = brightest(splats, light, most)
    for _ in range(TRIES):
        count = len(fewer.static) + len(fewer.moving)
        if not count or (share := room(fewer)) >= 1:
            break
        kept = np.partition(light, -count)[-count:]
        least = np.quantile(kept, min(1 - 0.98 * share, 1.0))
        light = np.where(light > least, light, 0)
        fewer = brightest(splats, light, most)
    return fitted(fewer, views, steps, device) if steps and len(fewer.static) + len(fewer.moving) else fewer


def brightest(splats: SplatScene, light: Float32[np.ndarray, "static+moving"], most: tuple[int, int]) -> SplatScene:
    """The Gaussians that give light, at most ``most`` that rest and that move: those that give the most."""
    parts: dict[str, Any] = {}
    count = len(splats.static)
    for name, own, limit in (("static", light[:count], most[0]), ("moving", light[count:], most[1])):
        order = np.argsort(-own, kind="stable")[: min(limit, int((own > 0).sum()))]
        parts[name] = getattr(splats, name).chosen(np.sort(order))
    return replace(splats, **parts)


def observed(
    splats: SplatScene, cameras: Cameras, device: torch.device
) -> tuple[list[View], Float32[np.ndarray, "static+moving"]]:
    """Views of the scene, and the most light, in pixels, that each Gaussian gives to one of them.

    What moves and is seen best between the frames that were drawn counts as if it had been drawn then.
    """
    shrink = max(1.0, (cameras.width * cameras.height / PIXELS) ** 0.5)
    small = cameras.resized(round(cameras.height / shrink), round(cameras.width / shrink))
    light = np.zeros(len(splats.static) + len(splats.moving), np.float32)
    views = []
    for camera, time in tqdm(places(small, device), desc="what is seen", unit="picture"):
        drawn, best = _at(splats, time, device), np.ones(len(light), np.float32)
        best[len(splats.static) :] = 1 / np.maximum(splats.moving.gates(time), 0.3)
        drawn.values.requires_grad_()
        picture = picture_of(drawn, camera)
        picture[..., 0].sum().backward()
        views.append(View(camera, time, picture.detach()))
        assert drawn.values.grad is not None
        light = np.maximum(light, drawn.values.grad[:, 0].cpu().numpy() * best)
    return views, light


def picture_of(splats: Splats, camera: Camera) -> Float32[Tensor, "H W 4"]:
    """Colours before nothing, and how opaque each pixel is."""
    drawn = rasterise(splats, camera)
    return torch.cat([drawn.values, drawn.alpha.reshape(*drawn.values.shape[:2], 1)], dim=-1)


def places(cameras: Cameras, device: torch.device) -> list[tuple[Camera, float]]:
    """The clip's cameras with their times, and after every second one another beside it, half a frame later: between
    frames less of each moving Gaussian is there."""
    generator = np.random.default_rng(0)
    n = len(cameras.intrinsics)
    result = []
    for k, frame in enumerate(np.unique(np.linspace(0, n - 1, min(n, PICTURES)).round().astype(int))):
        own = cameras.world_to_camera[frame, :3]
        seen = [(own, float(frame))]
        if k % 2:
            shift = generator.uniform(-1, 1, 3) * (1, 1, 0.5) * BESIDE * cameras.near_far[frame, 0]
            beside = own + np.concatenate([np.zeros((3, 3)), shift[:, None]], axis=1)
            seen.append((beside, min(frame + 0.5, n - 1.0)))
        for pose, time in seen:
            K, E = (torch.as_tensor(a, dtype=torch.float32, device=device) for a in (cameras.intrinsics[frame], pose))
            result.append((Camera(K, E, cameras.height, cameras.width), time))
    return result


def fitted(splats: SplatScene, views: Sequence[View], steps: int, device: torch.device) -> SplatScene:
    """Scales, opacities and colours after so many steps of Adam on the mean absolute difference of one view each."""
    parts = (splats.static, splats.moving)
    join = lambda name: torch.from_numpy(np.concatenate([getattr(part, name) for part in parts])).to(device)  # noqa: E731
    scales = (join("scales") * GROWN).log().requires_grad_()
    opacities = torch.logit(join("opacities").clamp(0.01, 0.99)).requires_grad_()
    colours, quaternions = join("colours").requires_grad_(), join("quaternions")
    leaves = (scales, opacities, colours)
    optimiser = torch.optim.Adam([{"params": [leaf], "lr": rate} for leaf, rate in zip(leaves, RATES, strict=True)])
    generator = np.random.default_rng(0)
    # Towards the end steps become small: each view is drawn a few times only, and the last ones would show as noise.
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    for _ in tqdm(range(steps), desc="fit", unit="step"):
        view = views[int(generator.integers(len(views)))]
        means, gates = _moved(splats, view.time, device)
        drawn = Splats(means, quaternions, scales.exp(), opacities.sigmoid() * gates, colours)
        loss = (picture_of(drawn, view.camera) - view.picture).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        found = {"scales": scales.exp(), "opacities": opacities.sigmoid(), "colours": colours.clamp(0, 1)}
        arrays = {name: value.cpu().numpy() for name, value in found.items()}
    n = len(splats.static)
    changed: list[Any] = [{name: a[share] for name, a in arrays.items()} for share in (slice(n), slice(n, None))]
    return replace(splats, static=replace(parts[0], **changed[0]), moving=replace(parts[1], **changed[1]))


def _at(splats: SplatScene, time: float, device: torch.device) -> Splats:
    """All Gaussians at a time; their values are colours."""
    arrays = [
        np.concatenate([getattr(splats.static, name), getattr(splats.moving, name)])
        for name in ("quaternions", "scales", "opacities", "colours")
    ]
    means, gates = _moved(splats, time, device)
    quaternions, scales, opacities, colours = (torch.from_numpy(a).to(device) for a in arrays)
    return Splats(means, quaternions, scales, opacities * gates, colours)


def _moved(splats: SplatScene, time: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Means (S+D,3) at a time, and factors (S+D,) of the opacities."""
    static, moving = splats.static, splats.moving
    means = np.concatenate([static.means, moving.places(time)])
    gates = np.concatenate([np.ones(len(static), np.float32), moving.gates(time).astype(np.float32)])
    return torch.from_numpy(means).to(device), torch.from_numpy(gates).to(device)
