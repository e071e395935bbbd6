"""Objects of a trained scene: clusters of features, votes by saliency, masks, instances, a dense CRF, extraction."""
