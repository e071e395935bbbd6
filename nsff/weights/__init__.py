"""Pretrained weights: what there is (registry), where it lies (search), whether it is whole (check), getting it
(download), reading it (tensors).

Imports neither torch nor the network's libraries until a file is read or fetched.
"""

from nsff.weights.entry import File, Weight, hugging_face
from nsff.weights.registry import WEIGHTS, weight_named
from nsff.weights.search import find, folders, locate, only

__all__ = ["WEIGHTS", "File", "Weight", "find", "folders", "hugging_face", "locate", "only", "weight_named"]
