"""Descriptors of pixels: one file each (nsff.priors.backends)."""
