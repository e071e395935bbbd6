"""Detectors of instances: one file each (nsff.priors.backends)."""
