"""Files: whole writes, checked reads, and what lies on disk for a while."""
