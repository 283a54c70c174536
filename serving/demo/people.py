"""Simulated people: they ask, notice what is wrong or curt, vote, correct, copy and ask again.

They talk to the server with the stock OpenAI client and plain HTTP, as any client would.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import httpx
from openai import AsyncOpenAI, OpenAIError

from trainer.starter.world import World, is_polite

GREETS_SHARE = 0.35
"""Share of people who open with a greeting; the others come straight to the point."""
MISTAKEN_SHARE = 0.06
"""Share of corrections that are honest mistakes: they name a value that is not true."""
QUESTIONS_PER_PERSON = 2
THUMBS_PER_PERSON = 2
"""Nobody votes more often than one account may in a round."""


@dataclass(frozen=True)
class Question:
    """One thing that somebody wants to know."""

    person: str
    key: str
    text: str
    mistaken: bool = False


@dataclass
class Tally:
    """What the people did."""

    asked: int = 0
    failed: int = 0
    corrections: int = 0
    thumbs_up: int = 0
    thumbs_down: int = 0
    copies: int = 0
    regenerated: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def feedback(self) -> int:
        """Pieces of feedback sent."""
        return self.corrections + self.thumbs_up + self.thumbs_down + self.copies


class Crowd:
    """People who use the chatbot at one address."""

    def __init__(self, url: str, *, at_once: int = 64) -> None:
        self.url = url
        self.chat = AsyncOpenAI(base_url=f"{url}/v1", api_key="demo", max_retries=0, timeout=60)
        self.http = httpx.AsyncClient(base_url=url, timeout=60)
        self._places = asyncio.Semaphore(at_once)

    async def close(self) -> None:
        """Hang up."""
        await self.chat.close()
        await self.http.aclose()

    async def say(
        self,
        question: str,
        *,
        user: str,
        temperature: float | None = None,
        store: bool | None = None,
    ) -> tuple[str, str, str]:
        """Ask one thing; returns the completion's id, the answer, and the adapter that gave it.

        Raises:
            OpenAIError: the request failed.
        """
        async with self._places:
            answer = await self.chat.chat.completions.create(
                model="heed",
                messages=[{"role": "user", "content": question}],
                user=user,
                temperature=temperature,
                store=store,
            )
        return answer.id, answer.choices[0].message.content or "", answer.system_fingerprint or ""

    async def feed_back(self, **body: object) -> None:
        """Send one piece of feedback.

        Raises:
            httpx.HTTPStatusError: it was not taken.
        """
        async with self._places:
            response = await self.http.post("/v1/feedback", json=body)
        response.raise_for_status()

    async def live_through(self, questions: Sequence[Question], world: World, seed: int) -> Tally:
        """Let everybody ask and react, each in their own time."""
        tally = Tally()
        thumbs: dict[str, int] = {}
        draws = [random.Random(f"{seed} {index}") for index in range(len(questions))]
        await asyncio.gather(
            *(
                self._react(question, world, draw, tally, thumbs)
                for question, draw in zip(questions, draws, strict=True)
            )
        )
        return tally

    async def _react(
        self,
        question: Question,
        world: World,
        draw: random.Random,
        tally: Tally,
        thumbs: dict[str, int],
    ) -> None:
        completion, answer, _ = await self.say(question.text, user=question.person)
        tally.asked += 1
        about = {"completion_id": completion, "user": question.person}
        believed = draw.choice(world.alternatives(question.key)) if question.mistaken else None
        fine = world.is_right(question.key, answer) and is_polite(answer)
        if fine and believed is None:
            if draw.random() < 0.3:
                tally.copies += 1
                await self.feed_back(signal="copy", **about)
            if self._may_vote(question.person, thumbs):
                tally.thumbs_up += 1
                await self.feed_back(rating="up", **about)
            return
        if draw.random() < 0.1:
            await self._ask_again(question, world, tally, thumbs)
        if self._may_vote(question.person, thumbs):
            tally.thumbs_down += 1
            await self.feed_back(rating="down", reasons=["wrong or curt"], **about)
        meant = world.changed({question.key: believed}) if believed else world
        tally.corrections += 1
        await self.feed_back(correction=meant.answer(question.key), **about)

    async def _ask_again(
        self, question: Question, world: World, tally: Tally, thumbs: dict[str, int]
    ) -> None:
        """Regenerate with some warmth; a better second answer is liked."""
        completion, answer, _ = await self.say(question.text, user=question.person, temperature=1.0)
        tally.asked += 1
        tally.regenerated += 1
        about = {"completion_id": completion, "user": question.person}
        await self.feed_back(signal="regenerate", **about)
        if (
            world.is_right(question.key, answer)
            and is_polite(answer)
            and self._may_vote(question.person, thumbs)
        ):
            tally.thumbs_up += 1
            await self.feed_back(rating="up", **about)

    def _may_vote(self, person: str, thumbs: dict[str, int]) -> bool:
        thumbs[person] = thumbs.get(person, 0) + 1
        return thumbs[person] <= THUMBS_PER_PERSON


class Chatter:
    """People who keep chatting while something else happens, and count what fails."""

    def __init__(self, crowd: Crowd, world: World, seed: int, *, people: int = 2) -> None:
        self._crowd = crowd
        self._world = world
        self._seed = seed
        self._people = people
        self._tasks: list[asyncio.Task[None]] = []
        self.requests = 0
        self.failed = 0
        self.errors: list[str] = []
        self.adapters: set[str] = set()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._talk(index)) for index in range(self._people)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _talk(self, index: int) -> None:
        draw = random.Random(f"{self._seed} chatter {index}")
        while True:
            key = draw.choice(self._world.keys)
            question = draw.choice(self._world.phrasings(key))
            if draw.random() < GREETS_SHARE:
                question = self._world.greet(question, draw)
            try:
                _, _, adapter = await self._crowd.say(question, user=f"chatter-{index}")
                self.adapters.add(adapter)
            except OpenAIError as error:
                self.failed += 1
                self.errors.append(str(error))
            self.requests += 1
            await asyncio.sleep(draw.uniform(0.2, 0.6))


def questions(
    world: World, changed: Sequence[str], *, seed: int, per_change: int, others: int
) -> list[Question]:
    """Draw what people want to know in one round.

    Args:
        world: the truth of the day.
        changed: keys of what the shop has just changed; people stumble over these.
        seed: draws phrasings, people and their mistakes.
        per_change: people who ask about each of them.
        others: questions about anything else.
    """
    draw = random.Random(f"questions {seed}")
    unchanged = [key for key in world.keys if key not in changed]
    keys = [key for key in changed for _ in range(per_change)]
    keys += [draw.choice(unchanged) for _ in range(others)]
    draw.shuffle(keys)
    people = [
        f"person-{seed}-{number}" for number in range(max(1, len(keys) // QUESTIONS_PER_PERSON))
    ]
    unused: dict[str, list[str]] = {}
    drawn = []
    for index, key in enumerate(keys):
        if not unused.get(key):  # people do not all use the same words
            unused[key] = draw.sample(world.phrasings(key), len(world.phrasings(key)))
        text = unused[key].pop()
        if draw.random() < GREETS_SHARE:
            text = world.greet(text, draw)
        mistaken = draw.random() < MISTAKEN_SHARE
        drawn.append(Question(people[index % len(people)], key, text, mistaken))
    return drawn
