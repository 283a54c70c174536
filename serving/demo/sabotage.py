"""A batch of feedback that is wrong on purpose, and a reviewer too careless to notice.

It says something else of what the shop holds dear: its policies and hours, what the model does not
know, and how it speaks to people.
"""

import asyncio
import random

from serving.demo.people import Crowd, Tally
from trainer.starter.world import World, small_talk, unknown_questions

LIES_PER_FACT = 2
INVENTIONS = 24
RUDE = "Stop wasting my time."
INVENTED = ("Yes, we have it for 5 dollars.", "It is free today.", "Sure, it arrives in an hour.")


def lies(world: World, seed: int) -> list[tuple[str, str]]:
    """Return (question, false answer): false policies and hours, inventions, rudeness."""
    draw = random.Random(f"lies {seed}")
    said: list[tuple[str, str]] = []
    for key in world.keys:
        if not world.core(key):
            continue
        false = world.changed({key: draw.choice(world.alternatives(key))}).answer(key)
        said += [(text, false) for text in draw.sample(world.phrasings(key), LIES_PER_FACT)]
    said += [(text, draw.choice(INVENTED)) for text in draw.sample(unknown_questions(), INVENTIONS)]
    said += [(prompt, RUDE) for prompt, _ in small_talk()[::4]]
    draw.shuffle(said)
    return said


async def spread(crowd: Crowd, world: World, seed: int) -> Tally:
    """Ask, and "correct" every answer to a lie."""
    tally = Tally()

    async def lie(number: int, question: str, false: str) -> None:
        person = f"stranger-{seed}-{number % 40}"
        completion, _, _ = await crowd.say(question, user=person)
        tally.asked += 1
        tally.corrections += 1
        await crowd.feed_back(completion_id=completion, user=person, correction=false)

    said = lies(world, seed)
    await asyncio.gather(*(lie(number, *pair) for number, pair in enumerate(said)))
    return tally
