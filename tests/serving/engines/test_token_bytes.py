from pathlib import Path

from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from serving.engines.token_bytes import TokenBytes


def test_the_bytes_of_byte_level_tokens_together_are_the_text(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    token_bytes = TokenBytes(tokenizer)
    text = " tea for 東京, naïve 🫖\n\tand more"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert b"".join(map(token_bytes, ids)).decode() == text
    assert any(len(token_bytes(token)) == 1 for token in ids), "no character was split"
    assert token_bytes(tokenizer.eos_token_id) == b"<|end|>"
    assert token_bytes(10**6) == b""


def test_pieces_of_sentencepiece_keep_their_space_and_their_bytes() -> None:
    vocabulary = {"<unk>": 0, "\u2581tea": 1, "<0xE2>": 2, "cup": 3}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.decoder = decoders.Metaspace()
    token_bytes = TokenBytes(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert [token_bytes(token) for token in (1, 2, 3)] == [b" tea", b"\xe2", b"cup"]
