from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from serving.engines.text_stream import StopStrings, TextStream


def decode(token_ids: Sequence[int]) -> str:
    return bytes(token_ids).decode("utf-8", errors="replace")


@given(st.text(max_size=30))
def test_no_piece_holds_half_a_character_and_together_they_are_the_text(text: str) -> None:
    stream = TextStream(decode)
    pieces = [stream.feed(byte) for byte in text.encode("utf-8")]
    assert all("\ufffd" not in piece or "\ufffd" in text for piece in pieces)
    whole = "".join(pieces) + stream.finish()
    assert whole == text or text.endswith("\ufffd")


def test_bytes_that_never_become_a_character_do_not_hold_back_the_rest_for_ever() -> None:
    stream = TextStream(decode)
    shown = "".join(stream.feed(byte) for byte in b"\xff" * 40 + b"done")
    assert shown.endswith("done")


def test_half_a_character_at_the_end_is_dropped() -> None:
    stream = TextStream(decode)
    shown = "".join(stream.feed(byte) for byte in "tea 🫖".encode()[:-1])
    assert shown + stream.finish() == "tea "


@given(
    st.lists(st.text("abc", max_size=4), max_size=12),
    st.lists(st.text("abc", max_size=4), max_size=3),
)
def test_what_is_shown_ends_before_the_first_stop_string_however_the_text_is_cut(
    pieces: list[str], stop: list[str]
) -> None:
    stops, shown = StopStrings(stop), ""
    for piece in pieces:
        shown += stops.feed(piece)
        if stops.found:
            break
        assert not any(string and string in shown for string in stop)
    whole = "".join(pieces)
    if stops.found:
        assert any(whole[len(shown) :].startswith(string) for string in stop if string)
    else:
        assert shown + stops.finish() == whole
    assert not any(string and string in shown for string in stop)
