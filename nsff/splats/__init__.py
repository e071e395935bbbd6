"""Scenes as Gaussians in files: for viewers and other programs. Knows nothing of models."""
