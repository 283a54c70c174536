"""The `heed` commands, one module per family; `serving.cli` gathers them."""
