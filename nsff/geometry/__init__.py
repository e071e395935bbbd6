"""Geometry of two and more views: epipolar distances and triangulation."""
