"""The world of boxes of the decomposition's tests: a wall, a box that rests, and one that moves before it."""

from tests.decompose.conftest import box_world, fake_scene

__all__ = ["box_world", "fake_scene"]
