"""How long to wait: exponential, jittered, bounded, and what `Retry-After` can say."""

import pytest

from heed_client import Retry
from heed_client.backoff import retry_after_seconds
from heed_client.errors import Busy, Invalid, Unavailable

NOW = 1_769_850_000.0  # Sat, 31 Jan 2026 09:00:00 GMT


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("Sat, 31 Jan 2026 09:00:30 GMT", 30.0),
        ("Sat, 31 Jan 2026 08:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": said}, NOW) == seconds


def test_without_the_header_nothing_is_asked() -> None:
    assert retry_after_seconds({}) is None


def test_waits_double_up_to_a_bound_and_differ() -> None:
    retry = Retry(times=100, first_seconds=1, most_seconds=8)
    fault = Unavailable("down")
    for tries, most in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (100, 8)):
        waits = [retry.call_seconds(tries, fault) or 0.0 for _ in range(300)]
        assert all(0 <= seconds <= most for seconds in waits)
        assert max(waits) > 0.9 * most
        assert min(waits) < 0.1 * most


def test_a_call_gives_up_and_the_queue_never_does() -> None:
    retry = Retry(times=2)
    fault = Unavailable("down")
    assert retry.call_seconds(3, fault) is None
    assert retry.call_seconds(1, Invalid("nonsense")) is None
    assert retry.call_seconds(1, Busy("later", retry_after_seconds=9)) is None
    assert 0 <= retry.queue_seconds(1_000_000, fault) <= 60
    assert 9 <= retry.queue_seconds(1, Busy("later", retry_after_seconds=9)) <= 9.5


def test_no_header_keeps_the_queue_away_for_years() -> None:
    asked = Busy("later", retry_after_seconds=1e9)
    assert Retry().queue_seconds(1, asked) <= 3_601
