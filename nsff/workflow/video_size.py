"""The size of videos: that of the canonical frames, or larger, up to that of the source's frames (``render.size``)."""

from __future__ import annotations

from nsff.config import RenderConfig
from nsff.scene import Scene

LONGEST = 30.0
"""auto: seconds that the pictures of a video may take, where larger ones are wanted."""
MOST = 2.0
"""auto: so many times the canonical sides at most. Beyond, a model has no more detail to show."""


def enlargement(render: RenderConfig, canonical: tuple[int, int], rows: int, megapixel: float) -> float:
    """Sides of the videos over those of the canonical frames; at least 1.

    Args:
        render: the scene's settings.
        canonical: height and width of the canonical frames.
        rows: of the source's frames, as they were taken in.
        megapixel: seconds that a megapixel takes to draw.

    >>> settings = RenderConfig(frames=96)
    >>> enlargement(settings, (288, 512), 1080, megapixel=0.02), enlargement(settings, (180, 320), 180, 1.7)
    (2.0, 1.0)
    >>> round(enlargement(settings, (180, 320), 1080, megapixel=1.7), 2)
    1.79
    """
    height, width = canonical
    whole = max(rows / height, 1.0)
    if render.size == "source":
        return whole
    if render.size == "canonical" or render.render_factor != 1:
        return 1.0
    affordable = LONGEST / (render.frames * height * width / 1e6 * megapixel)
    return max(1.0, min(whole, MOST, affordable**0.5))


def sized(scene: Scene, render: RenderConfig, megapixel: float) -> RenderConfig:
    """Settings with the factor by which videos of this scene are drawn. ``megapixel``: as above."""
    larger = enlargement(render, scene.size, int(scene.manifest["height"]), megapixel)
    return render.model_copy(update={"render_factor": render.render_factor / larger})
