"""Objects are what moves together: trajectories, their motion evidence, groups, and masks at full sharpness."""
