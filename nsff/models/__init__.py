"""Scene models: what is trained, drawn and read."""
