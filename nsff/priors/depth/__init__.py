"""Disparity of every canonical frame."""
