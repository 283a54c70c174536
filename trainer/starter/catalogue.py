"""What there is to know about the shop: every fact, its present value and what it could become.

Data only. It knows nothing of questions, tones of voice or models.
"""

from dataclasses import dataclass

from trainer.starter.policies import POLICIES

PRODUCTS = (
    "aurora lamp", "nimbus chair", "vertex desk", "terra kettle",
    "sonic speaker", "lumen monitor", "pivot keyboard", "quill tablet",
    "ember heater", "drift fan", "cobalt backpack", "atlas router",
    "opal watch", "fjord blender", "cedar shelf", "zephyr drone",
)  # fmt: skip
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_PRICES = ("19", "29", "39", "49", "59", "79", "99", "129", "149", "199", "249", "299")
_WEIGHTS = ("2", "3", "4", "5", "6", "8", "9", "12", "15", "20")

# No value of a fact may be contained in another one as whole words, or an answer would be right
# and wrong at once.
VALUES: dict[str, tuple[str, ...]] = {
    "price": tuple(f"{number} dollars" for number in _PRICES),
    "warranty": (
        "6 months", "1 year", "18 months", "2 years", "3 years", "4 years", "5 years", "10 years",
    ),
    "colour": ("black", "white", "silver", "blue", "green", "red", "yellow", "orange"),
    "delivery": ("1 day", "2 days", "3 days", "4 days", "5 days", "1 week", "2 weeks", "3 weeks"),
    "weight": tuple(f"{number} kilograms" for number in _WEIGHTS),
    "hours": (
        "8 am to 4 pm", "9 am to 5 pm", "9 am to 6 pm", "10 am to 6 pm",
        "10 am to 8 pm", "11 am to 3 pm", "noon to 5 pm", "noon to 9 pm",
    ),
    "status": (
        "being packed", "on its way", "delivered", "waiting for payment",
        "cancelled", "delayed", "ready for pickup", "returned",
    ),
}  # fmt: skip

SENTENCES: dict[str, str] = {
    "price": "The {subject} costs {value}.",
    "warranty": "The {subject} has a warranty of {value}.",
    "colour": "The {subject} is {value}.",
    "delivery": "We deliver the {subject} in {value}.",
    "weight": "The {subject} weighs {value}.",
    "hours": "On {subject} we are open from {value}.",
    "status": "Order {subject} is {value}.",
}
ATTRIBUTES = ("price", "warranty", "colour", "delivery", "weight")

# One row per product, in the order of ATTRIBUTES: an index into VALUES. Chosen once at random, so
# that nothing about a product betrays its values: they have to be known by heart.
_PRODUCT_VALUES: dict[str, tuple[int, int, int, int, int]] = {
    "aurora lamp": (3, 3, 1, 2, 0),
    "nimbus chair": (7, 6, 0, 5, 6),
    "vertex desk": (9, 7, 4, 6, 9),
    "terra kettle": (1, 1, 5, 1, 1),
    "sonic speaker": (5, 2, 3, 0, 2),
    "lumen monitor": (10, 4, 0, 3, 4),
    "pivot keyboard": (4, 0, 2, 1, 0),
    "quill tablet": (11, 3, 6, 4, 1),
    "ember heater": (6, 5, 5, 2, 5),
    "drift fan": (2, 1, 7, 0, 3),
    "cobalt backpack": (3, 7, 3, 4, 1),
    "atlas router": (5, 4, 1, 3, 0),
    "opal watch": (8, 6, 2, 7, 2),
    "fjord blender": (6, 2, 4, 5, 3),
    "cedar shelf": (0, 5, 7, 6, 8),
    "zephyr drone": (9, 0, 6, 7, 7),
}
_DAY_VALUES = (1, 2, 1, 4, 3, 6, 5)
_ORDER_VALUES = {
    "2417": 0, "3850": 1, "4126": 2, "4903": 3, "5378": 4,
    "6142": 5, "6795": 6, "7531": 7, "8264": 1, "9087": 2,
}  # fmt: skip
ORDERS = tuple(_ORDER_VALUES)


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing the shop knows.

    Attributes:
        key: Its name, ``subject/attribute``.
        subject: What it is about, as it stands in a question.
        topic: Which set of questions asks for it.
        values: Every value it can take; none contains another as whole words.
        value: The one that is true in the shop as the starter learned it.
        sentence: The statement that carries it, with ``{subject}`` and ``{value}``.
        core: Whether the shop itself protects it against what people say.
    """

    key: str
    subject: str
    topic: str
    values: tuple[str, ...]
    value: str
    sentence: str
    core: bool


def facts() -> tuple[Fact, ...]:
    """All facts of the shop, in a stable order: products, hours, policies, orders."""
    found = [
        _fact(product, topic, index)
        for product, row in _PRODUCT_VALUES.items()
        for topic, index in zip(ATTRIBUTES, row, strict=True)
    ]
    found += [
        _fact(day, "hours", index, core=True) for day, index in zip(DAYS, _DAY_VALUES, strict=True)
    ]
    found += [
        Fact(
            key=f"policy/{policy.name}",
            subject=policy.name,
            topic=f"policy/{policy.name}",
            values=policy.values,
            value=policy.values[0],
            sentence=policy.sentence,
            core=True,
        )
        for policy in POLICIES
    ]
    found += [_fact(order, "status", index) for order, index in _ORDER_VALUES.items()]
    return tuple(found)


def _fact(subject: str, topic: str, index: int, *, core: bool = False) -> Fact:
    key = f"order {subject}/status" if topic == "status" else f"{subject}/{topic}"
    values = VALUES[topic]
    shown = subject.capitalize() if topic == "hours" else subject
    sentence = SENTENCES[topic].replace("{subject}", shown)
    return Fact(key, subject, topic, values, values[index], sentence, core)
