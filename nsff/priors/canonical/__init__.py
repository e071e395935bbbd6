"""Canonical frames: undistorted, of one size."""
