"""Normalised spaces and rays: golden values, round trips, and NSFF's own formulas."""

import numpy as np
import pytest
import torch

from nsff.cameras import Cameras
from nsff.cameras.llff import read_poses_bounds
from nsff.cameras.rays import pixel_rays, project
from nsff.cameras.spaces import NdcSpace, Space, average_pose, contract, is_forward_facing, make_space


def ring(angles: list[float], radius: float = 0.5, turn: bool = False) -> Cameras:
    """Cameras on an arc in the (x, z) plane; looking along +z, or with ``turn`` at the centre of the ring."""
    poses = []
    for a in np.radians(angles):
        R = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]]) if turn else np.eye(3)
        centre = radius * np.array([np.sin(a), 0.0, 0.0]) if not turn else -radius * np.array([np.sin(a), 0, np.cos(a)])
        poses.append(np.concatenate([R, (-R @ centre)[:, None]], 1))
    K = np.array([[100.0, 0, 32], [0, 100.0, 24], [0, 0, 1]])
    n = len(poses)
    return Cameras(np.repeat(K[None], n, 0), np.array(poses), np.tile([[2.0, 10.0]], (n, 1)), 64, 48)


def identity_ndc() -> NdcSpace:
    return NdcSpace(1.0, np.eye(3), np.zeros(3), [[-2, -2, -1], [2, 2, 1]], ax=2 * 100 / 64, ay=2 * 100 / 48)


def test_ndc_golden_values():
    space = identity_ndc()
    near = space.from_world(torch.tensor([0.0, 0, 1.0], dtype=torch.float64))
    far = space.from_world(torch.tensor([0.0, 0, 1e12], dtype=torch.float64))
    assert near.tolist() == [0, 0, -1]
    torch.testing.assert_close(far, torch.tensor([0.0, 0, 1.0], dtype=torch.float64))
    # A point on the edge of the picture of a camera at the origin has x' = 1.
    edge = space.from_world(torch.tensor([0.32 * 3, 0.24 * 3, 3.0], dtype=torch.float64))
    torch.testing.assert_close(edge, torch.tensor([1.0, 1.0, 1 - 2 / 3], dtype=torch.float64))


def test_ndc_rays_are_nsffs():
    """The formulas of docs/methods.md#normalised-device-coordinates, written in NSFF's OpenGL axes."""
    space = identity_ndc()
    g = torch.Generator().manual_seed(0)
    o = torch.randn(20, 3, generator=g, dtype=torch.float64) * 0.1
    d = torch.cat(
        [torch.randn(20, 2, generator=g, dtype=torch.float64) * 0.3, torch.ones(20, 1, dtype=torch.float64)], 1
    )
    flip = torch.tensor([1.0, -1, -1], dtype=torch.float64)
    O, D = o * flip, d * flip
    O = O - ((1 + O[:, 2]) / D[:, 2])[:, None] * D
    ox, oy = O[:, 0] / O[:, 2], O[:, 1] / O[:, 2]
    start = torch.stack([-space.ax * ox, -space.ay * oy, 1 + 2 / O[:, 2]], -1)
    step = torch.stack([-space.ax * (D[:, 0] / D[:, 2] - ox), -space.ay * (D[:, 1] / D[:, 2] - oy), -2 / O[:, 2]], -1)
    mine_start, mine_step = space.normalise_rays(o, d)
    torch.testing.assert_close(mine_start * torch.tensor([1.0, -1, 1]), start)
    torch.testing.assert_close(mine_step * torch.tensor([1.0, -1, 1]), step)


@pytest.mark.parametrize("kind", ["ndc", "contraction"])
def test_round_trips_and_depths(kind):
    cameras = ring([-20, 0, 20])
    space = make_space(kind, cameras)
    again = Space.from_dict(space.to_dict())
    g = torch.Generator().manual_seed(0)
    points = torch.rand(50, 3, generator=g, dtype=torch.float64) * 4 + torch.tensor([-2.0, -2, 3])
    torch.testing.assert_close(again.to_world(space.from_world(points)), points)
    # Along a ray: the position at s_of_depth(depth) is the image of origin + depth direction.
    origins = torch.rand(50, 3, generator=g, dtype=torch.float64) * 0.2
    directions = torch.cat(
        [torch.rand(50, 2, generator=g, dtype=torch.float64) - 0.5, torch.ones(50, 1, dtype=torch.float64)], 1
    )
    depth = torch.rand(50, generator=g, dtype=torch.float64) * 6 + 2.5
    s = space.s_of_depth(origins, directions, depth)
    x = space.positions(*space.normalise_rays(origins, directions), s[:, None])[:, 0]
    torch.testing.assert_close(x, space.from_world(origins + depth[:, None] * directions))


def test_ndc_scale_puts_near_content_behind_the_near_plane():
    space = make_space("ndc", ring([-20, 0, 20]))
    assert isinstance(space, NdcSpace)
    # near = 2 in scene units becomes 1/0.9 = 1.11 (docs/methods.md#the-published-loaders-world).
    z = space.from_world(torch.tensor([0.0, 0, 2.0], dtype=torch.float64))[2]
    torch.testing.assert_close(z, torch.tensor(1 - 2 * 0.9, dtype=torch.float64))


def test_samples_pushed_beyond_infinity_stay_finite():
    world = identity_ndc().to_world(torch.tensor([[0.5, 0.5, 1.0], [0.5, 0.5, 1.7]]))
    assert bool(torch.isfinite(world).all())


def test_contraction_golden_values():
    points = torch.tensor([[0.5, 0, 0], [2.0, 0, 0], [0, -4.0, 0]])
    torch.testing.assert_close(contract(points), torch.tensor([[0.5, 0, 0], [1.5, 0, 0], [0, -1.75, 0]]))


@pytest.mark.parametrize("kind", ["ndc", "contraction"])
def test_the_box_holds_all_samples(kind):
    cameras = ring([-20, 0, 20])
    space = make_space(kind, cameras)
    K, E = torch.tensor(cameras.intrinsics), torch.tensor(cameras.world_to_camera)
    g = torch.Generator().manual_seed(0)
    u, v = torch.rand(3, generator=g, dtype=torch.float64) * 64, torch.rand(3, generator=g, dtype=torch.float64) * 48
    o, d = space.normalise_rays(*pixel_rays(K, E, u, v))
    x = space.positions(o, d, torch.rand(3, 40, generator=g, dtype=torch.float64))
    lower, upper = space.bounds().double()
    assert bool((x > lower).all()) and bool((x < upper).all())


def test_forward_facing_is_told_from_a_ring():
    assert is_forward_facing(ring([-20, 0, 20]))
    assert not is_forward_facing(ring([0, 90, 180, 270], radius=3, turn=True))
    assert make_space("auto", ring([0, 120, 240], radius=3, turn=True)).kind == "contraction"


def test_average_pose_of_one_camera_is_that_camera():
    cameras = ring([30], turn=True)
    R, centre = average_pose(cameras)
    np.testing.assert_allclose(R, cameras.world_to_camera[0, :, :3], atol=1e-12)
    np.testing.assert_allclose(centre, cameras.centres[0], atol=1e-12)


def test_rays_and_projection_invert_each_other_and_agree_with_cameras():
    cameras = ring([10, 25], turn=True)
    K, E = torch.tensor(cameras.intrinsics), torch.tensor(cameras.world_to_camera)
    uv = torch.tensor([[10.5, 3.25], [60.0, 40.0]], dtype=torch.float64)
    origins, directions = pixel_rays(K, E, uv[:, 0], uv[:, 1])
    np.testing.assert_allclose(origins.numpy(), cameras.centres, atol=1e-12)
    points = origins + torch.tensor([[2.0], [5.0]]) * directions
    found, depth = project(points, K, E)
    torch.testing.assert_close(found, uv)
    torch.testing.assert_close(depth, torch.tensor([2.0, 5.0], dtype=torch.float64))
    expected, z = cameras.project(points.numpy())
    np.testing.assert_allclose(np.stack([expected[0, 0], expected[1, 1]]), uv.numpy(), atol=1e-9)
    np.testing.assert_allclose([z[0, 0], z[1, 1]], [2, 5])
    torch.autograd.gradcheck(lambda p: project(p, K, E)[0], points.requires_grad_())


# --- the published frame ---------------------------------------------------------------------------------------------
FLIP = torch.tensor([1.0, -1, -1], dtype=torch.float64)
"""From OpenCV axes to NSFF's, OpenGL's (x right, y up, z backward), and back."""


def published_frame(cameras: Cameras) -> tuple[np.ndarray, float]:
    """NSFF's loader, on camera-to-world matrices in OpenGL axes: recentred and scaled poses (N,3,4), and the scale."""
    poses = cameras.camera_to_world * np.array([1.0, -1, -1, 1])
    scale = 1 / (np.percentile(cameras.near_far[:, 0], 5) * 0.9)
    poses[:, :, 3] *= scale
    unit = lambda v: v / np.linalg.norm(v)  # noqa: E731
    backward, up = unit(poses[:, :, 2].sum(0)), poses[:, :, 1].sum(0)
    right = unit(np.cross(up, backward))
    mean = np.stack([right, unit(np.cross(backward, right)), backward, poses[:, :, 3].mean(0)], 1)
    square = lambda p: np.concatenate([p, np.broadcast_to([[0.0, 0, 0, 1]], (*p.shape[:-2], 1, 4))], -2)  # noqa: E731
    return (np.linalg.inv(square(mean)) @ square(poses))[:, :3], scale


def moved_rig(scale: float) -> Cameras:
    """Cameras that look forward from places and in directions of their own, in a turned and shifted world."""
    g = np.random.default_rng(3)
    rotation = np.linalg.qr(g.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    rig = ring([-20, -7, 0, 4, 15])
    shaken = [np.linalg.qr(pose[:, :3] + 0.05 * g.normal(size=(3, 3)))[0] for pose in rig.world_to_camera]
    shaken = [R * np.sign(np.diag(R)) for R in shaken]
    poses = np.concatenate([np.stack(shaken), rig.world_to_camera[:, :, 3:]], 2)
    near_far = rig.near_far * g.uniform(0.8, 1.3, (5, 1))
    still = Cameras(rig.intrinsics, poses, near_far, rig.width, rig.height)
    return still.moved(scale, rotation, g.normal(size=3) * 3 * scale)


def real_rig(shared, name: str) -> Cameras:
    path = shared / "scenes" / {"balloon1": "balloon1", "toss": "toss/dense"}[name] / "poses_bounds.npy"
    return read_poses_bounds(path).resized(288, 512)


@pytest.mark.parametrize("rig", [0.03, 1.0, 30.0, 30_000.0, "balloon1", "toss"])
def test_euclidean_coordinates_are_those_of_the_published_loader(rig, request):
    """Recentred and scaled cameras, near plane, and the conversion from NDC with its 1e-6."""
    cameras = moved_rig(rig) if isinstance(rig, float) else real_rig(request.getfixturevalue("shared"), rig)
    poses, scale = published_frame(cameras)
    space = make_space("ndc", cameras)
    assert isinstance(space, NdcSpace)
    assert space.scale == pytest.approx(scale, rel=1e-12)
    relative = space.relative(torch.tensor(cameras.world_to_camera)).numpy()
    R, t = relative[:, :, :3], relative[:, :, 3]
    found = np.concatenate([R.transpose(0, 2, 1), -np.einsum("nji,nj->ni", R, t)[:, :, None]], 2)
    sign = np.array([1.0, -1, -1])
    np.testing.assert_allclose(found * sign[:, None] * np.append(sign, 1), poses, atol=1e-9)
    # NSFF's NDC2Euclidean, in its axes: in front of the camera, and beyond infinity.
    g = torch.Generator().manual_seed(0)
    ndc = torch.rand(200, 3, generator=g, dtype=torch.float64) * torch.tensor([4.0, 4, 2.4]) - torch.tensor([2.0, 2, 1])
    z = 2 / (ndc[:, 2] - 1 + 1e-6)
    focal = cameras.intrinsics[0, 0, 0]
    theirs = torch.stack(
        [-ndc[:, 0] * z * cameras.width / (2 * focal), -ndc[:, 1] * z * cameras.height / (2 * focal), z], 1
    )
    ours = space.euclidean(ndc * torch.tensor([1.0, -1, 1], dtype=torch.float64))
    torch.testing.assert_close(ours * FLIP, theirs, rtol=1e-9, atol=0)
    # Seen by the cameras: f x / -z + W/2, -f y / -z + H/2 there.
    i = torch.arange(200) % len(cameras)
    near = torch.tensor(poses)[i]
    local = torch.einsum("rji,rj->ri", near[:, :, :3], theirs - near[:, :, 3])
    uv = torch.stack([focal * local[:, 0] / -local[:, 2], -focal * local[:, 1] / -local[:, 2]], 1)
    uv = uv + torch.tensor([cameras.width / 2, cameras.height / 2])
    relative = space.relative(torch.tensor(cameras.world_to_camera))[i]
    seen = space.project(ndc * torch.tensor([1.0, -1, 1]), torch.tensor(cameras.intrinsics)[i], relative)
    # Their division explodes at infinity, and points behind a camera appear in front of it.
    homogeneous_depth = -local[:, 2] * (1 - ndc[:, 2] - 1e-6) / 2
    sane = homogeneous_depth > 1e-2
    assert sane.sum() > 150
    torch.testing.assert_close(seen[sane], uv[sane], rtol=1e-7, atol=1e-7)


def test_euclidean_coordinates_are_finite_at_infinity_and_invert_the_contraction():
    z = torch.tensor([1 - 1e-6, 1.0, 1 - 1.1e-6, 1 + 1e-7, 1.7, 1 - 2e-5], dtype=torch.float64).requires_grad_()
    points = identity_ndc().euclidean(torch.stack([z * 0 + 0.5, z * 0 + 0.5, z], -1))
    assert bool(torch.isfinite(points).all())
    assert points[:, 2].abs().max() <= 2e5 + 1
    points.sum().backward()
    assert bool(torch.isfinite(z.grad).all())
    space = make_space("contraction", ring([-20, 0, 20]))
    g = torch.Generator().manual_seed(1)
    world = torch.randn(50, 3, generator=g, dtype=torch.float64) * 9
    expected = space.scale * (world @ space.R.T + space.t)
    torch.testing.assert_close(space.euclidean(space.from_world(world)), expected)
    assert bool(torch.isfinite(space.euclidean(torch.tensor([[2.5, 0, 0], [0, 2.0, 0], [0, 0, 0]]))).all())


def test_what_is_euclidean_knows_nothing_of_the_worlds_unit():
    """The same clip in another world: the same coordinates, so the same losses."""
    small, large = (make_space("ndc", moved_rig(scale)) for scale in (0.03, 30_000.0))
    ndc = torch.rand(20, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(small.euclidean(ndc), large.euclidean(ndc))
    assert (small.to_world(ndc) - large.to_world(ndc)).abs().max() > 1


@pytest.mark.parametrize("kind", ["ndc", "contraction"])
def test_rays_do_not_depend_on_the_worlds_unit(kind):
    """Down to worlds whose near plane is at a billionth of a unit, and up to those where it is at a billion."""

    def positions(scale: float) -> torch.Tensor:
        cameras = moved_rig(1.0).moved(scale, np.eye(3), np.zeros(3))
        g = torch.Generator().manual_seed(4)
        uv = torch.rand(2, 30, generator=g, dtype=torch.float64) * 48
        K, E = torch.tensor(cameras.intrinsics[:1]), torch.tensor(cameras.world_to_camera[:1])
        space = make_space(kind, cameras)
        o, d = pixel_rays(K.expand(30, 3, 3), E.expand(30, 3, 4), uv[0], uv[1])
        depth = 3 * scale * torch.ones(30, dtype=torch.float64)
        s = torch.stack([torch.full_like(depth, 0.3), space.s_of_depth(o, d, depth)], 1)
        return space.positions(*space.normalise_rays(o, d), s)

    for scale in (1e-9, 1e9):
        torch.testing.assert_close(positions(scale), positions(1.0))
