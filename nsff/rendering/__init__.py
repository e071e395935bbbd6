"""Pictures, maps and videos of a trained scene from any camera at any time."""
