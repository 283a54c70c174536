"""Ways to run a round in a process of its own."""
