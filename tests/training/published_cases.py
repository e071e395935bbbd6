"""One training step here and in the published codes' twin, from the same networks, rays, samples and noise.

Two worlds of axes meet here: ours are OpenCV's (y down; published ones up), in NDC too, where z' is the same. What is
compared are all terms of the loss, and the gradients of each in everything that the networks say and in all weights.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from published_twin import Answer, Draw, Options, Targets, load_llff
from published_twin_losses import step_terms

from nsff.cameras.llff import cameras_from_poses_bounds
from nsff.config import SceneConfig, resolve_scene
from nsff.config.overlays import OVERLAYS
from nsff.files.io import write_image, write_json
from nsff.models.ray_fields.model import RayFields
from nsff.models.ray_fields.objective import Objective
from nsff.models.ray_fields.published import published_state
from nsff.models.supervision import Batch, TrainingData
from nsff.priors.canonical.stage import canonical_cameras
from nsff.scene import Scene
from nsff.training.run import build_model
from nsff.training.schedule import for_frames

D = torch.float64
RAYS, EXTRA, K, CHANNELS = 14, 5, 12, 5
SCALES = (0.03, 1.0, 30.0, 30_000.0)
RIGS = ("synthetic", "rounded", "long", "balloon1", "toss")
"""rounded: the synthetic one, of pictures whose width is no whole number at the height trained on; long: 60 frames,
after whose number the decay period is chosen."""
REAL_RIGS = ("balloon1", "toss")
SIZES = {"synthetic": (24, 32), "rounded": (24, 31), "long": (12, 16), "balloon1": (18, 32), "toss": (18, 32)}
FRAMES = ("first", "middle", "last")
TIMES = {"0": (0, 0), "1": (0, 1), "S": (1, 0), "S+1": (1, 1), "S+2": (1, 2), "2S": (2, 0), "2S+1": (2, 1),
         "2S+2": (2, 2)}  # fmt: skip
"""Steps: both directions of the chain, to either side of each change of terms."""

# --- the published options of each overlay ---------------------------------------------------------------------------
_PLAIN = {"dino_coe": 0.0, "sal_coe": 0.0, "use_tanh": False}
_WEAK = {"w_depth": 0.02, "w_optical_flow": 0.01}
BASE: dict[str, dict[str, Any]] = {
    "nsff": {"decay_iteration": 25},
    "saff": {"decay_iteration": 30, "dino_coe": 0.04, "sal_coe": 0.04, "use_tanh": True},
}
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "nsff": {
        "nsff_balloon1": _WEAK,
        "nsff_balloon2": _WEAK,
        "nsff_playground": _WEAK,
        "nsff_dynamicface": {"w_sf_reg": 0.01},
        "nsff_jumping": {"w_sf_reg": 0.01, "decay_iteration": 48},
    },
    "saff": {
        "_0": _PLAIN,
        "_0_nodep": {**_PLAIN, "w_depth": 0.0},
        "_0_norig": {**_PLAIN, "disable_rigid": True},
        "_2": {"sal_coe": 0.0},
        "_4_nodep": {"w_depth": 0.0},
        "_4_norig": {"disable_rigid": True},
        "_5": {"decay_extra": True},
        "_nosal": {"sal_coe": 0.0},
        "on_dycheck": {},
    },
}
SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "depth_full": ({"depth_full": True}, {"depth_full": True}),
    "no chain": ({"chain": False}, {"chain_sf": False}),
    "no decay": ({"decay_depth": False, "decay_flow": False}, {"decay_depth_w": False, "decay_optical_flow_w": False}),
    "smooth_space": ({"smooth_space": "world"}, {}),
}
"""Other settings: those of ``losses`` here, and options there."""
NOT_PUBLISHED = {"additive"}
TRAINING = {"field", "sampling", "losses", "train"}


def overlays(preset: str) -> list[str]:
    """Overlays whose training can be compared: those above, and those of SAFF that change no more than its targets."""
    untouched = [name for name, sections in OVERLAYS.items() if name.startswith("_") and not TRAINING & set(sections)]
    return [*CHANGES[preset], *(untouched if preset == "saff" else [])]


def options(preset: str, overlay: str | None) -> Options:
    return Options(**{**BASE[preset], **CHANGES[preset].get(overlay or "", {})})


# --- rigs and worlds -------------------------------------------------------------------------------------------------
def synthetic_rows(width: float = 64, count: int = 7) -> np.ndarray:
    """poses_bounds.npy of cameras that look forward, each from a place and in a direction of its own."""
    g = np.random.default_rng(5)
    rows = []
    for i in range(count):
        tilt = np.linalg.qr(np.eye(3) + 0.04 * g.normal(size=(3, 3)))[0]
        right, up, backward = (tilt * np.sign(np.diag(tilt))).T
        centre = np.array([3.5 * i / count - 1.5, 0.2 * g.normal(), 0.3 * g.normal()])
        matrix = np.stack([-up, right, backward, centre, [48.0, width, 55.0]], 1)
        rows.append([*matrix.ravel(), 3 + g.uniform(), 20 + g.uniform()])
    return np.array(rows)


def rig_rows(rig: str, shared: Path | None) -> np.ndarray:
    if rig not in REAL_RIGS:
        return synthetic_rows(61 if rig == "rounded" else 64, 60 if rig == "long" else 7)
    assert shared is not None
    return np.load(shared / "scenes" / {"toss": "toss/dense"}.get(rig, rig) / "poses_bounds.npy")


def in_world(rows: np.ndarray, scale: float) -> np.ndarray:
    """The same rig in a world of another unit, turned and shifted; at scale 1 as it is."""
    if scale == 1:
        return rows
    g = np.random.default_rng(round(1000 * scale))
    turn = np.linalg.qr(g.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    matrices = rows[:, :15].reshape(-1, 3, 5).copy()
    matrices[:, :, :3] = turn @ matrices[:, :, :3]
    matrices[:, :, 3] = scale * (matrices[:, :, 3] @ turn.T + 5 * g.normal(size=3))
    return np.concatenate([matrices.reshape(-1, 15), scale * rows[:, 15:]], 1)


@functools.cache
def scene_data(folder: Path, n: int, height: int, width: int) -> TrainingData:
    """A scene of random pictures, flow, disparity, masks and features, as training reads it."""
    g = np.random.default_rng(n)
    scene = Scene(folder / f"scene{n}_{height}x{width}")
    write_json(scene.manifest_path, {"n_frames": n, "width": width, "height": height, "given": {"cameras": True}})
    rows = np.tile(synthetic_rows()[:1], (n, 1))
    cameras_from_poses_bounds(rows).resized(height, width).save(scene.cameras_path)
    for i in range(n):
        scene.write_image(i, g.integers(0, 256, (height, width, 3), dtype=np.uint8))
        scene.write_disparity(i, g.uniform(0.1, 3, (height, width)), np.ones((height, width)))
        mask = g.random((height, width)) < 0.3
        write_image(scene.motion_dir / f"{i:05d}.png", mask.astype(np.uint8) * 255)
        for direction, j in (("fwd", i + 1), ("bwd", i - 1)):
            if 0 <= j < n:
                valid = g.random((height, width)) < 0.7
                scene.write_flow(i, direction, g.normal(0, 2, (height, width, 2)), valid)
    at = (-(-height // 2), -(-width // 2))
    scene.write_features(0.3 * g.normal(size=(n, *at, CHANNELS)), g.random((n, *at)))
    config = resolve_scene("a", {"input": {"path": "x"}, "train": {"device": "cpu"}}, "saff", {})
    return TrainingData(scene, config.field, config.train, config.sampling.pixel_centre, torch.device("cpu"))


# --- a case ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    preset: str
    overlay: str | None = None
    time: str = "2S+1"
    frame: str = "middle"
    rig: str = "synthetic"
    scale: float = 1.0
    reach: float = 1.0
    """Factor on scene flow at the start, which leads some samples beyond infinity at 5."""
    switch: str | None = None
    wrong: tuple[str, str, Any] | None = None
    """A setting (section, key, value) here that has no counterpart there: then terms must differ."""

    def __str__(self) -> str:
        name = self.switch or self.overlay or "as it is"
        return f"{self.preset}-{name}-{self.time}-{self.frame}-{self.rig}-{self.scale:g}"

    @property
    def options(self) -> Options:
        theirs = SWITCHES[self.switch][1] if self.switch else {}
        return replace(options(self.preset, self.overlay), **theirs)

    def step(self, options: Options) -> int:
        periods, more = TIMES[self.time]
        return 1000 * options.decay_iteration * periods + more


def settings(case: Case) -> SceneConfig:
    own: dict[str, Any] = {
        "input": {"path": "x"}, "overlays": [case.overlay] if case.overlay else [], "train": {"device": "cpu"},
        "field": {"width": 16, "position_frequencies": 3, "direction_frequencies": 2}, "sampling": {"samples": K},
        "losses": dict(SWITCHES[case.switch][0]) if case.switch else {},
    }  # fmt: skip
    if case.wrong is not None:
        section, key, value = case.wrong
        own.setdefault(section, {})[key] = value
    return resolve_scene("a", own, case.preset, {})


@dataclass
class Both:
    """What one side found: terms by the published names, and tensors to differentiate in, by group."""

    terms: dict[str, torch.Tensor]
    outputs: list[torch.Tensor | None]
    weights: list[torch.Tensor]
    output_signs: list[torch.Tensor]
    weight_signs: list[torch.Tensor]

    def gradients(self, term: str) -> list[torch.Tensor]:
        """Of a term in all outputs, and in all weights, each as one vector in our axes."""
        everything = [t for t in self.outputs if t is not None] + self.weights
        signs = [*self.output_signs, *self.weight_signs]
        found = torch.autograd.grad(self.terms[term], everything, retain_graph=True, allow_unused=True)
        flat = [
            (torch.zeros_like(t) if g is None else g * sign).flatten()
            for t, g, sign in zip(everything, found, signs, strict=True)
        ]
        split = len(everything) - len(self.weights)
        return [torch.cat(flat[:split]), torch.cat(flat[split:])]


NAMES = {
    "rgb": "render_loss, union", "features": "dino_loss, union", "saliency": "sal_loss, union",
    "dynamic_rgb": "render_loss, dynamic", "dynamic_features": "dino_loss, dynamic",
    "dynamic_saliency": "sal_loss, dynamic", "depth": "depth_loss", "flow": "flow_loss", "cycle": "sf_cycle_loss",
    "scene_flow": "sf_reg_loss", "disocclusion": "prob_reg_loss", "entropy": "entropy_loss", "smooth": "sf_sm_loss",
}  # fmt: skip
"""Our terms, and what they are called there."""


class Step:
    """A case made ready: model, batch and randomness, the same for both sides."""

    def __init__(self, case: Case, folder: Path, shared: Path | None) -> None:
        self.case = case
        self.rows = in_world(rig_rows(case.rig, shared), case.scale)
        self.config = for_frames(settings(case), len(self.rows))
        # As at the start of run_nerf.py, end_frame - start_frame being the frames there are.
        decay_iteration = min(250, max(case.options.decay_iteration, len(self.rows)))
        self.options = replace(case.options, decay_iteration=decay_iteration)
        self.step = case.step(self.options)
        self.size = SIZES[case.rig]
        cameras = canonical_cameras(cameras_from_poses_bounds(self.rows), self.size, self.config.canonical.focal)
        N = len(cameras)
        self.data = copy.copy(scene_data(folder, N, *self.size))
        self.data.intrinsics = torch.tensor(cameras.intrinsics)
        self.data.world_to_camera = torch.tensor(cameras.world_to_camera)
        if not self.config.field.features:
            self.data.features = None
        if not self.config.field.saliency:
            self.data.saliency = None
        scene: Any = SimpleNamespace(cameras=cameras)
        self.model = build_model(scene, self.config, self.data).double()
        self._stir(self.model)
        self.i = {"first": 0, "second": 1, "middle": N // 2, "last but one": N - 2, "last": N - 1}[case.frame]
        self.index = self._choose(np.random.default_rng(self.step + self.i))

    def _stir(self, model: RayFields) -> None:
        """Not empty, and motion of which some leads beyond the ends of NDC."""
        dynamic: Any = model.dynamic
        with torch.no_grad():
            for net in (model.static, dynamic):
                net.alpha_linear.bias += 0.5
            dynamic.sf_linear.weight *= self.case.reach
            dynamic.sf_linear.bias *= self.case.reach

    def _choose(self, g: np.random.Generator) -> torch.Tensor:
        area = self.size[0] * self.size[1]
        main = g.choice(area, RAYS, replace=False)
        extra = g.choice(np.flatnonzero(self.data.moving[self.i].numpy().ravel()), EXTRA, replace=False)
        return torch.tensor(self.i * area + np.concatenate([main, extra]))

    def batch(self) -> Batch:
        batch = self.data.gather(self.index, RAYS)
        for name, value in vars(batch).items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                setattr(batch, name, value.to(D))
        batch.rays.time = batch.rays.time.to(D)
        batch.rgb = self.data.images.flatten(0, 2)[self.index].to(D) / 255  # gathered in float32
        return batch

    # --- here ----------------------------------------------------------------------------------------------------
    def ours(self) -> tuple[Both, Draw]:
        """Terms by ``Objective``, and what it drew."""
        model, asked, noises = self.model, [], []
        evaluate, noise = model._evaluate, model._noise
        model._evaluate = lambda *a: asked.append(evaluate(*a)) or asked[-1]  # type: ignore[method-assign, func-returns-value]
        model._noise = lambda *a: noises.append(noise(*a)) or noises[-1]  # type: ignore[method-assign, func-returns-value]
        batch, seeded = self.batch(), lambda: torch.Generator().manual_seed(11)
        z = model.sample(batch.rays, seeded()).s.to(D)
        objective = Objective(model, self.data, self.config.losses, self.config.train)
        terms, _ = objective(batch, self.step, seeded())
        R = len(self.index)
        sides = noises[1].to(D)
        draw = Draw(z, noises[0].to(D), sides[:R], sides[R:], noises[2].to(D) if len(noises) > 2 else sides[:R])
        outputs = [getattr(a, n) for a in asked for n in OURS if getattr(a, n) is not None]
        weights = list(model.parameters())
        ones = lambda tensors: [torch.ones((), dtype=D)] * len(tensors)  # noqa: E731
        return Both({NAMES[n]: v for n, v in terms.items()}, outputs, weights, ones(outputs), ones(weights)), draw

    # --- there ---------------------------------------------------------------------------------------------------
    def theirs(self, draw: Draw) -> Both:
        """Terms by the twin, from the networks as the published code would have them."""
        dynamic: Any = self.model.dynamic
        states = [
            {n: v.requires_grad_() for n, v in published_state(net).items()} for net in (self.model.static, dynamic)
        ]
        cameras = load_llff(self.rows, *self.size)
        terms, out = step_terms(self.case.preset, self.step, *states, cameras, self.targets(), draw, self.options)
        outputs, output_signs = self._outputs(out.answers)
        weights, weight_signs = [], []
        for state, net in zip(states, (self.model.static, dynamic), strict=True):
            for name, parameter in net.named_parameters():
                weights.append(state[f"module.{name}"])
                weight_signs.append(_signs(name, parameter, net.dynamic, self.config.field))
        return Both(terms, outputs, weights, output_signs, weight_signs)

    def targets(self) -> Targets:
        """The step's pixels and their targets, looked up by the published rules."""
        data, (H, W), N = self.data, self.size, self.data.n_frames
        pixel = self.index - self.i * H * W
        rows, columns = pixel // W, pixel % W
        pick = lambda maps: maps[self.i][rows, columns].to(D)  # noqa: E731
        targets = Targets(
            self.i, N, RAYS, rows, columns, pick(data.images) / 255.0, pick(data.disparity), pick(data.flow_post),
            pick(data.valid_post), pick(data.flow_prev), pick(data.valid_prev),
        )  # fmt: skip
        if data.features is not None:
            h, w = data.features.shape[1:3]
            at = (torch.floor(rows * h / H).long(), torch.floor(columns * w / W).long())
            targets.dino = data.features[self.i][at].to(D)
            targets.sal = None if data.saliency is None else data.saliency[self.i][at].to(D)[:, None]
        return targets

    def _outputs(self, answers: dict[str, Answer]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The twin's answers in the order of ours: both sides there are one batch here."""
        one, flip = torch.ones((), dtype=D), torch.tensor([1.0, -1, 1], dtype=D)
        outputs, signs = [], []
        for names in (("static",), ("ref",), ("prev", "post"), ("pp",)):
            for theirs in THEIRS:
                for name in names:
                    value = getattr(answers[name], theirs) if name in answers else None
                    if value is not None:
                        outputs.append(value)
                        signs.append(flip if theirs.startswith("sf_") else one)
        return outputs, signs


OURS = ("raw_density", "rgb", "features", "saliency", "blending", "flow_prev", "flow_post", "disocclusion_prev",
        "disocclusion_post")  # fmt: skip
THEIRS = ("sigma", "rgb", "dino", "sal", "blend_w", "sf_prev", "sf_post", "prob_prev", "prob_post")


def _signs(name: str, parameter: torch.Tensor, dynamic: bool, field: Any) -> torch.Tensor:
    """How a weight's sign differs in the published axes: where it meets y, or a view direction's y and z."""
    signs = torch.ones_like(parameter)

    def columns(octaves: int, odd: torch.Tensor) -> torch.Tensor:
        return torch.cat([odd, *[part for _ in range(octaves) for part in (odd, torch.ones_like(odd))]])

    if name in ("pts_linears.0.weight", "pts_linears.5.weight"):
        encoded = columns(field.position_frequencies, torch.tensor([1.0, -1, 1, 1][: 4 if dynamic else 3], dtype=D))
        signs[:, : len(encoded)] = encoded
    if name == "views_linears.0.weight":
        encoded = columns(field.direction_frequencies, torch.tensor([1.0, -1, -1], dtype=D))
        signs[:, -len(encoded) :] = encoded
    if name.startswith("sf_linear"):
        signs[[1, 4]] = -1
    return signs


# --- comparison ------------------------------------------------------------------------------------------------------
NOTHING = 1e-10
"""What a constant term of the published code may be that is left out here: the entropy of v = 1 is -1e-8."""


@dataclass
class Difference:
    """Relative differences of a term: of its value, and of its gradients in outputs and in weights."""

    value: float
    outputs: float
    weights: float

    @property
    def largest(self) -> float:
        return max(asdict(self).values())


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """|found - wanted| / |wanted|; of two zeros 0."""
    gap, size = float((found - wanted).norm()), float(wanted.norm())
    return gap / size if size > 0 else gap


def compare(case: Case, folder: Path, shared: Path | None = None) -> dict[str, Difference]:
    """The differences of every term of a case; a term that one side lacks is infinitely wrong, unless it is nothing."""
    step = Step(case, folder, shared)
    ours, draw = step.ours()
    theirs = step.theirs(draw)
    result = {}
    for name in sorted(ours.terms.keys() | theirs.terms.keys()):
        if name not in ours.terms:
            there = theirs.terms[name]
            moves = there.requires_grad and any(g.norm().item() for g in theirs.gradients(name))
            wrong = float("inf") if abs(there.item()) > NOTHING or moves else 0.0
            result[name] = Difference(wrong, wrong, wrong)
        elif name not in theirs.terms:
            result[name] = Difference(*[float("inf")] * 3)
        else:
            value = relative(ours.terms[name].detach(), theirs.terms[name].detach())
            pairs = zip(ours.gradients(name), theirs.gradients(name), strict=True)
            result[name] = Difference(value, *(relative(a, b) for a, b in pairs))
    return result


def worlds_of(preset: str, overlay: str | None, rig: str) -> Iterator[Case]:
    """Every world of a rig, at three steps each, so that together they have all eight; frames take turns."""
    times = list(TIMES)
    turn = RIGS.index(rig)
    for n, scale in enumerate(SCALES):
        for k in range(3):
            yield Case(preset, overlay, times[(turn + 3 * n + k) % 8], FRAMES[(turn + n + k) % 3], rig, scale)
