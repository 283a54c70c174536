"""What the model learns: examples, replay, rounds, the gate, the registry. Imports feedback."""
