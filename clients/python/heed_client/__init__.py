"""The client for Heed: sends what people say about its answers, and loses none of it."""

from heed_client.async_client import AsyncHeed
from heed_client.backoff import Retry
from heed_client.client import Heed
from heed_client.core import VERSION
from heed_client.errors import (
    Busy,
    Closed,
    Conflict,
    Forbidden,
    HeedError,
    Invalid,
    NotFound,
    QueueFailed,
    QueueFull,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unexpected,
    Unreachable,
)
from heed_client.models import Delivered, Feedback, Receipt, Refusal

__version__ = VERSION

__all__ = [
    "AsyncHeed",
    "Busy",
    "Closed",
    "Conflict",
    "Delivered",
    "Feedback",
    "Forbidden",
    "Heed",
    "HeedError",
    "Invalid",
    "NotFound",
    "QueueFailed",
    "QueueFull",
    "Receipt",
    "Refusal",
    "Retry",
    "TimedOut",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "Unexpected",
    "Unreachable",
    "__version__",
]
