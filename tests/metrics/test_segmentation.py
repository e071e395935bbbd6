"""ARI, foreground ARI and Jaccard against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nsff.metrics.measure import mask_scores
from nsff.metrics.protocols import NSFF, SAFF
from nsff.metrics.segmentation import adjusted_rand_index, foreground_ari, jaccard, merge_like_saff


@pytest.mark.parametrize("seed", range(6))
def test_against_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, (31, 23))
    prediction = np.where(generator.random(truth.shape) < 0.7, (truth + 2) % 5, generator.integers(0, 6, truth.shape))
    expected = metrics.adjusted_rand_score(truth.ravel(), prediction.ravel())
    assert adjusted_rand_index(prediction, truth) == pytest.approx(expected, abs=1e-12)
    inside = truth != 0
    expected = metrics.adjusted_rand_score(truth[inside], prediction[inside])
    assert foreground_ari(prediction, truth) == pytest.approx(expected, abs=1e-12)
    expected = metrics.jaccard_score(inside.ravel(), (prediction != 0).ravel())
    assert jaccard(prediction, truth) == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    truth, prediction = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    assert adjusted_rand_index(prediction, truth) == pytest.approx(4 / 7)
    assert jaccard(prediction, np.array([0, 1, 1, 0])) == pytest.approx(1 / 3)


def test_label_numbers_do_not_matter() -> None:
    truth = np.array([[0, 100, 100], [200, 200, 0]])
    prediction = np.array([[5, 2, 2], [1, 1, 5]])
    assert adjusted_rand_index(prediction, truth) == 1.0
    assert foreground_ari(prediction, truth) == 1.0


def test_constant_and_black_predictions() -> None:
    truth = np.repeat([0, 1, 2], 20).reshape(6, 10)
    assert adjusted_rand_index(np.full_like(truth, 3), truth) == 0.0
    assert jaccard(np.zeros_like(truth), truth) == 0.0
    assert jaccard(np.ones_like(truth), truth) == pytest.approx(2 / 3)


def test_empty_cases() -> None:
    nothing = np.zeros((4, 4), int)
    assert math.isnan(foreground_ari(nothing, nothing))
    assert jaccard(nothing, nothing) == 1.0
    assert adjusted_rand_index(nothing, nothing) == 1.0
    assert math.isnan(adjusted_rand_index(nothing[:0], nothing[:0]))
    with pytest.raises(ValueError, match="differ in shape"):
        jaccard(nothing, nothing[:2])


def test_large_pictures_stay_exact() -> None:
    truth = np.zeros((1200, 2000), np.int64)
    truth[:, :700] = 1
    prediction = truth.copy()
    prediction[0, 0] = 0
    assert 0.999 < adjusted_rand_index(prediction, truth) < 1.0


def test_saff_merges_labels_that_share_a_channel() -> None:
    """0-based palette labels 2, 3 and 7 share red 255, so our 3, 4 and 8 fall together and nothing else below 24
    does."""
    labels = np.arange(25)
    merged = merge_like_saff(labels)
    assert merged[3] == merged[4] == merged[8]
    assert len(np.unique(merged)) == 25 - 2
    assert merged[0] == 0
    assert (merged[1:] != 0).all()


def test_reference_scores() -> None:
    truth = np.array([[0, 0, 1, 1, 2, 2]])
    prediction = np.array([[0, 0, 3, 3, 4, 4]])
    scores = mask_scores(prediction, truth, SAFF)
    assert scores["ari"] == scores["fg_ari"] == scores["jaccard"] == 1.0
    assert scores["fg_ari_reference"] == 0.0
    assert scores["ari_reference"] < 0.9
    assert "ari_reference" not in mask_scores(prediction, truth, NSFF)
