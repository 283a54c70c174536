"""Alembic migrations; `serving.schema` runs them."""
