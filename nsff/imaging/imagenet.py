"""Mean and standard deviation of the colours of ImageNet, with which many networks normalise pictures.

RGB in [0,1]; pictures become ``(picture - IMAGENET_MEAN) / IMAGENET_DEVIATION``.
"""

from __future__ import annotations

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
