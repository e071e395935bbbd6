"""Estimators of flow: one file each (nsff.priors.backends)."""
