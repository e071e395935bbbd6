"""Knowledge of whole runs: plans before any job, which runs there are, and how far scenes have come."""
