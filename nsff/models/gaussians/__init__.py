"""Scenes of 3D Gaussians: so far their rasterisers, which draw Gaussians as a camera sees them."""
