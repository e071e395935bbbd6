"""Options of scenes of Gaussians (model.options)."""

from __future__ import annotations

from pydantic import Field

from nsff.config.base import StageConfig


class Options(StageConfig):
    """How many Gaussians there are, how they live and move, and how they are trained.

    Learning rates are Adam's at the start, of positions as a fraction of the median depth.
    """

    static_spacing: int = Field(2, ge=1)
    """Every how many pixels, along rows and columns, a frame gives a static Gaussian."""
    thinning: float = Field(1.7, ge=0)
    """Static Gaussians that lie within this many pixels, seen from the middle of the cameras, and at the same depth are
    made one, which leaves room to split those that the pictures pull at; 0: none are."""
    dynamic_spacing: int = Field(1, ge=1)
    """Every how many pixels that move, along rows and columns, give a dynamic Gaussian."""
    max_dynamic: int = Field(800_000, ge=1)
    """Most dynamic Gaussians; beyond it dynamic_spacing grows."""
    reach: int = Field(6, ge=0)
    """Frames before and after its own through which the path of a dynamic Gaussian is followed."""
    span: float = Field(0.7, gt=0)
    """Standard deviation, in frames, of the time in which a dynamic Gaussian is seen, at the start; the least one."""
    span_error: float = Field(0.1, ge=0, le=1)
    """Spans start longer where the pictures along a path show the Gaussian's colour to within this; 0: nowhere."""
    leave_out: float = Field(0.3, ge=0, lt=1)
    """Part of the steps in which a frame is drawn without the dynamic Gaussians that were made of it, so that those of
    other times have to lie where it shows them."""
    sharp_depth: bool = True
    """Slopes of the prior's depth between a thing and what lies behind it become steps, where colours change."""
    neighbours: int = Field(8, ge=1)
    """Pixels that move nearby, whose median motion carries a dynamic Gaussian from frame to frame."""
    size: float = Field(0.6, gt=0)
    """Standard deviation at the start, in pixels times the spacing."""
    w_ssim: float = Field(0.2, ge=0, le=1)
    """Weight of 1 - SSIM; the absolute colour error weighs 1 - w_ssim."""
    w_mask: float = Field(0.1, ge=0)
    """Absolute difference between the share of what moves and the motion mask."""
    w_disparity: float = Field(0.2, ge=0)
    """Absolute difference between drawn and given disparity, in units of the median."""
    w_smooth: float = Field(0.03, ge=0)
    """Absolute differences of drawn disparity between neighbours that move, less at edges of the picture."""
    w_light: float = Field(0.0, ge=0)
    """Absolute logarithm of the light that a time adds to or takes from static Gaussians: moving shadows; 0: light does
    not change."""
    w_features: float = Field(1.0, ge=0)
    """Mean squared difference of features and of saliency; only these learn by it."""
    features_from: float = Field(0.5, ge=0, le=1)
    """Part of the training after which features learn: until then they are those of the pixels that Gaussians were
    made of."""
    features_every: int = Field(4, ge=1)
    """Steps between two in which they do: many channels take as long as all else."""
    rate_positions: float = Field(3.2e-4, ge=0)
    """Positions, median depths."""
    rate_static: float = Field(3.0, ge=0)
    """Factor on rate_positions for static Gaussians."""
    rate_light: float = Field(0.01, ge=0)
    """Logarithms of light."""
    rate_scales: float = Field(5e-3, ge=0)
    """Logarithms of scales."""
    rate_rotations: float = Field(1e-3, ge=0)
    """Quaternions."""
    rate_opacities: float = Field(0.05, ge=0)
    """Opacities, before the sigmoid."""
    rate_colours: float = Field(0.04, ge=0)
    """Colours, before the sigmoid."""
    rate_features: float = Field(0.01, ge=0)
    """Features and saliency."""
    rate_spans: float = Field(0.02, ge=0)
    """Logarithms of spans."""
    rate_cameras: float = Field(0.0, ge=0)
    """Poses of the training cameras: rotation in radians, translation in median depths; 0: they stay."""
    rate_exposure: float = Field(0.0, ge=0)
    """Gain and offset of each frame's colours; 0: none."""
    prune_opacity: float = Field(0.01, ge=0, lt=1)
    """Gaussians with less opacity are removed."""
    growths: int = Field(4, ge=0)
    """How often clouds grow, at equal intervals; they are pruned at the same intervals to the end. 0: neither."""
    grow_until: float = Field(0.6, ge=0, le=1)
    """Part of the training in which they grow."""
    most_per_pixel: float = Field(1.5, gt=0)
    """A cloud grows to at most so many Gaussians for each pixel of a frame; what is pulled hardest comes first."""
    grow_threshold: float = Field(2e-4, ge=0)
    """Gaussians are split where the picture pulls harder at their position: the root mean square of the gradient, times
    the distance from the cameras, in the model's units; 0: none are."""
