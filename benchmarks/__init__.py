"""Side-by-side measurements; each module runs with one command."""

from pathlib import Path

CHECKOUT = str(Path(__file__).parents[1])
"""What a Python that is started with `-P` needs to import from."""
