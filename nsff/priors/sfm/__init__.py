"""Structure from motion."""
