"""Sections of the stages that use a trained scene: rendering, decomposition, CRF, scoring, report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nsff.config.base import StageConfig, UserPath
from nsff.config.module_names import described_modules, module_names

if TYPE_CHECKING:
    ClustererName = str
else:
    # The files of the folder are the names that are allowed.
    ClustererName = Literal[module_names("decompose/clusterers")]


class RenderConfig(StageConfig):
    """Videos along paths and the per-view maps."""

    paths: list[Literal["view", "time", "spacetime", "keyframes"]] = ["view", "time", "spacetime"]
    """view: moving camera, fixed time; time: fixed camera, moving time; spacetime: both; keyframes: path_file's."""
    path_file: UserPath | None = None
    """keyframes: a file of key frames in space and time, as the scene's page (scene.html) saves it. How long the video
    is stands there."""
    frames: int = Field(96, ge=2)
    """Frames of each video: four seconds by default, in slow motion where the clip is shorter."""
    frame_rate: int = Field(24, ge=1)
    """Frames per second of each video."""
    target: float | None = Field(None, ge=0)
    """Frame whose camera and time the paths start from, or a place between two frames; null: the middle frame."""
    follow: bool = True
    """spacetime: the camera goes with the training cameras through time; false: it loops about that of target (SAFF's
    render_slowmo_full)."""
    start: float | None = Field(None, ge=0)
    """Time at which the paths time and spacetime begin, frames (may lie between two); null: the first frame."""
    end: float | None = Field(None, ge=0)
    """Time at which they end; null: the last frame."""
    maps: list[Literal["saliency", "features"]] = []
    """Rendered along the paths too, into renders/{path}_maps/: a video of each, and the values of every frame."""
    pictures: bool = False
    """Also write each frame of each video as a numbered picture: renders/{path}/000.png, 001.png ..."""
    amplitude: float = Field(48.0, ge=0)
    """Largest camera offset, in pixels of parallax at NSFF's near plane, 0.9 times the nearest depth (NSFF: 48)."""
    canonical_views: Literal["training", "saff", "auto"] = "training"
    """Views of the maps: the training views, or also SAFF's fixed camera and fixed time splits. auto: what SAFF
    has: with 24 frames, or in NSFF's layout, all; with 48 frames (DyCheck) no fixed time; else the training views."""
    render_factor: float = Field(1.0, ge=1)
    """Videos are rendered at 1/render_factor of the canonical size."""
    size: Literal["auto", "canonical", "source"] = "auto"
    """Size of the videos. canonical: of the frames that the model was trained on. source: of the source's frames. auto:
    up to the source's, at most twice the canonical sides and as far as a video's pictures take half a minute by the
    estimate for this preset and machine; canonical where render_factor is not 1."""
    chunk: int = Field(0, ge=0)
    """Rays per chunk; 0 follows the free memory."""
    interpolation: Literal["layers", "depth_planes"] = "layers"
    """Between frames: layers splats the rendered dynamic layer; depth_planes splats every sample plane (NSFF)."""
    without: list[Annotated[int, Field(ge=1)]] | Literal["objects", "moving"] = []
    """Left out of the videos, so that the scene behind shows: objects by the numbers that they have in masks/, or
    objects: all of them; moving: all that moves, be it an object or not."""


class DecomposeConfig(StageConfig):
    """Objects: clusters of rendered features (SAFF), or groups of what moves together."""

    method: Literal["clusters", "motion"] = "clusters"
    """clusters: of features, and votes by saliency (SAFF). motion: objects are what moves together, by trajectories,
    motion masks, clean plates and colours, with masks at full resolution; keys for clusters and cleaning do not count
    (docs/methods.md#objects-by-motion). Where source names other features than rendered ones, clusters it is."""
    seed: int = 1234
    """Seed of k-means (SAFF: 1234)."""
    source: Literal["rendered", "images", "points"] = "rendered"
    """The features that are clustered. rendered: features rendered from the scene (SAFF). images: the features of the
    input frames themselves, training views only (the 2-D baseline). points: samples in space near surfaces, and then
    the salient ones among them once more (SAFF's 3-D prototype; its saliency_threshold is 0.11)."""
    clusterer: ClustererName = Field("kmeans", description=f"{described_modules('decompose/clusterers')}.")
    use_position: bool = False
    """Append the direction of each pixel's point in normalised space to its feature."""
    use_time: bool = False
    """Append the sign of each view's time code to its features (SAFF normalises the code, which leaves its sign)."""
    motion_threshold: float | None = Field(None, ge=0)
    """A view's vote also asks for a mean motion of the label above this, as a fraction of the largest motion in the
    view (SAFF's variant with flow: 0.07); null: it does not."""
    point_interval: int = Field(200, ge=1)
    """points: one of point_interval samples is drawn, with odds by saliency (SAFF: 200)."""
    point_opacity: float = Field(0.2, ge=0, lt=1)
    """points: samples whose opacity and transmittance exceed this are near a surface (SAFF: 0.2)."""
    max_clusters: int = Field(24, ge=1, le=254)
    """Largest number of clusters tried (SAFF: 24)."""
    elbow: float = Field(0.975, gt=0, le=1)
    """Stop at the first K whose objective exceeds elbow times the last."""
    sample_interval: int = Field(5, ge=1)
    """Every sample_interval-th pixel is used to fit."""
    restarts: int = Field(10, ge=1)
    """k-means restarts (SAFF: 10)."""
    iterations: int = Field(300, ge=1)
    """k-means iterations (SAFF: 300)."""
    merge_similarity: float = Field(0.5, ge=-1, le=1)
    """Clusters with a cosine similarity above this merge; 1: never (SAFF: 0.5)."""
    merge_chains: Literal["average", "resolved", "one_step"] = "average"
    """How chains merge, where cluster 2 is similar to 1 and 1 to 0. average: groups merge while the mean similarity of
    their members is above merge_similarity, so that one cluster on the rim of an object cannot join it with the ground.
    resolved: 2 becomes 0 (SAFF). one_step: in the files 2 becomes 1, which has no votes (SAFF before August 2023)."""
    saliency_threshold: float = Field(0.07, ge=0)
    """A view votes for a label whose mean saliency exceeds this (SAFF: 0.07)."""
    vote_fraction: float = Field(0.7, gt=0, le=1)
    """A label is salient with votes from at least this fraction of the views (SAFF: 0.7)."""
    keep_best: bool = True
    """Where no label has the votes, keep the one with the highest mean saliency (reported as doubtful); else all is
    background.
    """
    cleaning: Literal["gentle", "per_object", "published", "none"] = "gentle"
    """none: masks stay as they are. published: SAFF's postprocess.py to the pixel: morphology on the picture of label
    numbers, colours that share their first channel are one object, in pixels whatever the height. per_object: the same
    operations on each object's own mask, holes filled. gentle: per_object, but thin parts attached to what survives the
    opening come back, and a component is dropped only if it is also small beside its object's usual area, so that a
    walker keeps her legs."""
    morphology_iterations: int = Field(3, ge=0)
    """Erosions and dilations with 3×3 at 288 rows (SAFF: 3)."""
    closing_area: float = Field(500, ge=0)
    """Holes below this area are closed, pixels at 288 rows (SAFF: 500)."""
    min_component: float = Field(0.01, ge=0, lt=1)
    """Components up to this fraction of the image are dropped (SAFF: 0.01)."""
    scale_with_height: bool = True
    """Scale iterations and area from 288 rows to the height at hand; false: as they are, whatever the height. Cleaning
    published never scales them."""
    split_instances: bool = True
    """Instance splitting: parts of one label that are apart in many views, with nothing nearer in the gap, are objects
    of their own, so that two people are two. false: a label is one object (SAFF)."""

    @property
    def by_motion(self) -> bool:
        """Whether objects are groups of what moves together: method, unless a source of features was asked for."""
        return self.method == "motion" and self.source == "rendered"


class CrfConfig(StageConfig):
    """Dense CRF on the object masks (SAFF)."""

    backend: Literal["auto", "pydensecrf", "own"] = "auto"
    """auto: pydensecrf where installed, else the implementation in this project."""
    guidance: Literal["frames", "rendered"] = "frames"
    """Colours that guide. frames: a training view's own input frame, whose edges are sharp, and renderings elsewhere;
    rendered: renderings everywhere (SAFF)."""
    depth_guide: Literal["disparity", "ndc"] = "disparity"
    """Depth that guides. disparity: grey levels of 1/z, 255 at half the nearest depth; ndc: SAFF's depth pictures,
    255 (1 - 0.9 near/z), 1.8 times as steep."""
    labels: Literal["numbers", "grey", "permuted"] = "numbers"
    """Which objects are one label. numbers: each is its own. grey: objects whose colours have the same grey value, as
    where SAFF reads its coloured masks in grey (palette entries 0 and 14, 2 and 21, 5 and 9, 18 and 23); the label
    keeps the lowest of their numbers. permuted: like grey, and numbered as SAFF colours the result: in the order of
    colours, not of grey values, so that objects change their numbers from view to view."""
    iterations: int = Field(5, ge=0)
    """Mean-field iterations."""
    ground_truth_probability: float = Field(0.7, gt=0, lt=1)
    """Trust in the input labels."""
    gaussian_sigma: float = Field(3.0, gt=0)
    """Standard deviation of the smoothness kernel, pixels."""
    gaussian_weight: float = Field(15.0, ge=0)
    """Its weight (compat)."""
    depth_sigma: float = Field(40.0, gt=0)
    """Spatial standard deviation of the depth kernel, pixels."""
    depth_weight: float = Field(20.0, ge=0)
    """Its weight."""
    rgb_sigma: float = Field(40.0, gt=0)
    """Spatial standard deviation of the colour kernel, pixels."""
    rgb_weight: float = Field(10.0, ge=0)
    """Its weight."""
    channel_sigma: float = Field(13.0, gt=0)
    """Standard deviation of colour and depth in both, grey levels of 255."""
    scale_with_height: bool = True
    """The spatial standard deviations hold at 288 rows and scale with the height; false: as published."""
    exact_pixels: int = Field(4096, ge=0)
    """own: images of up to this many pixels are filtered exactly, larger ones on a permutohedral lattice."""


class ExtractConfig(StageConfig):
    """Objects taken out of the scene in 3-D: pictures with alpha, and point clouds."""

    enabled: bool = False
    """Part of a plain run; without it `snakemake results/NAME/extracted` makes them all the same."""
    occluded: bool = True
    """true: an object is whole also where others hide it (SAFF); what no view ever saw, behind walls, comes along where
    it has the object's features. false: only what is seen of it, as an alpha matte."""
    clouds: int = Field(3, ge=0)
    """Training views, spread over the clip, whose point clouds are written."""
    point_opacity: float = Field(0.2, ge=0, lt=1)
    """Point clouds hold the samples whose opacity and transmittance exceed this (SAFF: 0.2)."""
    far: float = Field(3.0, gt=0)
    """Point clouds end at this multiple of a view's far bound."""


class PageConfig(StageConfig):
    """scene.html: the scene in one page, to fly through in a browser."""

    enabled: bool = True
    """Part of a plain run; without it `snakemake results/NAME/scene.html` makes it all the same."""
    static_splats: int = Field(150_000, ge=1)
    """The most Gaussians that rest; those that light the pictures least are left out."""
    moving_splats: int = Field(100_000, ge=1)
    """The most Gaussians that move, over the whole clip."""
    fit_steps: int = Field(100, ge=0)
    """Steps by which Gaussians that stay are fitted to pictures of all; 0: left as they are."""
    points_per_frame: int = Field(40_000, ge=100)
    """Models without Gaussians: pixels of each frame whose points are shown, at most."""
    picture_width: int = Field(640, ge=0)
    """Width of the input frames beside the rendering, pixels; 0: without them."""
    megabytes: float | None = Field(None, gt=0)
    """The largest size of the page; null: 10 up to 24 frames, 40 from 200 on, between them in a straight line."""


class ScoreConfig(StageConfig):
    """Scoring against truth."""

    variants: list[Literal["raw", "aligned"]] = ["raw", "aligned"]
    """With estimated cameras: raw as fitted; aligned after photometric refinement of each held-out camera."""
    refine_steps: int = Field(60, ge=0)
    """Optimisation steps of that refinement."""
    refine_rays: int = Field(1024, ge=16)
    """Rays per step of that refinement."""
    refine_learning_rate: float = Field(2e-3, gt=0)
    """Adam's learning rate for the six pose parameters: radians, and multiples of the nearest depth for the position.
    """
    dilation: int = Field(5, ge=0)
    """Pixels (of the scored picture) by which true object masks grow for dynamic-only scores of protocol views."""
    lpips: bool = True
    """LPIPS where its AlexNet weights are found (NSFF_WEIGHTS or ~/.cache/nsff)."""
    oracle: bool = False
    """Also score the clusters that an oracle picks by the first true mask, as they are, cleaned, and after the CRF."""
    refit_steps: int = Field(75, ge=0)
    """Steps of the short second training of Gaussians that the score without truth takes (protocol refit), for clips of
    up to 24 frames, longer ones in proportion; 0: no such score."""


class ReportConfig(StageConfig):
    """The HTML page of a scene."""

    frames: int = Field(6, ge=1)
    """Example frames shown for each stage."""
    width: int = Field(320, ge=64)
    """Width of example pictures, pixels."""
    embed_videos: bool = True
    """Embed the videos, so that the page is one file."""
