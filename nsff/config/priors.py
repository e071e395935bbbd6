"""Sections of the stages that prepare supervision: flow, coarse masks, structure from motion, depth, motion,
features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from nsff.config.base import StageConfig, UserPath
from nsff.config.module_names import described_modules, module_names

if TYPE_CHECKING:
    FlowChoice = str
    DepthChoice = str
    FeatureChoice = str
    InstanceChoice = str
else:
    # The files in the priors' folders of backends are the names that are allowed.
    FlowChoice = Literal[("auto", "given", "given_or_dis", *module_names("priors/flow/backends"))]
    DepthChoice = Literal[("auto", "given", *module_names("priors/depth/backends"))]
    FeatureChoice = Literal[("auto", *module_names("priors/features/backends"))]
    InstanceChoice = Literal[("auto", "off", "on", *module_names("priors/motion/backends"))]


class FlowConfig(StageConfig):
    """Optical flow between neighbouring frames, both ways, with consistency masks."""

    backend: FlowChoice = Field(
        "auto",
        description="auto: given where the source brings flow, else raft where its weights are found, else dis; "
        "given_or_dis: the same without raft, so that results do not depend on what weights a machine has; "
        + described_modules("priors/flow/backends")
        + ".",
    )
    raft_model: Literal[
        "auto", "raft-things", "raft-sintel", "raft-small", "raft-large-skht", "raft-large-things", "raft-small-things"
    ] = "auto"
    """raft: the weights, by their names in `nsff weights list` (NSFF: raft-things); auto: the first found, large ones
    first."""
    weights: UserPath | None = None
    """raft: file of the weights, torchvision's or the authors'; null: looked for on this machine."""
    iterations: int = Field(20, ge=1)
    """raft: refinements of the flow (NSFF: 20)."""
    long_side: int | None = Field(768, ge=128)
    """raft: longer side of the frames that it sees, pixels, enlarged or reduced (NSFF: 768); null: the working size,
    which is faster where that is smaller, and less exact."""
    max_pixels: int = Field(1_000_000, ge=192 * 192)
    """raft: pixels seen at a time; memory grows with the square (a million pixels: 1.3 GB)."""
    large_frames: Literal["tile", "scale"] = "tile"
    """raft: frames of more pixels are seen in overlapping tiles, blended, or reduced."""
    preset: Literal["ultrafast", "fast", "medium"] = "medium"
    """dis: quality preset of OpenCV."""
    enlarge: float = Field(2.0, ge=1, le=4)
    """dis: pictures are enlarged by this factor before the search, which thin moving objects need."""
    large_motion: bool = True
    """dis: motion of the whole picture by more than 2 % of its width, as in a fast pan, is found by features first."""
    consistency_relative: float = Field(0.5, ge=0)
    """Flow is consistent where |f + b(f)| < relative (|f| + |b(f)|) + absolute (NSFF: 0.5)."""
    consistency_absolute: float = Field(0.5, ge=0)
    """Absolute part of that bound, pixels (NSFF: 0.5)."""
    consistency_inside: bool = True
    """Flow that leaves the picture is not consistent. false: outside, the flow back counts as zero, so that flow of
    less than a pixel passes (NSFF)."""
    far: list[int] = Field(default_factory=list)
    """Frames between the two of further pairs, whose flow carries dynamic Gaussians beside that of neighbours, e.g.
    [2, 4]; both ways, by the backend, or the one that `auto` stands for where flow is given."""
    cuts: Literal["stop", "report"] = "stop"
    """Where the clip has cuts or dissolves between shots: stop names them and the shots to choose from; report says so
    and goes on. Not asked of clips whose cameras are given."""

    @model_validator(mode="after")
    def _distances(self) -> FlowConfig:
        if any(step < 2 for step in self.far) or len(set(self.far)) < len(self.far):
            raise ValueError(f"far: {self.far}: distances of 2 frames or more, each once; neighbours always have flow")
        return self


class MotionConfig(StageConfig):
    """Masks of what moves: the distance of flow end points to where a static world allows them.

    NSFF's own masks are intervals [1], combine max, depth_cue false, refine_radius 0, picture_evidence false,
    epipolar_threshold 1, instance_moving 0, temporal_propagation 0, hole_filling_radius 0, dilation_radius 2.
    """

    given: bool = True
    """Masks that come with the source (motion_masks/ beside images/, NSFF's layout) are taken as they are; false: they
    are made anew, by what follows."""
    coarse_threshold: float = Field(1.0, gt=0)
    """Pixels; distance to the line of the fitted fundamental matrix above which a pixel moves (before poses)."""
    coarse_dilation_radius: int = Field(3, ge=0)
    """Radius of the dilation of coarse masks, pixels: for structure from motion too much is better than too little."""
    seed: int = 0
    """Seed of the robust fits of the coarse masks."""
    epipolar_threshold: float = Field(0.8, gt=0)
    """Pixels; the same with the real poses (NSFF: 1.0)."""
    intervals: list[int] = Field([1, 2, 3], min_length=1)
    """Frames before and after that a frame is compared with, through chained flow; the median counts (NSFF: 1)."""
    combine: Literal["mean", "max"] = "mean"
    """Past and future: mean is their geometric mean, which spares what one of them sees uncovered; max as NSFF."""
    depth_cue: bool = True
    """Measure to the part of the epipolar line that depths beyond near_margin x near fill, not to the whole line."""
    near_margin: float = Field(0.5, gt=0, le=1)
    """depth_cue: the nearest depth thought possible, as a fraction of the cameras' near bound."""
    refine_radius: int = Field(12, ge=0)
    """Radius of the colour-guided filter that fits masks to image edges, pixels at 288 rows; 0: none (NSFF)."""
    picture_evidence: bool = True
    """refine_radius: motion counts little where a still world explains the pictures as well, such as on bare ground
    beside a thing whose flow is dragged along; the colours around decide there."""
    opening_radius: int = Field(1, ge=0)
    """Radius of the disk of the morphological opening, pixels (NSFF: 1)."""
    dilation_radius: int = Field(0, ge=0)
    """Radius of the final dilation, pixels (NSFF: 2)."""
    temporal_propagation: int = Field(8, ge=0)
    """Frames before and after over which evidence of motion is gathered along flow: pixels whose track moves at other
    times move too, such as an object that rests for a moment, or turns so that it looks still, and what only one frame
    says is left out. 0: none (NSFF)."""
    hole_filling_radius: int = Field(24, ge=0)
    """Gaps in masks, up to twice this radius wide (pixels at 288 rows), are filled where their colours are clearly
    those of what moves: parts of an object that move along with the camera look still. 0: none (NSFF)."""
    instances: InstanceChoice = Field(
        "auto",
        description="Add people, animals and the like that a network finds (NSFF). auto: where its weights are found; "
        "on: a missing file is an error; " + described_modules("priors/motion/backends") + ".",
    )
    instance_weights: UserPath | None = None
    """File of Mask R-CNN's weights (torchvision's maskrcnn_resnet50_fpn); null: looked for on this machine by
    torchvision's name."""
    instance_labels: list[int] = [1, 2, 4, 8, 17, 18, 28, 36, 41]
    """COCO categories that are added (NSFF: person, bicycle, motorcycle, truck, cat, dog, umbrella, snowboard,
    skateboard)."""
    instance_score: float = Field(0.5, ge=0, le=1)
    """Detections with a higher score count (NSFF: 0.5)."""
    instance_long_side: int = Field(960, ge=64)
    """Longer side of the frames that instances are looked for in, pixels (NSFF: 960)."""
    instance_growth: int = Field(1, ge=0)
    """Radius by which instances grow before they are added, pixels (NSFF: 1)."""
    instance_moving: float = Field(0.05, ge=0, le=1)
    """An instance of which a smaller share moves by its flow is left out, such as a parked truck (NSFF: 0)."""
    coverage_warning: tuple[float, float] = (0.001, 0.6)
    """Mean coverage below is reported as doubtful, above as poor; a coarse mask above is left empty."""


class SfmConfig(StageConfig):
    """Structure from motion: pycolmap with masked features, a ladder of attempts, and acceptance tests."""

    seed: int = 0
    """Seed of the estimators."""
    image_height: int | None = Field(None, ge=64)
    """Features are extracted at this height (pixels; small frames are enlarged); null: at least 360."""
    use_masks: bool = True
    """Leave features on coarse motion masks out."""
    refine_given: bool = True
    """Cameras that come with the source: their poses are refined on features of the frames, as little as explains them,
    where that lowers the error by at least 6 %. false: as they come (NSFF)."""
    attempts: list[Literal["sequential", "exhaustive", "relaxed", "larger"]] = Field(
        ["sequential", "exhaustive", "relaxed", "larger"], min_length=1
    )
    """Tried in order until a model is accepted: neighbours matched (of clips of more than 100 frames keyframes first),
    all pairs, smaller angles, larger pictures."""
    min_registered: float = Field(0.95, gt=0, le=1)
    """Accepted models register at least this fraction of the frames; six and more may miss one, unless it is 1."""
    max_reprojection_error: float = Field(1.5, gt=0)
    """Pixels at the height features are extracted at, mean over points; accepted models stay below."""
    min_triangulation_angle: float = Field(1.0, ge=0)
    """Degrees; median over points. Below, the clip is called rotation-only."""
    min_parallax: float = Field(2.0, ge=0)
    """Pixels at the height features are extracted at: what a camera that only turns and zooms leaves unexplained of the
    matches of frames that lie far apart. Below, no depth can be told."""
    turning: Literal["accept", "refuse"] = "accept"
    """A camera that only turns while something moves. accept: its rotations are found, all points lie at one distance,
    and masks and objects can be had, though no depth; refuse: the clip is refused, since the published codes need
    depth."""
    still: Literal["accept", "refuse"] = "refuse"
    """A camera that stands still while something moves, as on a tripod. refuse: the clip is refused, since its scene
    can be seen from no other place; accept: masks, objects and videos from the camera's own place, without depth."""
    focal_range: tuple[float, float] = (0.6, 2.5)
    """Plausible focal length as a multiple of the longer image side. Not asked of a known one."""
    focal: float | None = Field(None, gt=0)
    """Known focal length in pixels of the ingested frames; null: estimated."""
    principal_point: tuple[float, float] | None = None
    """Known principal point (x, y) in pixels of the ingested frames; null: the centre. It is never estimated."""
    distortion: float | None = None
    """Known radial distortion k of COLMAP's SIMPLE_RADIAL, 0 for none; null: estimated where the frames ask for it."""


class DepthConfig(StageConfig):
    """Inverse depth for each canonical frame.

    NSFF's own are backend midas21, long_side 640, input_rule nsff, upsampling nearest, align false, moving
    surroundings.
    """

    backend: DepthChoice = Field(
        "auto",
        description="auto: the first of auto_order that is there; given: from the source or input.depth; "
        + described_modules("priors/depth/backends")
        + ".",
    )
    auto_order: list[Literal["given", "learned", "classical"]] = Field(["given", "learned", "classical"], min_length=1)
    """backend auto: tried in this order. learned: the model where one is named, else the first network whose
    weights are found on this machine."""
    weights: UserPath | None = None
    """File of the network's weights; null: the published one (midas21: midas_v21-f6b98070.pt) is looked for on this
    machine."""
    model: UserPath | None = None
    """Backends of models in the format of transformers: folder with config.json and model.safetensors (absolute,
    relative, or in the folder of the weights), or the name of a repository that lies in the local cache. Nothing is
    downloaded."""
    revision: str | None = None
    """The commit of a cached repository that model names, 40 hexadecimal digits. A folder needs none."""
    model_output: Literal["auto", "disparity", "depth"] = "auto"
    """transformers: the quantity that the model predicts; auto knows it for the DPT and Depth-Anything families."""
    long_side: int | None = Field(None, ge=32)
    """Pixels of the longer side at the network, rounded to what it can take; null: 384 for midas21 (NSFF: 640), what
    the model's image processor says for models in folders, of which some have one size alone."""
    input_rule: Literal["midas", "nsff"] = "midas"
    """midas21: sides become the nearest multiples of 32, cubic (as released); nsff: never above the exact size, area
    averages."""
    upsampling: Literal["nearest", "bilinear", "bicubic"] = "bicubic"
    """Learned: from the network's size to the canonical one (NSFF: nearest)."""
    align: bool = True
    """Learned disparity, and given disparity of unknown scale, gets a scale for each frame that fits the sparse points,
    or what is triangulated along flow, and a shift where shifts halve the error; false: as it comes (NSFF)."""
    align_local: bool = True
    """align: disparity is also multiplied by a smooth factor over the picture and its depths that
    follows the same anchors; a network that misreads a wall is put right there."""
    align_min_points: int = Field(20, ge=5)
    """A frame that sees fewer sparse points than this is fitted to what is triangulated along flow."""
    align_median: int = Field(5, ge=1)
    """Frames (odd) of the median that scales and shifts pass over time; 1: none."""
    align_sigma: float = Field(1.0, ge=0)
    """Frames; standard deviation of the Gaussian that follows; 0: none."""
    max_interval: int = Field(6, ge=1)
    """classical, align: longest chain of flow steps used for triangulation, frames."""
    min_parallax: float = Field(0.5, gt=0)
    """classical, align: pixels of parallax against infinity below which a triangulated depth is not trusted."""
    moving: Literal["auto", "surroundings", "least_motion"] = "auto"
    """classical, align: the depth of moving objects. surroundings: from the floor that an object stands on, what lies
    around it, or the network; least_motion: motion-prior triangulation, the depth with which an object moves most
    evenly; auto: least_motion where the camera's motion determines it to moving_deviation, else surroundings. Given
    depth in scene units stays as it is."""
    moving_deviation: float = Field(0.14, gt=0)
    """moving auto: largest relative standard deviation, mean over an object's frames, of a depth by motion-prior
    triangulation that replaces a depth that was filled in (classical). A network's depth, which is evidence of its own,
    is replaced at 0.7 times that."""

    @model_validator(mode="after")
    def _whole(self) -> DepthConfig:
        if self.align_median % 2 == 0:
            raise ValueError(f"align_median {self.align_median} is even; a median over frames needs an odd number")
        return self


class FeaturesConfig(StageConfig):
    """Semantic features and saliency for each canonical frame.

    SAFF's own are backend dino, pyramid online, imagenet_normalisation false, stride 1.
    """

    backend: FeatureChoice = Field(
        "auto",
        description="auto: dino where its weights are found, else classical; "
        + described_modules("priors/features/backends")
        + ".",
    )
    components: int = Field(64, ge=2)
    """Dimensions after PCA (SAFF: 64)."""
    stride: int = Field(2, ge=1)
    """Features are stored at 1/stride of the canonical resolution."""
    sample_interval: int = Field(100, ge=1)
    """PCA is fit on every sample_interval-th pixel of all frames (SAFF: 100); small scenes use more."""
    saliency: Literal["auto", "attention", "motion"] = "auto"
    """attention: of the class token (dino only, SAFF); motion: what moves against its surroundings; auto: attention
    with dino, else motion."""
    motion_weight: float = Field(2.5, ge=0)
    """classical, vgg: length of the motion channel of a moving pixel, in units of the typical length of the appearance
    channels. What sets a moving object apart from a static world; below about 2 the merging of clusters may join the
    two, 0 leaves appearance alone."""
    position_weight: float = Field(0.0, ge=0)
    """classical, vgg: length of the channels for the position in the frame, in the same units. Keeps like objects in
    different places apart.
    """
    pooling: float = Field(10.0, ge=0)
    """classical: standard deviation of the Gaussian that appearance is averaged over, pixels at 288 rows, as the
    patches of a network average; 0: none. Clusters stay as good, and a field can show such features sooner."""
    weights: UserPath | None = None
    """dino, vgg: file of the weights; null: looked for on this machine by the authors' name."""
    dino_model: Literal[
        "dino_vits8", "dino_vitb8", "dinov2_vits14_reg", "dinov2_vitb14_reg", "dinov3_vits16", "dinov3_vitb16"
    ] = "dino_vits8"
    """dino: the network (SAFF: dino_vits8)."""
    dino_stride: int | None = Field(None, ge=1)
    """dino: pixels between patches, which overlap; null: half a patch (SAFF: 4 with patches of 8)."""
    short_side: int = Field(128, ge=32)
    """dino: pixels of the shorter side of what the network sees at a time, for patches of 8 (SAFF: 128)."""
    pyramid: Literal["online", "offline", "single"] = "online"
    """dino: windows that are averaged. online: whole frame, windows of twice short_side and of short_side, one vote
    each, nearest neighbour (SAFF); offline: the same up to the border, antialiased, levels weighted; single: the whole
    frame alone, and the basis of the PCA is fit on all its tokens."""
    pyramid_weights: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    """dino, offline: weights of the small windows, the large ones, and the whole frame; their sum should be 1."""
    saliency_weights: tuple[float, float, float] | None = None
    """dino, online and offline: such weights for saliency alone (SAFF's _6: 0, 0, 1, the whole frame); null: saliency
    is averaged as features are."""
    single_resizing: Literal["auto", "nearest", "lanczos"] = "auto"
    """dino, single: how the whole frame comes to the network's size. nearest: as SAFF trains; lanczos: antialiased, as
    SAFF's 2-D baseline; auto: lanczos with imagenet_normalisation, else nearest, as these two have it."""
    imagenet_normalisation: bool = True
    """dino: colours are normalised as in the network's training (SAFF: false, raw values in 0..1)."""
    batch: int = Field(4, ge=1)
    """dino: windows that pass the network together (SAFF: 4)."""
