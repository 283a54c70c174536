from serving.engines.base import TokenLogprob
from serving.engines.due_logprobs import DueLogprobs


def token(text: bytes) -> TokenLogprob:
    return TokenLogprob(text, -1.0)


def test_a_token_is_told_with_the_text_that_it_begins_in() -> None:
    due = DueLogprobs()
    due.add(token(b"one"))
    assert due.told("on") == (token(b"one"),)
    due.add(token(b" two"))
    assert due.told("e") == ()
    assert due.told(" ") == (token(b" two"),)


def test_the_tokens_of_one_character_are_told_together() -> None:
    due = DueLogprobs()
    for byte in "é".encode():
        due.add(token(bytes([byte])))
    assert len(due.told("é")) == 2


def test_special_tokens_and_broken_bytes_do_not_shift_what_follows() -> None:
    due = DueLogprobs()
    for part in (b"<|start|>", b"\xff", b"tea", b" time"):
        due.add(token(part), hidden=part.startswith(b"<"))
    assert [each.raw for each in due.told("\ufffdte")] == [b"<|start|>", b"\xff", b"tea"]
    assert [each.raw for each in due.told("a ")] == [b" time"]


def test_what_a_stop_string_cut_off_is_not_told_of_and_the_rest_of_a_whole_answer_is() -> None:
    for whole in (False, True):
        due = DueLogprobs()
        due.add(token(b"tea"))
        due.add(token(b"STOP"))
        assert len(due.told("tea", whole=whole)) == 1 + whole
