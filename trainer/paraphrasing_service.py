"""Asks a model behind an OpenAI-compatible API to put questions in other words.

Knows no example. A service that is away, slow or talks nonsense costs paraphrases and never a
round: what could not be had is said in a sentence.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from feedback.words import content_words, words
from trainer import chat_api
from trainer.augmentation import Told

KEY = "AUGMENTATION_API_KEY"
AT_ONCE = 4
TIMEOUT_SECONDS = 30.0
FAILURES_IN_A_ROW = 3
"""After so many the service is taken to be away, and nobody waits for it any longer."""
LONGEST = 4.0
"""A paraphrase that is so many times as long as its question is something else."""
_ASK = (
    "Rewrite the user's message in {count} different ways, as different people would type it to a "
    "support chat. Keep its meaning, its language, and every name, number and link exactly. Do not "
    "answer it. Reply with a JSON array of {count} strings and nothing else."
)
_EXACT = re.compile(r"\S*\d\S*|\S+://\S+|\S+@\S+|<[A-Z_]+>")


class ParaphrasingService:
    """A model that paraphrases.

    Args:
        url: where the API begins, such as ``https://host/v1``.
        model: what it is asked for.
        transport: for tests.
    """

    def __init__(
        self, url: str, model: str, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._model = model
        self._transport = transport
        self._fault = ""
        self._failures = 0

    def paraphrases(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        count: int,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Told:
        """Ask for so many paraphrases of each question.

        Args:
            pairs: questions with their answers; answers are not sent, they tell what must stay.
            count: for each.
            should_stop: asked before each question.
        """
        key = os.environ.get(KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with (
            httpx.Client(
                headers=headers, timeout=TIMEOUT_SECONDS, transport=self._transport
            ) as client,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):

            def ask(pair: tuple[str, str]) -> tuple[str, ...]:
                if self._failures >= FAILURES_IN_A_ROW or should_stop():
                    return ()
                return self._asked(client, *pair, count=count)

            found = tuple(pool.map(ask, pairs))
        short = sum(len(each) < count for each in found)
        if not short:
            return Told(found)
        why = self._fault or "its other paraphrases lost a name, a number or the subject"
        return Told(
            found,
            f"{self._url} gave fewer than {count} paraphrases for {short} of {len(pairs)} "
            f"questions: {why}. Built-in patterns stood in.",
        )

    def _asked(
        self, client: httpx.Client, question: str, answer: str, *, count: int
    ) -> tuple[str, ...]:
        body = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": _ASK.format(count=count)},
                {"role": "user", "content": question},
            ],
            "temperature": 0.8,
        }
        try:
            said = _strings(chat_api.content(client, self._url, body))
        except chat_api.Unanswered as fault:
            return self._failed(f"it {fault}")
        except (ValueError, LookupError, TypeError):
            return self._failed("it did not answer with a list of texts")
        self._failures = 0
        kept = [text.strip() for text in said if keeps_meaning(question, text, answer=answer)]
        return tuple(dict.fromkeys(kept))[:count]

    def _failed(self, fault: str) -> tuple[str, ...]:
        self._fault = fault
        self._failures += 1
        return ()


def keeps_meaning(question: str, other: str, *, answer: str) -> bool:
    """Whether a paraphrase still asks for this answer, as far as its words can tell.

    Numbers, links and placeholders are the same; so are the content words that the answer repeats
    and the names (capitals within a sentence). Other words may be other words.
    """
    if not other.strip() or other.strip() == question.strip():
        return False
    if len(other) > LONGEST * max(len(question), 20):
        return False
    if sorted(_exact(question)) != sorted(_exact(other)):
        return False
    names = {word.casefold() for word in re.findall(r"(?<=[\w,] )[A-Z][\w'’]+", question)}
    subject = content_words(question) & (content_words(answer) | names)
    return subject <= set(words(other))


def _exact(text: str) -> list[str]:
    return [found.strip(".,;:!?()\"'").casefold() for found in _EXACT.findall(text)]


def _strings(content: str) -> list[str]:
    """The texts of a JSON array, whatever the model writes around it.

    Raises:
        ValueError: there is none.
    """
    start, end = content.index("["), content.rindex("]")
    found = json.loads(content[start : end + 1])
    if not all(isinstance(text, str) for text in found):
        raise ValueError("not texts")
    return list(found)
