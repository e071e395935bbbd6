"""Supervision prepared from the frames: flow, motion masks, structure from motion, depth, features."""
