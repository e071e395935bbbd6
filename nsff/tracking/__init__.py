"""What is followed over time: chained flow, and components that split and merge."""
