"""Object masks of the frames for other programs: label pictures, DAVIS' palette pictures, COCO's JSON.

Object k has the same number in every frame and every file, 0 is the background.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from nsff.decompose.views import read_views, training_views
from nsff.export.coco import annotation
from nsff.export.times import frame_times
from nsff.files.io import atomic_directory, read_mask, write_image, write_json
from nsff.layout import frame_name
from nsff.scene import Scene


def export_masks(scene: Scene, folder: Path) -> None:
    """Writes ``folder`` (replaced as a whole), of masks_crf/, or where that is not there of masks/:

    - labels/00000.png …: object numbers as grey levels
    - davis/00000.png …: object numbers as indices into DAVIS' palette
    - coco.json: boxes, areas and run-length encoded masks; track_id is the object's number
    """
    source = scene.masks_crf_dir if scene.masks_crf_dir.is_dir() else scene.masks_dir
    path_of = scene.mask_crf_path if source == scene.masks_crf_dir else scene.mask_path
    times, (height, width) = frame_times(scene), scene.size
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with atomic_directory(folder) as temporary:
        for view in training_views(read_views(scene)):
            labels, name = read_mask(path_of(view.index), scene.size), frame_name(view.camera)
            write_image(temporary / "labels" / name, labels)
            write_palette_picture(temporary / "davis" / name, labels)
            images.append(
                {"id": view.camera, "file_name": name, "width": width, "height": height, "seconds": times[view.camera]}
            )
            for k in np.unique(labels[labels > 0]):
                annotations.append(annotation(len(annotations) + 1, view.camera, int(k), labels == k))
        content = {
            "info": {"description": f"Objects of the scene {scene.name}", "masks": source.name},
            "images": images,
            "categories": [{"id": 1, "name": "object", "supercategory": "object"}],
            "annotations": annotations,
        }
        write_json(temporary / "coco.json", content)


def davis_palette() -> UInt8[np.ndarray, "256 3"]:
    """The colours of labels in DAVIS and PASCAL VOC: the bits of a label, three at a time from the lowest on, are the
    bits of red, green and blue, from the highest on (PASCAL VOC development kit, VOClabelcolormap).

    >>> davis_palette()[:4].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.int64)
    for place in range(8):
        for channel in range(3):
            palette[:, channel] |= (labels >> (3 * place + channel) & 1) << (7 - place)
    return palette.astype(np.uint8)


def write_palette_picture(path: Path, labels: UInt8[np.ndarray, "H W"]) -> None:
    """Writes labels as an indexed PNG."""
    from PIL import Image

    picture = Image.frombytes("P", labels.shape[::-1], np.ascontiguousarray(labels).tobytes())
    picture.putpalette(davis_palette().tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format="PNG")
