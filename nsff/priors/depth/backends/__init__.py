"""Ways to make disparity: one file each (nsff.priors.backends)."""
