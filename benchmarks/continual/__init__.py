"""The continual-learning benchmark: round after round of new things, and what is left of the old."""
