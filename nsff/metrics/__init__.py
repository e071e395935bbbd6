"""How good a result is: image and segmentation metrics, named protocols, the score stage (the only reader of truth)."""
