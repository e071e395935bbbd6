"""Semantic features and saliency of every frame."""
