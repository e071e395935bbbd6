"""Pictures as arrays: filters, morphology, resizing, interpolation along edges, and burnt-in overlays."""
