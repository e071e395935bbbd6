"""Optical flow between frames, and cuts between shots."""
