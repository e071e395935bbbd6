"""A toy kind of scene model, for tests: some coloured points that move along straight lines."""
