"""nsff: from one casual video of a moving world to the scene in 4D (NSFF, CVPR 2021; SAFF, ICCV 2023)."""

__version__ = "0.2.0"
