"""Lenses that bend straight lines, and pictures made straight.

Notation. Intrinsics K are (3,3), pixels, pixel centres at +0.5. A lens maps directions x = X/Z, y = Y/Z to bent ones
and these by K to pixels. OPENCV: radial k1, k2, k3 and tangential p1, p2 (Brown-Conrady). OPENCV_FISHEYE: k1..k4 over
the angle to the axis (Kannala-Brandt). Source: OpenCV, "Camera Calibration and 3D Reconstruction" and "Fisheye camera
model".
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

BORDER = 64
"""Points along each side of a picture at which its bent border is looked at."""


@dataclass(frozen=True)
class Lens:
    """``coefficients``: (k1, k2, p1, p2, k3), or (k1, k2, k3, k4) of a fisheye."""

    fisheye: bool
    coefficients: tuple[float, ...]

    @property
    def bends(self) -> bool:
        """A fisheye bends lines even where all its coefficients are 0."""
        return self.fisheye or any(self.coefficients)

    def directions(
        self, K: Float64[np.ndarray, "3 3"], pixels: Float64[np.ndarray, "P 2"]
    ) -> Float64[np.ndarray, "P 2"]:
        """Directions (x, y) that pixels see."""
        undistort = cv2.fisheye.undistortPoints if self.fisheye else cv2.undistortPoints
        return undistort(pixels[:, None], K, np.array(self.coefficients)).reshape(-1, 2)

    def straight(self, K: Float64[np.ndarray, "3 3"], height: int, width: int) -> Float64[np.ndarray, "3 3"]:
        """Intrinsics of the pinhole picture of the same size and middle that shows the most without a blank pixel.

        Raises ValueError where a side of the picture sees nothing that a pinhole camera can.
        """
        along, down = np.linspace(0, width, BORDER), np.linspace(0, height, BORDER)
        scales = []
        for axis, fixed, sign in ((0, 0.0, -1), (0, float(width), 1), (1, 0.0, -1), (1, float(height), 1)):
            free = down if axis == 0 else along
            side = np.stack([np.full(BORDER, fixed), free] if axis == 0 else [free, np.full(BORDER, fixed)], axis=1)
            reach = (sign * self.directions(K, side)[:, axis]).min()
            if not np.isfinite(reach) or reach <= 0:
                raise ValueError("its border sees nothing that a pinhole camera can")
            scales.append(abs(fixed - K[axis, 2]) / K[axis, axis] / reach)
        result = K.copy()
        result[[0, 1], [0, 1]] *= max(scales)
        return result

    def undistorted(
        self, image: UInt8[np.ndarray, "H W 3"], K: Float64[np.ndarray, "3 3"], target: Float64[np.ndarray, "3 3"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The picture that a pinhole camera with intrinsics ``target`` takes, bilinear."""
        # OpenCV's pixel centres are whole numbers.
        own, pinhole = K - _HALF, target - _HALF
        make = cv2.fisheye.initUndistortRectifyMap if self.fisheye else cv2.initUndistortRectifyMap
        size = (image.shape[1], image.shape[0])
        maps = make(own, np.array(self.coefficients), np.eye(3), pinhole, size, cv2.CV_32FC1)
        return cv2.remap(image, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


_HALF = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
