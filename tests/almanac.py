"""Prose about a shop's goods and about a made-up town, for rounds that learn from documents. Seeded.

Each sentence states one fact; how it says so, in what order and between which others, is drawn.
"""

from collections.abc import Mapping
from random import Random

_SAYINGS: dict[str, tuple[str, ...]] = {
    "price": (
        "The {s} costs {v}.",
        "For the {s} we ask {v}.",
        "The price of the {s} is {v}.",
        "You can buy the {s} for {v}.",
    ),
    "warranty": (
        "The {s} has a warranty of {v}.",
        "We repair the {s} for {v} after you buy it.",
        "The warranty of the {s} is {v}.",
        "With the {s} you get {v} of warranty.",
    ),
    "colour": (
        "The {s} is {v}.",
        "The colour of the {s} is {v}.",
        "Every {s} in our shop is {v}.",
        "We have the {s} in {v}.",
    ),
    "delivery": (
        "We deliver the {s} in {v}.",
        "The {s} is with you in {v}.",
        "Delivery of the {s} takes {v}.",
        "To deliver the {s} we need {v}.",
    ),
    "weight": (
        "The {s} weighs {v}.",
        "The weight of the {s} is {v}.",
        "On the scale the {s} is {v}.",
        "You carry {v} with the {s}.",
    ),
}
_STREETS = ("Amber", "Willow", "Harbor", "Maple", "River", "Anchor", "Cedar", "Meadow")
_TRADES = ("baker", "tailor", "smith", "painter", "gardener", "printer", "cook", "teacher")
_NAMES = ("Ana", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Ines", "Jonas")
_THINGS = ("bread", "coats", "gates", "signs", "roses", "books", "soup", "lessons")
_TOLD = (
    "{name} is the {trade} of {street} Street and has sold {thing} there for {years} years.",
    "On {street} Street you will find {name}, the {trade}, who sells {thing}.",
    "Whoever wants {thing} goes to {name} on {street} Street, the {trade} of the town.",
    "The shop of {name} on {street} Street opens at {hour} and closes when the {thing} are gone.",
    "In the year {year} {name} came to {street} Street to work as a {trade}.",
)


def goods(values: Mapping[str, str], *, seed: int, tellings: int) -> dict[str, str]:
    """A Markdown page per product, as a shop's handbook would have it.

    Args:
        values: by key `product/attribute`.
        seed: of wording and order.
        tellings: in how many sentences each fact is told, each in other words as far as they go.

    Returns:
        Text by file name.
    """
    rng = Random(f"goods {seed}")
    pages = {}
    for product in dict.fromkeys(key.partition("/")[0] for key in values):
        facts = {k.partition("/")[2]: v for k, v in values.items() if k.startswith(f"{product}/")}
        said = {topic: rng.sample(_SAYINGS[topic], len(_SAYINGS[topic])) for topic in facts}
        parts = [f"# The {product}\n"]
        for telling in range(tellings):
            topics = rng.sample(list(facts), len(facts))
            sentences = [
                said[topic][telling % len(said[topic])].format(s=product, v=facts[topic])
                for topic in topics
            ]
            parts.append(" ".join(sentences) + "\n")
        pages[f"{product.replace(' ', '-')}.md"] = "\n".join(parts)
    return pages


def town(*, seed: int, pages: int, paragraphs: int = 4) -> dict[str, str]:
    """Pages about the people of a town that does not exist. Text by file name."""
    rng = Random(f"town {seed}")
    found = {}
    for number in range(pages):
        told = [f"# Walk {number + 1} through the town\n"]
        for _ in range(paragraphs):
            at = rng.randrange(len(_TRADES))
            person = {
                "name": rng.choice(_NAMES),
                "trade": _TRADES[at],
                "thing": _THINGS[at],
                "street": rng.choice(_STREETS),
                "years": rng.randint(2, 40),
                "hour": rng.randint(6, 11),
                "year": rng.randint(1890, 2020),
            }
            told.append(" ".join(s.format(**person) for s in rng.sample(_TOLD, 3)) + "\n")
        found[f"walk-{number + 1:02d}.md"] = "\n".join(told)
    return found
