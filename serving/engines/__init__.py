"""Engines turn messages into tokens; each keeps the same protocol (`base`)."""
