"""The pages a person reads: one for each scene with what every stage made, and one over all scenes."""
