"""What a run of the whole workflow knows of itself: which runs there are, and how far scenes have come."""
