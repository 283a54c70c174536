"""Answers that a model has given before, kept so that no round asks the same model twice.

An adapter never changes and the evaluation is greedy, so an answer depends on the base, the adapter
and the conversation alone. The last round's candidate is the next one's incumbent: half of every
evaluation is known already. Losing the file costs time and nothing else.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from trainer.examples import Message

Conversation = Sequence[Message]
KEPT_FILES = 8


class Answered:
    """What one model has answered so far, in a file of its own.

    Args:
        folder: where such files lie; the oldest beyond a few are removed.
        model: names base and adapter, by their hashes.
        max_new_tokens: answers that end elsewhere are other answers.
    """

    def __init__(self, folder: Path, *, model: str, max_new_tokens: int) -> None:
        name = hashlib.sha256(f"{model} {max_new_tokens}".encode()).hexdigest()[:24]
        self._path = folder / f"{name}.json"
        self._known: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            self._known = json.loads(self._path.read_text())

    def answers(
        self,
        conversations: Sequence[Conversation],
        ask: Callable[[Sequence[int]], Sequence[str]],
    ) -> list[str]:
        """Return the answers in order; `ask` is called once, with the numbers of those not known."""
        keys = [_key(conversation) for conversation in conversations]
        new = {key: at for at, key in enumerate(keys) if key not in self._known}
        if new:
            said = ask(list(new.values()))
            self._known.update(zip(new, said, strict=True))
            self._write()
        return [self._known[key] for key in keys]

    def _write(self) -> None:
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        staging = self._path.with_suffix(".part")
        staging.write_text(json.dumps(self._known))
        os.replace(staging, self._path)
        files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in files[:-KEPT_FILES]:
            old.unlink(missing_ok=True)


def _key(conversation: Conversation) -> str:
    return hashlib.sha256(json.dumps(list(conversation), sort_keys=True).encode()).hexdigest()
