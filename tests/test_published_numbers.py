"""The acceptance numbers of the published systems, one after another (docs/methods.md#numbers-to-check-against)."""

import io

import cv2
import numpy as np
import pytest
import torch

from nsff.cameras import Cameras
from nsff.cameras.spaces import make_space
from nsff.config import FieldConfig, resolve_scene
from nsff.decompose.colours import PALETTE
from nsff.decompose.kmeans import fit_elbow, kmeans
from nsff.decompose.mean_field import unary_from_labels
from nsff.decompose.voting import needed_votes
from nsff.metrics.segmentation import merge_like_saff, segmentation_scores
from nsff.models.ray_fields.encodings import encoded_size
from nsff.models.ray_fields.mlp import MlpDynamicField, MlpStaticField
from nsff.models.ray_fields.terms.schedules import CHAINED, MASKED, decay_factor
from nsff.models.ray_fields.terms.setup import Setup
from nsff.paths import make_path, wander_offsets
from nsff.training.execution import Execution
from nsff.training.trainer import Trainer

SAFF = resolve_scene("a", {"input": {"path": "x"}}, "saff", {})
NSFF = resolve_scene("a", {"input": {"path": "x"}}, "nsff", {})


def networks(config: FieldConfig) -> tuple[torch.nn.Module, torch.nn.Module]:
    return MlpDynamicField(config, 64, 24), MlpStaticField(config, 64, 24)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# --- networks --------------------------------------------------------------------------------------------------------
def test_encodings():
    config = SAFF.field
    sizes = [encoded_size(n, config.position_frequencies) for n in (4, 3)]
    assert [*sizes, encoded_size(3, config.direction_frequencies)] == [84, 63, 27]


def test_parameters_of_the_presets():
    assert [count(net) for net in networks(SAFF.field)] == [625_357, 612_806]
    assert sum(count(net) for net in networks(SAFF.field)) == 1_238_163
    assert [count(net) for net in networks(NSFF.field)] == [608_652, 596_101]


def test_a_checkpoint_with_adam_state_has_14_86_megabytes():
    pair = networks(SAFF.field)
    parameters = [p for net in pair for p in net.parameters()]
    optimiser = torch.optim.Adam(parameters)
    torch.stack([p.sum() for p in parameters]).sum().backward()
    optimiser.step()
    file = io.BytesIO()
    torch.save([pair[0].state_dict(), pair[1].state_dict(), optimiser.state_dict()], file)
    assert len(file.getvalue()) == pytest.approx(14.86e6, rel=0.01)


@pytest.mark.parametrize(("config", "widths"), [(SAFF, [77, 70]), (NSFF, [12, 5])])
def test_output_widths(config, widths):
    x, time = torch.zeros(1, 3), torch.zeros(1)
    assert [net.packed(x, x, time).shape[1] for net in networks(config.field)] == widths


# --- schedules -------------------------------------------------------------------------------------------------------
def test_decay_of_30_thousand_steps():
    steps = SAFF.losses.decay_steps
    assert steps == 30_000
    assert decay_factor(29_999, steps) == 1
    assert SAFF.losses.w_depth * decay_factor(45_000, steps) == pytest.approx(0.004)
    setup = Setup.of_config(SAFF)
    assert [MASKED.has_begun(setup, step) for step in (30_000, 30_001)] == [False, True]


def test_five_frames_from_step_60001():
    setup = Setup.of_config(SAFF)
    assert [CHAINED.has_begun(setup, step) for step in (60_000, 60_001)] == [False, True]


@pytest.mark.parametrize(("step", "rate"), [(0, 5e-4), (300_000, 5e-5), (360_000, 3.155e-5)])
def test_learning_rate(step, rate):
    from types import SimpleNamespace

    trainer, execution = Trainer.__new__(Trainer), Execution.__new__(Execution)
    trainer.config, trainer.step, trainer.execution = SAFF, step, execution
    execution.base_rates = [SAFF.train.learning_rate]
    execution.optimiser, execution.delayed = SimpleNamespace(param_groups=[{"lr": 0.0}]), None
    trainer._schedule()
    assert execution.optimiser.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-3)


# --- geometry --------------------------------------------------------------------------------------------------------
def cameras(near: float = 1 / 0.9) -> Cameras:
    """Cameras at the world's origin whose NSFF scale is 1."""
    K = np.array([[400.0, 0, 273], [0, 400, 144], [0, 0, 1]])
    pose = np.concatenate([np.eye(3), np.zeros((3, 1))], 1)
    return Cameras(np.tile(K, (24, 1, 1)), np.tile(pose, (24, 1, 1)), np.tile([near, 9], (24, 1)), 546, 288)


def test_first_offsets_of_the_paths():
    m = 48 / 400
    np.testing.assert_allclose(wander_offsets(60, m)[0], [0, m / 3, m / 3], atol=1e-15)
    scaled = cameras()
    wander = make_path("view", scaled, 60, 10, 48.0).cameras.world_to_camera[0, :, 3]
    np.testing.assert_allclose(wander, [0, -m / 3, -m / 3], atol=1e-12)
    bullet = make_path("spacetime", scaled, 200, 10, 48.0).cameras.world_to_camera[0, :, 3]
    np.testing.assert_allclose(bullet, [0, -(32 / 400) / 2, 0], atol=1e-12)


def test_ndc_round_trip():
    space = make_space("ndc", cameras())
    assert space.scale == pytest.approx(1)
    points = torch.tensor([[0.0, 0, 1], [0, 0, 1e9]], dtype=torch.float64)
    torch.testing.assert_close(space.from_world(points)[:, 2], torch.tensor([-1.0, 1.0], dtype=torch.float64))
    near = space.to_world(torch.tensor([[0.3, -0.2, -1.0]], dtype=torch.float64))
    assert near[0, 2].item() == pytest.approx(1)
    assert near[0, 0].item() == pytest.approx(0.3 * 546 / (2 * 400))


# --- decomposition ---------------------------------------------------------------------------------------------------
def test_palette_collisions():
    red = PALETTE[:24, 0]
    together = {tuple(np.flatnonzero(red == value)) for value in np.unique(red)}
    assert {group for group in together if len(group) > 1} == {(2, 3, 7)}
    assert len(np.unique(merge_like_saff(np.arange(1, 25)))) == 22
    grey = cv2.cvtColor(PALETTE[None, :24, ::-1].copy(), cv2.COLOR_RGB2GRAY)[0].astype(int)
    assert abs(grey[0] - grey[14]) <= 1
    assert abs(grey[5] - grey[9]) <= 1


def test_votes():
    assert (needed_votes(24, SAFF.decompose.vote_fraction), needed_votes(48, 0.7)) == (17, 34)


def test_numbers_of_clusters_and_of_training_points(monkeypatch):
    assert SAFF.decompose.max_clusters == 24
    _, tried = fit_elbow(lambda k: np.zeros((k, 2)), lambda c: 0.5 ** len(c), SAFF.decompose.max_clusters, 0.975)
    assert len(tried) == 24
    import faiss

    pixels = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    assert faiss.Kmeans(4, 2).cp.max_points_per_centroid == 256
    # What k-means learns from more than 256 points a centroid is what it learns from a subset of them.
    everything = pixels[:256].mean(0)
    assert not np.allclose(kmeans(pixels, 1, 5, 1, 1234)[0], pixels.mean(0), atol=1e-4)
    np.testing.assert_allclose(kmeans(pixels[:256], 1, 5, 1, 1234)[0], everything, atol=1e-5)


@pytest.mark.parametrize(("labels", "other"), [(2, 1.204), (4, 2.303)])
def test_unary_energies_of_the_crf(labels, other):
    energy = unary_from_labels(np.array([[0]]), labels, SAFF.crf.ground_truth_probability)
    assert energy[0, 0] == pytest.approx(0.3567, abs=1e-4)
    assert energy[0, 1] == pytest.approx(other, abs=1e-3)


def test_scores_of_constant_predictions():
    truth = np.array([[0, 1], [2, 2]])
    scores = segmentation_scores(np.zeros((2, 2), int), truth)
    assert (scores["ari"], scores["jaccard"]) == (0, 0)
    assert segmentation_scores(np.ones((2, 2), int), truth)["ari"] == 0
