"""Masks of what moves."""
