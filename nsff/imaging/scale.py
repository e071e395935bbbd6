"""The height for which lengths in pixels are tuned.

Radii of filters, of morphology and of windows are given in pixels of pictures with 288 rows, the height of NSFF's
frames, and are multiplied by ``rows / REFERENCE_ROWS`` for pictures of another height.
"""

from __future__ import annotations

REFERENCE_ROWS = 288.0
"""Rows of the pictures for which lengths are given."""
