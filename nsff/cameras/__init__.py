"""Cameras, rays, projection, spaces, and conversions to other camera formats."""

from nsff.cameras.model import Cameras, stack

__all__ = ["Cameras", "stack"]
