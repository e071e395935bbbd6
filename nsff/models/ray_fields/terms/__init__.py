"""The terms of the objective: one small class each, with its equation, weight and schedule beside it."""
