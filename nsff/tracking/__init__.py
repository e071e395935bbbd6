"""Following pixels and regions over time: chained flow, and components that split and merge."""
