"""Whether trajectories move, by the votes of the motion masks over all frames in which they live.

Notation. P trajectories. Evidence (P,) is a log likelihood ratio of moving against standing still, in natural units.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import betaln

FALSE_VOTE = 0.05
"""Share of the frames in which a mask covers what stands still."""
INDEPENDENT = 8.0
"""Votes of neighbouring frames share errors: more frames than these count as so many."""


def vote_evidence(
    votes: Float[np.ndarray, "P"], seen: Float[np.ndarray, "P"], independent: float = INDEPENDENT
) -> Float64[np.ndarray, "P"]:
    """Evidence of k votes in n frames: a mover is voted for in an unknown share of its frames, all shares being equally
    likely; what stands still in FALSE_VOTE of them (Beta-binomial against binomial).

    >>> vote_evidence(np.array([0.0, 1, 8]), np.array([8.0, 8, 8])).round(1)
    array([-1.8, -0.9, 21.8])
    """
    n = np.minimum(seen, independent)
    k = votes / np.maximum(seen, 1e-9) * n
    return betaln(k + 1, n - k + 1) - (k * np.log(FALSE_VOTE) + (n - k) * np.log(1 - FALSE_VOTE))
