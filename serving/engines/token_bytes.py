"""The bytes that single tokens stand for, which may be part of a character.

A token alone is not decoded like a token in a text (a leading space goes, half a character becomes
a question mark), so its bytes are read from the vocabulary. Knows nothing of torch, models or
answers.
"""

import re
from functools import cache
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenBytes:
    """Callable: a token's id to its bytes.

    Args:
        tokenizer: of transformers, byte-level BPE or SentencePiece.

    Attributes:
        hidden: special tokens, of which a text shows nothing.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._added = {
            int(token): str(added.content)
            for token, added in tokenizer.added_tokens_decoder.items()
        }
        self.hidden = frozenset(tokenizer.all_special_ids)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._is_byte_level = "ByteLevel" in repr(getattr(backend, "decoder", None))

    def __call__(self, token: int) -> bytes:
        """Return the token's bytes; none for an id that the tokenizer does not know."""
        if token in self._added:
            return self._added[token].encode()
        piece = self._tokenizer.convert_ids_to_tokens(token)
        if piece is None:
            return b""
        if self._is_byte_level:
            alphabet = _alphabet()
            if all(character in alphabet for character in piece):
                return bytes(alphabet[character] for character in piece)
            return str(piece).encode()
        if single := _BYTE.fullmatch(piece):
            return bytes([int(single[1], 16)])
        return str(piece).replace("\u2581", " ").encode()


@cache
def _alphabet() -> dict[str, int]:
    """The printable character that stands for each byte in byte-level vocabularies.

    Radford et al., Language Models are Unsupervised Multitask Learners (2019): bytes that are
    printable in Latin-1 stand for themselves, the others for what follows U+00FF, in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in set(printable)]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(0x100 + place): byte for place, byte in enumerate(others)}
