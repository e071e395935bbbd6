"""k-means, the elbow, merging and the vote: by hand, and docs/methods.md#numbers-to-check-against."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.decompose.kmeans import assign, fit_elbow, kmeans
from nsff.decompose.voting import best_label, count_votes, mean_by_label, merge_map, needed_votes, vote
from nsff.imaging.vectors import unit_length


def run_elbow(objectives: list[float], max_clusters: int = 24, elbow: float = 0.975) -> tuple[int, list[float]]:
    centroids, found = fit_elbow(
        lambda k: np.zeros((k, 2), np.float32), lambda c: objectives[len(c) - 1], max_clusters, elbow
    )
    return len(centroids), found


def test_elbow_uses_the_first_k_that_does_not_improve():
    assert run_elbow([1.0, 0.5, 0.3, 0.298, 0.1]) == (4, [1.0, 0.5, 0.3, 0.298])


def test_elbow_is_strict():
    # 0.5 is not more than 0.5 times 1.0, 0.251 is more than 0.5 times 0.5.
    assert run_elbow([1.0, 0.5, 0.251], elbow=0.5)[0] == 3


def test_elbow_never_stops_at_one_and_ends_at_the_maximum():
    assert run_elbow([0.9**k for k in range(30)])[0] == 24
    assert run_elbow([0.0] * 24)[0] == 24  # 0 is not more than 0.975 times 0
    assert run_elbow([1.0, 1.0])[0] == 2


def test_kmeans_finds_planted_clusters_and_is_reproducible():
    generator = np.random.default_rng(3)
    centres = np.eye(4, 8, dtype=np.float32)
    truth = generator.integers(0, 4, 2000)
    pixels = unit_length(centres[truth] + 0.05 * generator.normal(size=(2000, 8)))
    centroids = kmeans(pixels, 4, iterations=50, restarts=5, seed=1234)
    labels, squared = assign(pixels, centroids)
    agreement = np.zeros((4, 4), int)
    np.add.at(agreement, (truth, labels), 1)
    assert (np.count_nonzero(agreement, axis=1) == 1).all()
    assert len(set(agreement.argmax(1))) == 4
    assert squared.mean() < 0.03
    np.testing.assert_array_equal(centroids, kmeans(pixels, 4, iterations=50, restarts=5, seed=1234))


def test_assign_gives_nearest_and_squared_distance():
    centroids = np.array([[0, 0], [3, 4]], np.float32)
    labels, squared = assign(np.array([[1, 0], [3, 3], [3, 4]], np.float32), centroids)
    assert labels.tolist() == [0, 1, 1]
    np.testing.assert_allclose(squared, [1, 1, 0], atol=1e-5)


def test_unit_keeps_zero():
    np.testing.assert_allclose(unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0, 0]])


def at_degrees(*angles: float) -> np.ndarray:
    radians = np.deg2rad(angles)
    return np.stack([np.cos(radians), np.sin(radians)], 1)


def test_merge_resolves_chains():
    # 40° steps: neighbours have cosine 0.77, those two steps apart 0.17. 0-1-2-3 is one chain.
    assert merge_map(at_degrees(0, 40, 80, 120), 0.5).tolist() == [0, 0, 0, 0]


def test_merge_takes_the_first_similar_one():
    # 2 is similar to 0 and 1, which are not similar to each other (70°: 0.34).
    assert merge_map(at_degrees(0, 70, 35), 0.5).tolist() == [0, 1, 0]
    assert merge_map(at_degrees(0, 70, 140, 105), 0.5).tolist() == [0, 1, 2, 1]


def test_merge_ignores_length_and_is_strict():
    assert merge_map(np.array([[1.0, 0], [5.0, 0.1]]), 0.5).tolist() == [0, 0]
    assert merge_map(np.array([[1.0, 0], [0.5, np.sqrt(0.75)]]), 0.5 + 1e-12).tolist() == [0, 1]


def test_similarity_one_merges_nothing():
    assert merge_map(np.array([[1.0, 0], [1.0, 0]]), 1.0).tolist() == [0, 1]
    assert merge_map(np.array([[1.0, 0], [1.0, 0]]), 1.0, "average").tolist() == [0, 1]


def test_groups_merge_by_the_mean_of_their_members():
    # A rim (45 degrees) is like the ground (0 and 5; cosines 0.71 and 0.77) and like a thing (95; 0.64), which is
    # unlike the ground: it goes with the ground, and the thing, at a mean cosine of 0.18 to the three, stays alone.
    assert merge_map(at_degrees(0, 45, 95, 5), 0.5).tolist() == [0, 0, 0, 0]
    assert merge_map(at_degrees(0, 45, 95, 5), 0.5, "average").tolist() == [0, 0, 2, 0]
    # Whatever the order; a group is named after its lowest label.
    assert merge_map(at_degrees(95, 5, 45, 0), 0.5, "average").tolist() == [0, 1, 1, 1]
    # The mean counts: of 0.17 and 0.34, and of 0.5 and 0.64.
    assert merge_map(at_degrees(0, 10, 80), 0.5, "average").tolist() == [0, 0, 2]
    assert merge_map(at_degrees(0, 10, 60), 0.5, "average").tolist() == [0, 0, 0]
    # Above, not at, the similarity; and one label has nothing to merge with.
    assert merge_map(np.array([[1.0, 0], [0.0, 1.0]]), 0.0, "average").tolist() == [0, 1]
    assert merge_map(np.array([[1.0, 0]]), 0.5, "average").tolist() == [0]


@pytest.mark.parametrize(
    ("views", "fraction", "votes"), [(24, 0.7, 17), (48, 0.7, 34), (10, 0.7, 7), (100, 0.07, 7), (1, 0.01, 1)]
)
def test_needed_votes(views: int, fraction: float, votes: int):
    assert needed_votes(views, fraction) == votes


def test_vote_counts_views_above_the_threshold_and_absent_labels_do_not_vote():
    saliency = np.full((24, 3), 0.0)
    saliency[:17, 0] = 0.08
    saliency[:16, 1] = 0.9
    saliency[:, 2] = 0.07  # not above the threshold
    saliency[17:, 0] = np.nan
    assert count_votes(saliency, 0.07).tolist() == [17, 16, 0]
    assert vote(saliency, 0.07, 0.7).tolist() == [True, False, False]


def test_best_label_is_the_most_salient_where_shown():
    saliency = np.array([[0.01, np.nan, 0.0], [0.01, 0.04, 0.0]])
    assert best_label(saliency).tolist() == [False, True, False]
    assert not best_label(np.zeros((3, 4))).any()


def test_mean_by_label():
    means = mean_by_label(np.array([[1.0, 3.0], [5.0, 0.0]]), np.array([[0, 0], [2, 2]]), 4)
    np.testing.assert_allclose(means, [2, np.nan, 2.5, np.nan])
