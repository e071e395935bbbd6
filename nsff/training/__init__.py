"""Training: the loop, its schedule, checkpoints, devices, and the files of a finished model."""
