"""The whole objective against its equations written out (specification, sections 3 and 4, appendix A), in float64.

The networks' answers are taken as they are (tests/fields); everything after them is computed here a second time:
compositing sample by sample, warping, visibility, chains, projections, masks, schedules and weights.
"""

from types import SimpleNamespace

import pytest
import torch

from nsff.cameras.rays import project
from nsff.config import FieldConfig, resolve_scene
from nsff.fields.planes import PlaneStaticField
from nsff.training.data import TrainingData, guessed_share
from nsff.training.objective import Objective
from nsff.training.run import build_model

D = torch.float64
K = 20


def render(density, values, delta):
    """Single-field volume rendering, sample by sample; returns weights (R,K) and rendered values."""
    weights, T = [], torch.ones(len(density), dtype=D)
    for k in range(density.shape[1]):
        alpha = 1 - torch.exp(-torch.relu(density[:, k]) * delta[:, k])
        weights.append(T * alpha)
        T = T * (1 - alpha + 1e-10)
    weights = torch.stack(weights, 1)
    return weights, [(weights[..., None] * value.reshape(*weights.shape, -1)).sum(1) for value in values]


def mse(m, a, b):
    m = m[:, None].expand_as(a)
    return (m * (a - b) ** 2).sum() / (m.sum() + 1e-8)


def normalised(x):
    return (x - x.median()) / (x - x.median()).abs().mean()


class Written:
    """One step's terms from the equations."""

    def __init__(self, model, data, config, batch, generator):
        self.model, self.data, self.config, self.batch = model, data, config, batch
        self.samples = s = model.sample(batch.rays, generator)
        self.x, self.views, self.z = s.positions, s.views, s.s
        length = (s.positions[:, 1] - s.positions[:, 0]).norm(dim=1) / (s.s[:, 1] - s.s[:, 0])
        gap = torch.cat([s.s[:, 1:] - s.s[:, :-1], torch.full_like(s.s[:, :1], 1e10)], 1)
        self.delta = gap * length[:, None]
        self.time = batch.frame.to(D)[:, None].expand_as(self.z)

    def ask(self, x, offset):
        return self.model.dynamic(x, self.views, self.time + offset)

    def terms(self, step):
        c, batch, main = self.config.losses, self.batch, self.batch.main
        S = c.decay_steps
        q = 10.0 ** -(step // S)
        static, here = self.model.static(self.x, self.views, self.time), self.ask(self.x, 0)
        v = torch.ones_like(static.blending) if self.config.field.dynamic_only else static.blending
        blended, M_dd, depth = self.union(static, here, v)
        targets = {"rgb": batch.rgb, "features": batch.features, "saliency": batch.saliency[:, None]}
        scale = {"rgb": 1.0, "features": c.w_features, "saliency": c.w_saliency}
        if c.decay_extra:
            scale |= {"features": q * c.w_features, "saliency": q * c.w_saliency}
        w, dynamic = render(here.raw_density, [here.rgb, here.features, here.saliency], self.delta)
        x_prev, x_post = self.x + here.flow_prev, self.x + here.flow_post
        prev, post = self.ask(x_prev, -1), self.ask(x_post, 1)
        w_prev, from_prev = render(prev.raw_density, [prev.rgb, prev.features, prev.saliency], self.delta)
        w_post, from_post = render(post.raw_density, [post.rgb, post.features, post.saliency], self.delta)
        V_prev = (w_prev.detach() * (1 - here.disocclusion_prev)).sum(1)
        V_post = (w_post.detach() * (1 - here.disocclusion_post)).sum(1)
        M = M_dd.detach() if step > S else torch.ones_like(M_dd)
        backward = step % 2 == 0
        x_two = x_prev + prev.flow_prev if backward else x_post + post.flow_post
        five = c.chain and step > 2 * S
        if five:
            two = self.ask(x_two, -2 if backward else 2)
            _, from_two = render(two.raw_density, [two.rgb, two.features, two.saliency], self.delta)
        result = {}
        for n, (name, target) in enumerate(targets.items()):
            result[name] = scale[name] * ((blended[n][:main] - target[:main]) ** 2).mean()
            total = mse(M, dynamic[n], target) if step > S else ((dynamic[n] - target) ** 2).mean()
            total = total + mse(V_prev * M, from_prev[n], target) + mse(V_post * M, from_post[n], target)
            if five:
                total = total + mse(M, from_two[n], target)
            result[f"dynamic_{name}"] = scale[name] * total
        z = depth if c.depth_full else (w * self.z).sum(1)
        result["depth"] = q * c.w_depth * ((normalised(z) - normalised(-batch.disparity)) ** 2).mean()
        flow = self.flow((w[..., None] * x_post).sum(1), 1, batch.flow_post, batch.valid_post)
        flow = flow + self.flow((w[..., None] * x_prev).sum(1), -1, batch.flow_prev, batch.valid_prev)
        result["flow"] = q * c.w_flow * flow
        cycle = 0
        for out, back, p in ((here.flow_post, post.flow_prev, here.disocclusion_post),
                             (here.flow_prev, prev.flow_post, here.disocclusion_prev)):  # fmt: skip
            m = (1 - p)[..., None].expand_as(out)
            cycle = cycle + (m * (out + back).abs()).sum() / (m.sum() + 1e-8)
        result["cycle"] = c.w_cycle * cycle
        signs = torch.tensor([1.0, -1, 1], dtype=D)  # their y points up
        published = [(w[..., None] * f * signs).sum(2).abs().mean() for f in (here.flow_prev, here.flow_post)]
        result["scene_flow"] = c.w_scene_flow * sum(published)
        p = here.disocclusion_prev.mean() + here.disocclusion_post.mean()
        result["disocclusion"] = c.w_disocclusion * p
        if not self.config.field.dynamic_only:
            result["entropy"] = c.w_entropy * (-static.blending * torch.log(static.blending + 1e-8)).mean()
        X, P, N, T = (self.euclidean(place) for place in (self.x, x_prev, x_post, x_two))
        near, middle = int(0.95 * K), int(0.9 * K)
        smooth = sum((f[:, 1:near] - f[:, : near - 1]).abs().mean() for f in (N - X, P - X))
        kinetic = lambda a, b, e: 0.5 * (((e - b) - (b - a))[:, :middle] ** 2).mean()  # noqa: E731
        chained = kinetic(T, P, X) if backward else kinetic(X, N, T)
        result["smooth"] = c.w_smooth * (smooth + 2 * kinetic(P, X, N) + chained)
        return result

    def union(self, static, here, v):
        """Blended colour, features and saliency, the dynamic weight, and the depth (section 3)."""
        T = torch.ones(len(v), dtype=D)
        moving, still = [], []
        for k in range(K):
            a_d = v[:, k] * (1 - torch.exp(-torch.relu(here.raw_density[:, k]) * self.delta[:, k]))
            a_s = (1 - v[:, k]) * (1 - torch.exp(-torch.relu(static.raw_density[:, k]) * self.delta[:, k]))
            moving.append(T * a_d)
            still.append(T * a_s)
            T = T * ((1 - a_d) * (1 - a_s) + 1e-10)
        w_d, w_s = torch.stack(moving, 1), torch.stack(still, 1)
        mix = lambda a, b: (w_d[..., None] * a.reshape(*v.shape, -1) + w_s[..., None] * b.reshape(*v.shape, -1)).sum(1)  # noqa: E731
        maps = [mix(getattr(here, n), getattr(static, n)) for n in ("rgb", "features", "saliency")]
        return maps, w_d.sum(1), ((w_d + w_s) * self.z).sum(1)

    def euclidean(self, ndc):
        """NSFF's conversion, in OpenCV axes of the average camera: z = 2/(1 - z' - 1e-6), x = x' z W/(2f), y = y' z
        H/(2f)."""
        space = self.model.space
        z = 2 / (1 - ndc[..., 2] - 1e-6)
        return torch.stack([ndc[..., 0] * z / space.ax, ndc[..., 1] * z / space.ay, z], -1)

    def flow(self, ndc, sign, flow, valid):
        i = (self.batch.frame + sign).clamp(0, self.data.n_frames - 1)
        E, k = self.data.world_to_camera[i].to(D), self.data.intrinsics[i].to(D)
        space = self.model.space
        world = (self.euclidean(ndc) / space.scale - space.t) @ space.R
        local = torch.einsum("rij,rj->ri", E[:, :, :3], world) + E[:, :, 3]
        image = torch.einsum("rij,rj->ri", k, local)
        uv = image[:, :2] / image[:, 2:]
        m = valid.to(D)[:, None].expand_as(uv)
        return (m * (uv - self.batch.pixel - flow).abs()).sum() / (m.sum() + 1e-8)


CASES = {
    "published": {},
    "norig": {"field": {"dynamic_only": True}},
    "decaying semantics, full depth": {"losses": {"decay_extra": True, "depth_full": True}},
    "no chain": {"losses": {"chain": False}},
    "Euclidean by its other name": {"losses": {"smooth_space": "world"}},
}


STEPS = [("published", step) for step in (0, 7, 30_000, 30_001, 60_000, 60_002)]


@pytest.mark.parametrize(("case", "step"), STEPS + [(case, step) for case in CASES for step in (45_000, 60_001)])
def test_every_term_is_its_equation(tiny_scene, case, step):
    scene = tiny_scene()
    own = {"input": {"path": "x"}, "sampling": {"samples": K, "noise": 0.0}, "train": {"device": "cpu", "rays": 40}}
    for section, values in CASES[case].items():
        own[section] = {**own.get(section, {}), **values}
    own["field"] = {"width": 32, **own.get("field", {})}
    config = resolve_scene("tiny", own, "saff", {})
    data = TrainingData(scene, config.field, config.train, 0.0, torch.device("cpu"))
    model = build_model(scene, config, data).double()
    with torch.no_grad():  # not empty; motion that leads nothing beyond infinity, where the conversion differs
        for net in (model.static, model.dynamic):
            net.alpha_linear.bias += 0.5
        model.dynamic.sf_linear.weight *= 0.05
        model.dynamic.sf_linear.bias *= 0.05
    motion = config.train.model_copy(update={"motion_rays": 12})
    batch = data.gather(*data.choose(motion, True, torch.Generator().manual_seed(step), 0))
    assert batch.main < len(batch.rgb)
    for name, value in vars(batch).items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            setattr(batch, name, value.to(D))
    batch.rays.origins, batch.rays.directions = batch.rays.origins.to(D), batch.rays.directions.to(D)
    seeded = lambda: torch.Generator().manual_seed(1)  # noqa: E731
    terms, monitors = Objective(model, data, config.losses, config.train)(batch, step, seeded())
    expected = Written(model, data, config, batch, seeded()).terms(step)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=2e-5, atol=1e-12, msg=lambda text, n=name: f"{n}: {text}")
    assert monitors["mse"].item() == pytest.approx(expected["rgb"].item())
    # Gradients, through everything: the same from both.
    total, written = sum(terms.values()), sum(expected.values())
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(total, parameters, allow_unused=True)
    wanted = torch.autograd.grad(written, parameters, allow_unused=True)
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a - b).norm() <= 1e-3 * b.norm() + 1e-7  # sample distances are float32


# --- terms that the papers do not have -------------------------------------------------------------------------------
def surface(weights: torch.Tensor, dynamic: bool = False, **changes) -> torch.Tensor:
    """The surface term of two rays with samples at 0.2, 0.5, 0.9, priors at 0.5 (sure) and 0.8 (half sure)."""
    own = {"w_surface": 2.0, "surface_tolerance": 0.1, "w_depth": 0.0, "w_distortion": 0.0, "w_plane_smooth": 0.0}
    config = resolve_scene("a", {"input": {"path": "x"}, "losses": own | changes, "train": {"steps": 100}}, "fast", {})
    s = torch.tensor([[0.2, 0.5, 0.9]] * 2, dtype=D)
    space = SimpleNamespace(s_of_depth=lambda origins, directions, distance: distance)
    batch = SimpleNamespace(
        disparity=torch.tensor([1 / 0.5, 1 / 0.8], dtype=D), confidence=torch.tensor([1.0, 0.5], dtype=D),
        moving=torch.tensor([True, False]), rays=SimpleNamespace(origins=None, directions=None),
    )  # fmt: skip
    model = SimpleNamespace(space=space, dynamic=object() if dynamic else None, static=object())
    evaluation = SimpleNamespace(samples=SimpleNamespace(s=s), weights=weights, static_alone=lambda: weights)
    terms: dict[str, torch.Tensor] = {}
    data = SimpleNamespace(metric_depth=True)
    Objective(model, data, config.losses, config.train)._geometry(terms, evaluation, batch, 0)
    return terms["surface"]


def test_surface_by_hand():
    # Misses beyond 0.1: (0.2, 0, 0.3) and (0.5, 0.2, 0). Rays: 0.2/2 + 0.3/4 = 0.175; 0.5/4 + 0.2/2 = 0.225, half sure.
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], dtype=D)
    assert surface(weights).item() == pytest.approx(2 * (0.175 + 0.1125) / 2)
    # Where nothing moves the static field alone counts too.
    assert surface(weights, dynamic=True).item() == pytest.approx(2 * (0.175 + 2 * 0.1125) / 2)
    assert torch.autograd.gradcheck(surface, weights.requires_grad_())


def test_hidden_empties_what_lies_behind_and_nothing_else(tiny_scene):
    scene = tiny_scene()
    config = resolve_scene("tiny", {"input": {"path": "x"}}, "demo", {})
    data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
    model = build_model(scene, config, data)
    objective, batch = Objective(model, data, config.losses, config.train), data.gather(torch.arange(0, 600, 40), 15)
    s = torch.linspace(0, 1, 5).expand(15, 5)
    positions = torch.linspace(0, 1, 5)[None, :, None].expand(15, 5, 3)

    def slope(surface: int) -> float:
        weights = torch.zeros(15, 5)
        weights[:, surface] = 1.0
        seen = SimpleNamespace(samples=SimpleNamespace(s=s, positions=positions), weights=weights)
        model.zero_grad()
        objective._hidden(seen, batch, None).backward()
        return float(model.dynamic.trunk[2].bias.grad[0])

    # Places at 1/8, 3/8, 5/8, 7/8: all behind a surface at 0, two behind one at 1/2, none behind the last.
    assert slope(0) > slope(2) > 0
    assert slope(4) == 0


def test_total_variation_by_hand():
    field = PlaneStaticField(
        FieldConfig(plane_resolutions=[2], plane_channels=2), torch.tensor([[-1.0] * 3, [1.0] * 3]), 4, 5
    ).double()
    (planes,) = field.planes
    with torch.no_grad():
        planes.zero_()
        planes.view(-1)[0] = 3.0
    # One corner of one of six 2x2 grids: 9 over 12 vertical and 9 over 12 horizontal differences.
    assert field.total_variation().item() == pytest.approx(9 / 12 + 9 / 12)
    with torch.no_grad():
        planes.copy_(torch.randn(planes.shape, generator=torch.Generator().manual_seed(0), dtype=D))
    start = planes.detach().clone().requires_grad_()

    def variation(values: torch.Tensor) -> torch.Tensor:
        own = SimpleNamespace(bounds=field.bounds, planes=[values])
        return PlaneStaticField.total_variation(own)

    assert torch.autograd.gradcheck(variation, start)


def flow_term(weights, guessed=0.0, **changes):
    """The flow term of one ray with samples at z = 2 and 4, that nothing moves: the camera looks along z, f = 10, and
    optical flow leads 3 pixels to the right in both directions."""
    own = {name: 0.0 for name in ("w_depth", "w_cycle", "w_scene_flow", "w_disocclusion", "w_smooth")}
    own |= {"w_flow": 0.5, "decay_flow": False, **changes}
    config = resolve_scene("a", {"input": {"path": "x"}, "losses": own}, "fast", {})
    zeros = torch.zeros(1, 2, 3, dtype=D)
    positions = torch.tensor([[[0.0, 0.0, 2.0], [4.0, 0.0, 4.0]]], dtype=D)
    dynamic = SimpleNamespace(flow_prev=zeros, flow_post=zeros, disocclusion_prev=zeros, disocclusion_post=zeros)
    space = SimpleNamespace(relative=lambda E: E, project=lambda x, K, E: project(x, K, E)[0])
    K, E = torch.diag(torch.tensor([10.0, 10.0, 1.0], dtype=D)), torch.eye(4, dtype=D)[:3]
    data = SimpleNamespace(n_frames=3, intrinsics=K.expand(3, 3, 3), world_to_camera=E.expand(3, 3, 4),
                           guessed_depth=guessed)  # fmt: skip
    ones, right = torch.ones(1, dtype=torch.bool), torch.tensor([[3.0, 0.0]], dtype=D)
    batch = SimpleNamespace(pixel=torch.zeros(1, 2, dtype=D), frame=torch.tensor([1]), flow_post=right, flow_prev=right,
                            valid_post=ones, valid_prev=ones)  # fmt: skip
    warped = {side: SimpleNamespace(positions=positions, field=None) for side in ("prev", "post")}
    terms: dict[str, torch.Tensor] = {}
    objective = Objective(SimpleNamespace(space=space), data, config.losses, config.train)
    objective._motion(terms, dynamic, weights, positions, None, warped, ("prev", positions), batch,
                      torch.ones(1, dtype=D), 0)  # fmt: skip
    return terms["flow"]


def test_flow_by_hand():
    # Half of the weight at each: (2, 0, 3), seen at 20/3 px where 3 are asked for; the mean over two axes, both ways.
    half = torch.tensor([[0.5, 0.5]], dtype=D)
    expected = 0.5 * 2 * (20 / 3 - 3) / 2
    assert flow_term(half).item() == pytest.approx(expected)
    # What is half transparent is seen at the same place.
    assert flow_term(half / 2).item() == pytest.approx(expected)
    # A third of the depth is a guess: 1 + (4 - 1) / 3 times the weight.
    assert flow_term(half, guessed=1 / 3, flow_guessed=4.0).item() == pytest.approx(2 * expected)
    assert flow_term(half, guessed=1.0, flow_guessed=1.0).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("depth", "share"),
    [
        ({"metric": True}, 0.0),  # measured
        ({"metric": True, "aligned": False}, 0.0),
        ({"metric": True, "aligned": True, "least_motion_fraction": 0.0}, 1.0),  # a network's
        ({"metric": True, "aligned": True, "least_motion_fraction": 0.25}, 0.75),
        ({"metric": True, "grounded_fraction": 0.1, "least_motion_fraction": 0.99}, 0.01),  # classical
        ({"metric": True, "grounded_fraction": 0.1, "least_motion_fraction": None}, 1.0),
        ({"metric": False, "aligned": False}, 1.0),  # without a unit
        ({}, 1.0),
    ],
)
def test_how_much_depth_is_a_guess(depth, share):
    assert guessed_share(depth) == pytest.approx(share)
