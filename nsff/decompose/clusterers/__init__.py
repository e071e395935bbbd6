"""Clusterers, one file each: see nsff.decompose.clusterer."""
