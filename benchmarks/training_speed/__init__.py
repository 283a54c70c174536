"""How fast a round learns, beside others that learn from the same rows."""
