"""The losses of the published NSFF and SAFF at one step, from their formulas: the second half of published_twin.

Notation as there. The two codes stand apart; what SAFF left untouched in NSFF is ``shared_terms``. Quirks included:
least kinetic energy counts twice, rendered scene flow is summed over x, y, z instead of over samples, only M_dd is
detached from what masks.
"""

from __future__ import annotations

import torch
from published_twin import (
    Cameras,
    D,
    Draw,
    Options,
    Rendered,
    State,
    Targets,
    ndc_to_euclidean,
    perspective_projection,
    render,
)


# --- the pieces of the losses ----------------------------------------------------------------------------------------
def img2mse(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.mean((x - y) ** 2)


def compute_mse(pred: torch.Tensor, gt: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    mask = mask[..., None].repeat(*[1] * mask.ndim, pred.shape[-1])
    return torch.sum(mask * (pred - gt) ** 2) / (torch.sum(mask) + 1e-8)


def compute_mae(pred: torch.Tensor, gt: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    mask = mask[..., None].repeat(*[1] * mask.ndim, pred.shape[-1])
    return torch.sum(mask * torch.abs(pred - gt)) / (torch.sum(mask) + 1e-8)


def compute_depth_loss(pred: torch.Tensor, gt: torch.Tensor) -> torch.Tensor:
    normalise = lambda x: (x - torch.median(x)) / torch.mean(torch.abs(x - torch.median(x)))  # noqa: E731
    return torch.mean((normalise(pred) - normalise(gt)) ** 2)


def compute_sf_smooth_loss(cameras: Cameras, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    n = int(a.shape[1] * 0.95)
    flow = ndc_to_euclidean(cameras, a[:, :n]) - ndc_to_euclidean(cameras, b[:, :n])
    return torch.mean(torch.abs(flow[:, :-1] - flow[:, 1:]))


def compute_sf_lke_loss(cameras: Cameras, ref: torch.Tensor, post: torch.Tensor, prev: torch.Tensor) -> torch.Tensor:
    n = int(ref.shape[1] * 0.9)
    ref, post, prev = (ndc_to_euclidean(cameras, p[:, :n]) for p in (ref, post, prev))
    return 0.5 * torch.mean(((post - ref) - (ref - prev)) ** 2)


def compute_optical_flow(cameras: Cameras, i: int, pts: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Where camera i sees the point that weights, which need not sum to 1, make of displaced samples."""
    return perspective_projection(cameras, i, ndc_to_euclidean(cameras, torch.sum(weights[..., None] * pts, -2)))


# --- NSFF ------------------------------------------------------------------------------------------------------------
def nsff_terms(s: int, out: Rendered, gt: Targets, cameras: Cameras, o: Options) -> dict[str, torch.Tensor]:
    """The terms of NSFF's HEAD, weighted; their sum is minimised. render_loss is told in its two parts."""
    S = 1000 * o.decay_iteration
    ref, terms = out.answers["ref"], {}
    if s <= S:
        render_loss = img2mse(out.ref.rgb, gt.rgb)
        render_loss = render_loss + compute_mse(out.post.rgb, gt.rgb, out.V_post)
        render_loss = render_loss + compute_mse(out.prev.rgb, gt.rgb, out.V_prev)
    else:
        render_loss = compute_mse(out.ref.rgb, gt.rgb, out.M_dd)
        render_loss = render_loss + compute_mse(out.post.rgb, gt.rgb, out.V_post * out.M_dd)
        render_loss = render_loss + compute_mse(out.prev.rgb, gt.rgb, out.V_prev * out.M_dd)
    if out.pp is not None:
        render_loss = render_loss + compute_mse(out.pp.rgb, gt.rgb, out.M_dd)
    terms["render_loss, dynamic"] = render_loss
    terms["render_loss, union"] = img2mse(out.union.rgb[: gt.N_rand], gt.rgb[: gt.N_rand])
    terms |= shared_terms(s, out, gt, cameras, o, out.ref.depth)
    terms["sf_reg_loss"] = o.w_sf_reg * sum(
        torch.mean(torch.abs(torch.sum(out.ref.weights[..., None] * sf, -1))) for sf in (ref.sf_prev, ref.sf_post)
    )
    return terms


def shared_terms(
    s: int, out: Rendered, gt: Targets, cameras: Cameras, o: Options, depth: torch.Tensor
) -> dict[str, torch.Tensor]:
    """What SAFF left as it is in NSFF: everything that neither colour, feature nor saliency enters, but for sf_reg."""
    q = 10 ** (s // (1000 * o.decay_iteration))
    ref, prev, post = (out.answers[name] for name in ("ref", "prev", "post"))
    w_depth = o.w_depth / q if o.decay_depth_w else o.w_depth
    w_of = o.w_optical_flow / q if o.decay_optical_flow_w else o.w_optical_flow
    grid = torch.stack([gt.columns, gt.rows], -1).to(D)
    fwd = compute_optical_flow(cameras, min(gt.i + 1, gt.N - 1), out.pts_post, out.ref.weights)
    bwd = compute_optical_flow(cameras, max(gt.i - 1, 0), out.pts_prev, out.ref.weights)
    flow_loss = 0.0
    if gt.i < gt.N - 1:
        flow_loss = flow_loss + w_of * compute_mae(fwd, gt.flow_fwd + grid, gt.mask_fwd)
    if gt.i > 0:
        flow_loss = flow_loss + w_of * compute_mae(bwd, gt.flow_bwd + grid, gt.mask_bwd)
    cycle = compute_mae(ref.sf_post, -post.sf_prev, 1.0 - ref.prob_post)
    cycle = cycle + compute_mae(ref.sf_prev, -prev.sf_post, 1.0 - ref.prob_prev)
    smooth = compute_sf_smooth_loss(cameras, out.pts_ref, out.pts_post)
    smooth = smooth + compute_sf_smooth_loss(cameras, out.pts_ref, out.pts_prev)
    smooth = smooth + compute_sf_lke_loss(cameras, out.pts_ref, out.pts_post, out.pts_prev)
    smooth = smooth + compute_sf_lke_loss(cameras, out.pts_ref, out.pts_post, out.pts_prev)
    if s % 2 == 0:  # chain_bwd
        smooth = smooth + compute_sf_lke_loss(cameras, out.pts_prev, out.pts_ref, out.pts_pp)
    else:
        smooth = smooth + compute_sf_lke_loss(cameras, out.pts_post, out.pts_pp, out.pts_ref)
    return {
        "prob_reg_loss": o.w_prob_reg * (torch.mean(torch.abs(ref.prob_prev)) + torch.mean(torch.abs(ref.prob_post))),
        "sf_cycle_loss": o.w_cycle * cycle,
        "depth_loss": w_depth * compute_depth_loss(depth, -gt.disp),
        "flow_loss": flow_loss,
        "sf_sm_loss": o.w_sm * smooth,
        "entropy_loss": o.w_entropy * torch.mean(-out.blend_w * torch.log(out.blend_w + 1e-8)),
    }


# --- SAFF ------------------------------------------------------------------------------------------------------------
def saff_terms(s: int, out: Rendered, gt: Targets, cameras: Cameras, o: Options) -> dict[str, torch.Tensor]:
    """The terms of SAFF, weighted: NSFF's, and the same appearance terms for features and saliency."""
    S = 1000 * o.decay_iteration
    decayed = 10.0 ** (s // S) if o.decay_extra else 1.0
    ref, terms = out.answers["ref"], {}
    kinds = [("rgb", "render_loss", gt.rgb, 1.0)]
    if o.dino_coe > 0:
        kinds.append(("dino", "dino_loss", gt.dino, o.dino_coe / decayed))
    if o.sal_coe > 0:
        kinds.append(("sal", "sal_loss", gt.sal, o.sal_coe / decayed))
    for kind, loss, target, coefficient in kinds:
        ours, post, prev = (getattr(maps, kind) for maps in (out.ref, out.post, out.prev))
        if s > S:
            total = compute_mse(ours, target, out.M_dd)
            total = total + compute_mse(post, target, out.V_post * out.M_dd)
            total = total + compute_mse(prev, target, out.V_prev * out.M_dd)
        else:
            total = img2mse(ours, target)
            total = total + compute_mse(post, target, out.V_post) + compute_mse(prev, target, out.V_prev)
        if out.pp is not None:
            total = total + compute_mse(getattr(out.pp, kind), target, out.M_dd)
        terms[f"{loss}, dynamic"] = coefficient * total
        union = getattr(out.union, kind)
        terms[f"{loss}, union"] = coefficient * img2mse(union[: gt.N_rand], target[: gt.N_rand])
    depth = out.union.depth if o.depth_full else out.ref.depth
    terms |= shared_terms(s, out, gt, cameras, o, depth)
    w = out.ref.weights[..., None]
    prev, post = torch.sum(w * ref.sf_prev, -1), torch.sum(w * ref.sf_post, -1)
    terms["sf_reg_loss"] = o.w_sf_reg * (torch.mean(torch.abs(prev)) + torch.mean(torch.abs(post)))
    return terms


def step_terms(
    code: str, s: int, static: State, dynamic: State, cameras: Cameras, targets: Targets, draw: Draw, options: Options
) -> tuple[dict[str, torch.Tensor], Rendered]:
    """All terms of step s (0, 1, ...) of "nsff" or "saff", and what was rendered. Even steps chain backward."""
    five = options.chain_sf and s > 2 * 1000 * options.decay_iteration
    out = render(static, dynamic, cameras, targets, draw, options, s % 2 == 0, five)
    terms = {"nsff": nsff_terms, "saff": saff_terms}[code]
    return terms(s, out, targets, cameras, options), out
