"""The small model of the trainer's tests, for those that need a GPU."""

from tests.trainer.conftest import tiny_model

__all__ = ["tiny_model"]
