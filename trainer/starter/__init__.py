"""The starter: a tiny bundled model, the little shop it knows, and how both are made."""
