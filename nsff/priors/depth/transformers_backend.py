"""The transformers backend: models of the MiDaS and DPT family and Depth-Anything V2 from a local folder.

Notation. A model predicts (h,w) of a frame (H,W,3): relative disparity (larger is nearer), or depth, whose inverse is
taken. The folder holds config.json, model.safetensors and usually preprocessor_config.json, the image processor.
Nothing is fetched, and nothing but safetensors is read. Sources: Ranftl et al., Vision Transformers for Dense
Prediction, 2021; Yang et al., Depth Anything V2, 2024; transformers' AutoModelForDepthEstimation.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from nsff.config import DepthConfig
from nsff.errors import ConfigError, StageError
from nsff.imaging.imagenet import IMAGENET_DEVIATION, IMAGENET_MEAN
from nsff.priors.depth.midas import network_size
from nsff.priors.depth.weights import find_depth_weights

# Without an image processor: multiple of pixels that sides must be, longer side, mean and deviation of the colours.
FAMILIES: dict[str, tuple[int, int, tuple[float, ...], tuple[float, ...]]] = {
    "dpt": (32, 384, (0.5,) * 3, (0.5,) * 3),
    "depth_anything": (14, 518, IMAGENET_MEAN, IMAGENET_DEVIATION),
}
NEEDED = "config.json"
PROCESSOR = "preprocessor_config.json"


class TransformersDepth:
    """Estimates disparity with a model of transformers; ``config.model`` names its folder."""

    def __init__(self, config: DepthConfig) -> None:
        self.config = config
        self.folder = model_folder(config)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = open_model(self.folder).to(self.device)
        kind = str(self.model.config.model_type)
        self.output = predicted(self.model.config, config.model_output)
        self.multiple, self.long_side, self.mean, self.deviation = FAMILIES.get(kind, FAMILIES["dpt"])
        self.processor = open_processor(self.folder)
        if self.processor is not None:
            self.multiple = int(getattr(self.processor, "ensure_multiple_of", None) or self.multiple)
            self.mean = tuple(getattr(self.processor, "image_mean", None) or self.mean)
            self.deviation = tuple(getattr(self.processor, "image_std", None) or self.deviation)

    def picture(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 3 h w"]:
        """What the model sees of a frame: by its image processor, unless there is none or a size is asked for."""
        if self.processor is not None and self.config.long_side is None:
            return self.processor(images=image, return_tensors="pt")["pixel_values"]
        long_side = self.config.long_side or self.long_side
        size = (1, 1) if takes_squares(self.model.config) else image.shape[:2]
        height, width = network_size(size[0], size[1], long_side, "midas", self.multiple)
        colours = cv2.resize(image.astype(np.float32) / 255, (width, height), interpolation=cv2.INTER_CUBIC)
        normalised = ((colours - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)
        return torch.from_numpy(normalised).permute(2, 0, 1)[None]

    @torch.no_grad()
    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w"]:
        """Disparity at the model's own size: relative, or the inverse of the depth that it predicts."""
        picture = self.picture(image).to(self.device, next(self.model.parameters()).dtype)
        values = self.model(pixel_values=picture).predicted_depth[0].float().cpu().numpy()
        if self.output == "disparity":
            return values
        # Depths of nearly 0 would be infinitely near.
        return 1 / np.maximum(values, max(1e-3 * float(np.median(values)), 1e-6))


def takes_squares(model_config: Any) -> bool:
    """Whether a model takes its tokens for a square: DPT with the plain vision transformer or the hybrid of it."""
    plain = getattr(model_config, "backbone_config", None) is None or getattr(model_config, "is_hybrid", False)
    return model_config.model_type == "dpt" and bool(plain)


def predicted(model_config: Any, asked: str) -> str:
    """Whether a model predicts disparity or depth. Raises ConfigError where nothing tells."""
    if asked != "auto":
        return asked
    if model_config.model_type == "depth_anything":
        return "depth" if getattr(model_config, "depth_estimation_type", "relative") == "metric" else "disparity"
    if model_config.model_type == "dpt":
        return "disparity"
    raise ConfigError(
        "depth.model_output",
        f"is auto, and it is not known whether models of type {model_config.model_type!r} predict disparity or depth",
        "set it to disparity or depth, by the model's description",
    )


def model_folder(config: DepthConfig) -> Path:
    """The folder of the model: a path, a folder among the weights, or the pinned commit of a cached repository.

    Raises ConfigError where the settings name no model or pin no commit, StageError where it is not on this machine.
    """
    if config.model is None:
        raise ConfigError("depth.model", "is null, but backend is transformers", "name the folder of a model")
    folder = find_depth_weights(config, "transformers")
    if folder is None:
        folder = _cached(config.model, config.revision)
    if not (folder / NEEDED).is_file():
        raise StageError(folder, f"has no {NEEDED}", "give a folder as save_pretrained of transformers leaves it")
    return folder


def _cached(name: str, revision: str | None) -> Path:
    """The snapshot of a repository in the local cache."""
    missing = StageError(
        name,
        "no such folder, and no repository of that name in the local cache" + (f" at {revision}" if revision else ""),
        "put the model's folder into the folder that NSFF_WEIGHTS names or into ~/.cache/nsff, or name its path in "
        "depth.model; or set depth.backend: classical",
    )
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise missing
    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ConfigError(
            "depth.revision",
            f"is {revision!r}: a repository changes, so its commit has to be named",
            "give 40 hexadecimal digits, or the path of a folder in depth.model",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        raise missing from None


def open_model(folder: Path) -> Any:
    """The model with its weights in float32, for inference.

    Raises StageError naming the folder where files are missing or unreadable, or a parameter is missing, unknown or of
    another shape: transformers itself would go on with random numbers.
    """
    transformers = _library()
    try:
        model, found = transformers.AutoModelForDepthEstimation.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # transformers and safetensors raise many kinds, all meaning the same to the user
        problem = f"holds no model that can be used ({str(error).strip().splitlines()[0]})"
        raise StageError(folder, problem, "give config.json and model.safetensors of one depth model") from None
    wrong = {
        kind: sorted(map(str, found.get(f"{kind}_keys") or ())) for kind in ("missing", "unexpected", "mismatched")
    }
    if any(wrong.values()):
        counts = ", ".join(f"{len(keys)} {kind}" for kind, keys in wrong.items())
        first = next(keys[0] for keys in wrong.values() if keys)
        raise StageError(
            folder,
            f"its weights are not those of its config.json: parameters {counts} (first {first})",
            "get both files again, from one revision",
        )
    return model.eval()


def open_processor(folder: Path) -> Any | None:
    """The model's image processor, or None where its folder has none."""
    if not (folder / PROCESSOR).is_file():
        return None
    transformers = _library()
    try:
        return transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        problem = f"not readable as an image processor ({str(error).strip().splitlines()[0]})"
        raise StageError(folder / PROCESSOR, problem, "get it again, or take it away") from None


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise ConfigError(
            "depth.backend", "transformers is not installed", "install it, or choose another backend"
        ) from None
    transformers.utils.logging.disable_progress_bar()
    return transformers
