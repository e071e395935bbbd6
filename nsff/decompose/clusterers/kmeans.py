"""k-means, with the first number of clusters that no longer pays (SAFF)."""

from nsff.decompose.kmeans import fit

cluster = fit
