"""The machine that a stage runs on: GPUs and their memory, threads, and processes."""
