"""The pretrained weights that backends load: the one place that knows file names, sizes, hashes and origins.

A new set is one entry in _ENTRIES. Hashes: RAFT's are those of the members of the authors' archive (raft-things as
several projects that ship it record it); digits in the names of torchvision's, MiDaS's and DINOv3's files are the first
of their sha256. For DINO and DINOv2 no hash is published.
"""

from __future__ import annotations

import difflib

from nsff.errors import WeightsError
from nsff.weights.entry import File, Weight

_RAFT = "Teed, Deng. RAFT: Recurrent All-Pairs Field Transforms for Optical Flow. ECCV 2020."
_RAFT_ZIP = "https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip"
_RAFT_PAGE = "https://github.com/princeton-vl/RAFT"
_TORCHVISION = "https://download.pytorch.org/models"
_TORCHVISION_PAGE = "https://docs.pytorch.org/vision/stable/models.html"
_DINO_FILES = "https://dl.fbaipublicfiles.com"
_DINO = "Caron et al. Emerging Properties in Self-Supervised Vision Transformers. ICCV 2021."
_DINOV2 = (
    "Oquab et al. DINOv2: Learning Robust Visual Features without Supervision. TMLR 2024; "
    "Darcet et al. Vision Transformers Need Registers. ICLR 2024."
)
_DINOV3 = "Siméoni et al. DINOv3. 2025."
_VGG = "Simonyan, Zisserman. Very Deep Convolutional Networks for Large-Scale Image Recognition. ICLR 2015."
_LPIPS = "Zhang et al. The Unreasonable Effectiveness of Deep Features as a Perceptual Metric. CVPR 2018."
_BSD = "BSD-3-Clause"


def _raft(name: str, sha256: str, size: int) -> Weight:
    file = File(f"{name}.pth", size, sha256, url=_RAFT_ZIP, member=f"models/{name}.pth")
    note = "the archive holds five checkpoints, about 80 MB"
    return Weight(name, (file,), "flow.backend: raft", _BSD, _RAFT_PAGE, _RAFT, note=note)


def _torchvision(name: str, file: str, about_mib: float, used_by: str, citation: str) -> Weight:
    """A checkpoint of torchvision, whose name ends in the first digits of its sha256."""
    prefix = file.removesuffix(".pth").rpartition("-")[2]
    entry = File(file, sha256_prefix=prefix, url=f"{_TORCHVISION}/{file}")
    return Weight(name, (entry,), used_by, _BSD, _TORCHVISION_PAGE, citation, about_mib=about_mib)


def _dino(name: str, folder: str, file: str, about_mib: float, page: str, citation: str) -> Weight:
    entry = File(file, url=f"{_DINO_FILES}/{folder}/{file}")
    used_by = f"features.backend: dino, dino_model: {name.replace('-', '_')}"
    return Weight(name, (entry,), used_by, "Apache-2.0", page, citation, about_mib=about_mib)


def _dinov3(name: str, file: str, about_mib: float) -> Weight:
    entry = File(file, sha256_prefix=file.removesuffix(".pth").rpartition("-")[2])
    return Weight(
        name,
        (entry,),
        f"features.backend: dino, dino_model: {name.replace('-', '_')}",
        "DINOv3 License",
        "https://github.com/facebookresearch/dinov3",
        _DINOV3,
        note="the authors send a link to who accepts their licence",
        about_mib=about_mib,
    )


_ENTRIES = [
    # --- optical flow
    _raft("raft-things", "fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1", 21_108_000),
    _raft("raft-sintel", "90630d2e7d488a0d3ccb5e8194524850c4c05c732ea4ff99799822c7fa5c5cbf", 21_108_000),
    _raft("raft-small", "c7d41b9cc88442bb8aa911dbb33086dac55a226394b142937ff22d5578717332", 3_984_814),
    _torchvision("raft-large-skht", "raft_large_C_T_SKHT_V2-ff5fadd5.pth", 20.1, "flow.backend: raft", _RAFT),
    _torchvision("raft-large-things", "raft_large_C_T_V2-1bb1363a.pth", 20.1, "flow.backend: raft", _RAFT),
    _torchvision("raft-small-things", "raft_small_C_T_V2-01064c6d.pth", 3.8, "flow.backend: raft", _RAFT),
    # --- features
    _dino(
        "dino-vits8", "dino/dino_deitsmall8_pretrain", "dino_deitsmall8_pretrain.pth", 82.7,
        "https://github.com/facebookresearch/dino", _DINO,
    ),
    _dino(
        "dino-vitb8", "dino/dino_vitbase8_pretrain", "dino_vitbase8_pretrain.pth", 327.0,
        "https://github.com/facebookresearch/dino", _DINO,
    ),
    _dino(
        "dinov2-vits14-reg", "dinov2/dinov2_vits14", "dinov2_vits14_reg4_pretrain.pth", 84.0,
        "https://github.com/facebookresearch/dinov2", _DINOV2,
    ),
    _dino(
        "dinov2-vitb14-reg", "dinov2/dinov2_vitb14", "dinov2_vitb14_reg4_pretrain.pth", 330.0,
        "https://github.com/facebookresearch/dinov2", _DINOV2,
    ),
    _dinov3("dinov3-vits16", "dinov3_vits16_pretrain_lvd1689m-08c60483.pth", 83.0),
    _dinov3("dinov3-vitb16", "dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth", 327.0),
    Weight(
        "vgg16-features",
        (
            File(
                "vgg16_features.pth",
                tensors_sha256="461dbd04e503516e496eecc969d40548b096ba63f8a5f4eb0a15941f8aadc796",
                tensors_prefix="features.",
            ),
        ),
        "features.backend: vgg",
        _BSD,
        _TORCHVISION_PAGE,
        _VGG,
        note="is the convolutions of vgg16 alone, saved by torch from its keys features.*; vgg16 serves as well",
        about_mib=56.1,
    ),
    _torchvision("vgg16", "vgg16-397923af.pth", 527.8, "features.backend: vgg", _VGG),
    # --- masks of what moves
    _torchvision(
        "maskrcnn", "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", 169.8, "motion (instances)",
        "He et al. Mask R-CNN. ICCV 2017.",
    ),
    # --- depth
    Weight(
        "midas-v21",
        (
            File(
                "midas_v21-f6b98070.pt",
                sha256_prefix="f6b98070",
                url="https://github.com/AlexeyAB/MiDaS/releases/download/midas_dpt/midas_v21-f6b98070.pt",
            ),
        ),
        "depth (MiDaS v2.1, as in NSFF)",
        "MIT",
        "https://github.com/isl-org/MiDaS",
        "Ranftl et al. Towards Robust Monocular Depth Estimation. TPAMI 2022.",
        about_mib=402.0,
    ),
    # --- scores
    Weight(
        "alexnet-features",
        (
            File(
                "alexnet_features.pth",
                tensors_sha256="dad556f11d2a50ed4dc90e8eebf7ef8d3494e51dc5dda06d7972984533778242",
                tensors_prefix="features.",
                url=f"{_TORCHVISION}/alexnet-owt-7be5be79.pth",
            ),
        ),
        "score.lpips",
        _BSD,
        _TORCHVISION_PAGE,
        f"Krizhevsky. One weird trick for parallelizing convolutional neural networks. 2014; {_LPIPS}",
        note="torchvision's whole AlexNet (233 MiB) under this name, or its convolutions alone (9 MiB)",
        about_mib=233.1,
    ),
    Weight(
        "lpips-alexnet",
        (
            File(
                "alexnet_lpips_lin.pth",
                tensors_sha256="f00b902361a5bd565e7378369168e9650bd8b5bdd66f46cd14c7266429c9f4f2",
                url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
            ),
        ),
        "score.lpips",
        "BSD-2-Clause",
        "https://github.com/richzhang/PerceptualSimilarity",
        _LPIPS,
        note="comes with the package lpips too",
        about_mib=0.01,
    ),
]  # fmt: skip

WEIGHTS: dict[str, Weight] = {weight.name: weight for weight in _ENTRIES}


def weight_named(name: str) -> Weight:
    """The set of that name. Raises WeightsError with the nearest name."""
    if name not in WEIGHTS:
        near = difflib.get_close_matches(name, WEIGHTS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise WeightsError(name, "no weights of that name", f"{hint}there are: {', '.join(WEIGHTS)}")
    return WEIGHTS[name]
