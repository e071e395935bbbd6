"""Pretrained weights: what is known of a set (entry, registry), where its files lie (search), whether they are whole
(check), how to get them (download), and how to read them (tensors).

Imports neither torch nor the network's libraries until a file is read or fetched.
"""

from nsff.weights.entry import TORCHVISION_PAGE, File, Weight, hugging_face, torchvision_file
from nsff.weights.registry import WEIGHTS, weight_named
from nsff.weights.search import find, folders, locate, only

__all__ = [
    "TORCHVISION_PAGE",
    "WEIGHTS",
    "File",
    "Weight",
    "find",
    "folders",
    "hugging_face",
    "locate",
    "only",
    "torchvision_file",
    "weight_named",
]
