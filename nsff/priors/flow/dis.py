"""Flow by dense inverse search (Kroeger et al. 2016) with variational refinement, as in OpenCV; no weights.

The pictures are enlarged before the search: patches of fixed size then cover less of the scene, which thin moving
things need. Motion of the whole picture that is too large for the search is found by features first
(nsff.priors.flow.large_motion).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from nsff.config import FlowConfig
from nsff.priors.flow.large_motion import follow_large_motions

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


@dataclass(frozen=True)
class DisFlow:
    """OpenCV's DIS on greyscale pictures, enlarged by ``enlarge``."""

    preset: str = "medium"
    enlarge: float = 2.0
    large_motion: bool = True

    @staticmethod
    def from_config(config: FlowConfig) -> DisFlow:
        return DisFlow(config.preset, config.enlarge, config.large_motion)

    def estimate(
        self, first_rgb: UInt8[np.ndarray, "H W 3"], second_rgb: UInt8[np.ndarray, "H W 3"]
    ) -> Float32[np.ndarray, "H W 2"]:
        """Flow from the first picture to the second, pixels of the pictures given."""
        if self.large_motion:
            return follow_large_motions(first_rgb, second_rgb, self._search)
        return self._search(first_rgb, second_rgb)

    def _search(
        self, first_rgb: UInt8[np.ndarray, "H W 3"], second_rgb: UInt8[np.ndarray, "H W 3"]
    ) -> Float32[np.ndarray, "H W 2"]:
        h, w = first_rgb.shape[:2]
        search = cv2.DISOpticalFlow.create(PRESETS[self.preset])
        # Presets medium and below stop at half resolution or coarser; the finest level is what edges are made of.
        search.setFinestScale(0)
        first, second = (self._grey(image) for image in (first_rgb, second_rgb))
        flow = search.calc(first, second, None)  # type: ignore[call-overload]
        scale = np.array([w / first.shape[1], h / first.shape[0]], np.float32)
        return cv2.resize(flow, (w, h), interpolation=cv2.INTER_AREA) * scale

    def _grey(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w"]:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        size = (round(image.shape[1] * self.enlarge), round(image.shape[0] * self.enlarge))
        return grey if size == grey.shape[::-1] else cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)
