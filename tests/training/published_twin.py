"""One training step of the published NSFF and SAFF, from their formulas: a twin of what this project trains with.

It shares nothing with the project: only numpy and torch, float64, plain loops and the authors' conventions. It starts
from the rows of poses_bounds.npy and the state dictionaries of the two networks. Here: cameras, rays, networks and
rendering; the losses are in published_twin_losses.

Notation, the authors' throughout. Axes are OpenGL's: x right, y up, z backward, in the camera and in the world of the
loader; in NDC z' = -1 at the near plane (distance 1) and +1 at infinity. R rays, K samples along a ray, N frames of
H x W pixels, one focal length f. "ref" is frame i at time t = 2 i / N - 1, "prev" and "post" are frames i - 1 and
i + 1, "pp" is two frames away. dy: the dynamic network alone. s is the step, S = 1000 decay_iteration, q = s // S.

Sources: NSFF (Li et al., CVPR 2021) and SAFF (Liang et al., ICCV 2023) and their code. Options have the names of the
authors' parsers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

D = torch.float64


@dataclass
class Options:
    """What both parsers know, with the values of the NVIDIA configurations (NSFF: decay_iteration 25)."""

    w_depth: float = 0.04
    w_optical_flow: float = 0.02
    w_sm: float = 0.1
    w_sf_reg: float = 0.1
    w_cycle: float = 1.0
    w_prob_reg: float = 0.1
    w_entropy: float = 1e-3
    decay_iteration: int = 30
    decay_depth_w: bool = True
    decay_optical_flow_w: bool = True
    chain_sf: bool = True
    # SAFF's own.
    dino_coe: float = 0.0
    sal_coe: float = 0.0
    use_tanh: bool = False
    decay_extra: bool = False
    depth_full: bool = False
    disable_rigid: bool = False


# --- the loader ------------------------------------------------------------------------------------------------------
@dataclass
class Cameras:
    """Recentred, scaled poses (N,3,4), camera to world, and the size and focal length of the pictures trained on."""

    poses: torch.Tensor
    H: int
    W: int
    f: float


def load_llff(rows: np.ndarray, H: int, W: int) -> Cameras:
    """poses_bounds.npy as NSFF's loader reads it, for pictures of H x W: bd_factor 0.9, then recentring."""
    matrices, bounds = rows[:, :15].reshape(-1, 3, 5), rows[:, 15:]
    down, right, backward, centre, (h, _, f) = *(matrices[:, :, n] for n in range(4)), matrices[0, :, 4]
    poses = np.stack([right, -down, backward, centre], axis=2)
    poses[:, :, 3] *= 1.0 / (np.percentile(bounds[:, 0], 5) * 0.9)
    unit = lambda v: v / np.linalg.norm(v)  # noqa: E731
    z, up = unit(poses[:, :, 2].sum(0)), poses[:, :, 1].sum(0)
    x = unit(np.cross(up, z))
    average = np.stack([x, unit(np.cross(z, x)), z, poses[:, :, 3].mean(0)], axis=1)
    last = np.array([[0.0, 0.0, 0.0, 1.0]])
    to_average = np.linalg.inv(np.concatenate([average, last]))
    recentred = [(to_average @ np.concatenate([pose, last]))[:3] for pose in poses]
    return Cameras(torch.tensor(np.stack(recentred), dtype=D), H, W, float(f / (h / H)))


# --- rays, NDC and back ----------------------------------------------------------------------------------------------
def get_rays(cameras: Cameras, i: int, rows: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Origins and directions (R,3) through pixels, which have no half-pixel offset."""
    f, pose = cameras.f, cameras.poses[i]
    x, y = (columns.to(D) - cameras.W * 0.5) / f, -(rows.to(D) - cameras.H * 0.5) / f
    directions = torch.stack([x, y, -torch.ones_like(x)], -1) @ pose[:, :3].T
    return pose[:, 3].expand_as(directions), directions


def ndc_rays(cameras: Cameras, o: torch.Tensor, d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rays in NDC, from the near plane 1 on."""
    o = o + (-(1.0 + o[:, 2]) / d[:, 2])[:, None] * d
    ax, ay = -1.0 / (cameras.W / (2.0 * cameras.f)), -1.0 / (cameras.H / (2.0 * cameras.f))
    (ox, oy, oz), (dx, dy, dz) = o.unbind(-1), d.unbind(-1)
    start = torch.stack([ax * ox / oz, ay * oy / oz, 1.0 + 2.0 / oz], -1)
    return start, torch.stack([ax * (dx / dz - ox / oz), ay * (dy / dz - oy / oz), -2.0 / oz], -1)


def ndc_to_euclidean(cameras: Cameras, p: torch.Tensor) -> torch.Tensor:
    """The authors' NDC2Euclidean, its 1e-6 included."""
    z = 2.0 / (p[..., 2] - 1.0 + 1e-6)
    x, y = -p[..., 0] * z * cameras.W / (2.0 * cameras.f), -p[..., 1] * z * cameras.H / (2.0 * cameras.f)
    return torch.stack([x, y, z], -1)


def perspective_projection(cameras: Cameras, i: int, p: torch.Tensor) -> torch.Tensor:
    """Pixels (R,2), x and y, at which camera i sees points of the loader's world."""
    pose = cameras.poses[i]
    x, y, z = ((p - pose[:, 3]) @ pose[:, :3]).unbind(-1)
    return torch.stack([cameras.f * x / -z + cameras.W / 2.0, cameras.f * -y / -z + cameras.H / 2.0], -1)


# --- the networks ----------------------------------------------------------------------------------------------------
State = dict[str, torch.Tensor]


def encode(x: torch.Tensor, octaves: int) -> torch.Tensor:
    parts = [x]
    for k in range(octaves):
        parts += [torch.sin(2.0**k * x), torch.cos(2.0**k * x)]
    return torch.cat(parts, -1)


@dataclass
class Answer:
    """What a network says of samples: rgb (after the sigmoid), sigma (raw), and the heads it has."""

    rgb: torch.Tensor
    sigma: torch.Tensor
    dino: torch.Tensor | None = None
    sal: torch.Tensor | None = None
    blend_w: torch.Tensor | None = None
    sf_prev: torch.Tensor | None = None
    sf_post: torch.Tensor | None = None
    prob_prev: torch.Tensor | None = None
    prob_post: torch.Tensor | None = None


def network(state: State, x: torch.Tensor, viewdirs: torch.Tensor, options: Options) -> Answer:
    """Either network at x, (R,K,3) static or (R,K,4) with time, seen along unit viewdirs (R,3)."""
    linear = lambda name, v: v @ state[f"module.{name}.weight"].T + state[f"module.{name}.bias"]  # noqa: E731
    depth = sum(name.startswith("module.pts_linears.") and name.endswith("weight") for name in state)
    octaves = (state["module.pts_linears.0.weight"].shape[1] // x.shape[-1] - 1) // 2
    width = state["module.feature_linear.weight"].shape[0]
    encoded = h = encode(x, octaves)
    for layer in range(depth):
        h = torch.relu(linear(f"pts_linears.{layer}", h))
        if layer == 4:
            h = torch.cat([encoded, h], -1)
    view_octaves = ((state["module.views_linears.0.weight"].shape[1] - width) // 3 - 1) // 2
    seen = encode(viewdirs, view_octaves)[:, None].expand(*x.shape[:2], -1)
    seen = torch.relu(linear("views_linears.0", torch.cat([linear("feature_linear", h), seen], -1)))
    answer = Answer(torch.sigmoid(linear("rgb_linear", seen)), linear("alpha_linear", h)[..., 0])
    if options.dino_coe > 0:
        dino = linear("dino_linears.0", h)  # shallow_dino
        answer.dino = torch.tanh(dino) if options.use_tanh else dino
    if options.sal_coe > 0:
        answer.sal = torch.sigmoid(linear("sal_linear", h))
    if x.shape[-1] == 3:
        answer.blend_w = torch.sigmoid(linear("w_linear", h))[..., 0]
    else:
        answer.sf_prev, answer.sf_post = torch.tanh(linear("sf_linear", h)).split(3, -1)
        answer.prob_prev, answer.prob_post = torch.sigmoid(linear("prob_linear", h)).unbind(-1)
    return answer


# --- rendering -------------------------------------------------------------------------------------------------------
@dataclass
class Maps:
    """Rendered rgb (R,3), depth (R), dino (R,C), sal (R,1) and the weights (R,K)."""

    rgb: torch.Tensor
    depth: torch.Tensor
    dino: torch.Tensor | None
    sal: torch.Tensor | None
    weights: torch.Tensor


def opacity(sigma: torch.Tensor, noise: torch.Tensor, dists: torch.Tensor) -> torch.Tensor:
    return 1.0 - torch.exp(-torch.relu(sigma + noise) * dists)


def composite(pairs: list[tuple[torch.Tensor, Answer]], z: torch.Tensor) -> Maps:
    """Sums over samples of weights times answers, for one network or both."""

    def total(name: str) -> torch.Tensor | None:
        if getattr(pairs[0][1], name) is None:
            return None
        return sum(torch.sum(w[..., None] * getattr(answer, name), -2) for w, answer in pairs)

    weights = sum(w for w, _ in pairs)
    return Maps(total("rgb"), torch.sum(weights * z, -1), total("dino"), total("sal"), weights)


def volume(answer: Answer, noise: torch.Tensor, z: torch.Tensor, dists: torch.Tensor) -> Maps:
    """One network alone."""
    alpha = opacity(answer.sigma, noise, dists)
    T, weights = torch.ones_like(alpha[:, 0]), []
    for k in range(alpha.shape[1]):
        weights.append(T * alpha[:, k])
        T = T * (1.0 - alpha[:, k] + 1e-10)
    return composite([(torch.stack(weights, 1), answer)], z)


def blend(
    dy: Answer, rig: Answer, v: torch.Tensor, noise: torch.Tensor, z: torch.Tensor, dists: torch.Tensor
) -> tuple[Maps, torch.Tensor]:
    """Both networks, and the dynamic weight map M_dd (R), which is always detached."""
    a_dy, a_rig = opacity(dy.sigma, noise, dists) * v, opacity(rig.sigma, noise, dists) * (1.0 - v)
    T, w_dy, w_rig = torch.ones_like(v[:, 0]), [], []
    for k in range(v.shape[1]):
        w_dy.append(T * a_dy[:, k])
        w_rig.append(T * a_rig[:, k])
        T = T * ((1.0 - a_dy[:, k]) * (1.0 - a_rig[:, k]) + 1e-10)
    w_dy, w_rig = torch.stack(w_dy, 1), torch.stack(w_rig, 1)
    return composite([(w_dy, dy), (w_rig, rig)], z), w_dy.sum(-1).detach()


@dataclass
class Rendered:
    """What ``render`` returns. pts are positions in NDC (R,K,3)."""

    union: Maps
    ref: Maps
    prev: Maps
    post: Maps
    pp: Maps | None
    M_dd: torch.Tensor
    V_prev: torch.Tensor
    V_post: torch.Tensor
    blend_w: torch.Tensor
    pts_ref: torch.Tensor
    pts_prev: torch.Tensor
    pts_post: torch.Tensor
    pts_pp: torch.Tensor
    answers: dict[str, Answer] = field(default_factory=dict)


@dataclass
class Draw:
    """What is random in a step: samples z (R,K), and a draw of density noise for each rendering that needs one.

    ``ref`` is shared by both networks in the union, and by the dynamic network alone.
    """

    z: torch.Tensor
    ref: torch.Tensor
    prev: torch.Tensor
    post: torch.Tensor
    pp: torch.Tensor


@dataclass
class Targets:
    """A step's rays, all of frame i, and what supervises them: the first N_rand rays are from the whole picture."""

    i: int
    N: int
    N_rand: int
    rows: torch.Tensor
    columns: torch.Tensor
    rgb: torch.Tensor
    disp: torch.Tensor
    flow_fwd: torch.Tensor
    mask_fwd: torch.Tensor
    flow_bwd: torch.Tensor
    mask_bwd: torch.Tensor
    dino: torch.Tensor | None = None
    sal: torch.Tensor | None = None


def render(
    static: State, dynamic: State, cameras: Cameras, targets: Targets, draw: Draw, options: Options,
    chain_bwd: bool, chain_5frames: bool,
) -> Rendered:  # fmt: skip
    o, d = get_rays(cameras, targets.i, targets.rows, targets.columns)
    viewdirs = d / torch.linalg.norm(d, dim=-1, keepdim=True)
    o, d = ndc_rays(cameras, o, d)
    z = draw.z
    pts = o[:, None] + z[..., None] * d[:, None]
    dists = torch.cat([z[:, 1:] - z[:, :-1], torch.full_like(z[:, :1], 1e10)], -1)
    dists = dists * torch.linalg.norm(d, dim=-1)[:, None]
    t = torch.full_like(z, targets.i / targets.N * 2.0 - 1.0)[..., None]
    ask = lambda p, time: network(dynamic, torch.cat([p, time], -1), viewdirs, options)  # noqa: E731

    rig, ref = network(static, pts, viewdirs, options), ask(pts, t)
    v = torch.ones_like(rig.blend_w) if options.disable_rigid else rig.blend_w
    union, M_dd = blend(ref, rig, v, draw.ref, z, dists)
    pts_prev, pts_post = pts + ref.sf_prev, pts + ref.sf_post
    prev, post = ask(pts_prev, t - 2.0 / targets.N), ask(pts_post, t + 2.0 / targets.N)
    map_prev, map_post = volume(prev, draw.prev, z, dists), volume(post, draw.post, z, dists)
    V_prev = torch.sum(map_prev.weights.detach() * (1.0 - ref.prob_prev), -1)
    V_post = torch.sum(map_post.weights.detach() * (1.0 - ref.prob_post), -1)
    pts_pp = pts_prev + prev.sf_prev if chain_bwd else pts_post + post.sf_post
    answers, map_pp = {"static": rig, "ref": ref, "prev": prev, "post": post}, None
    if chain_5frames:
        answers["pp"] = ask(pts_pp, t + (-4.0 if chain_bwd else 4.0) / targets.N)
        map_pp = volume(answers["pp"], draw.pp, z, dists)
    return Rendered(
        union, volume(ref, draw.ref, z, dists), map_prev, map_post, map_pp, M_dd, V_prev, V_post, v,
        pts, pts_prev, pts_post, pts_pp, answers,
    )  # fmt: skip
