"""Questions that the shop cannot answer: things it does not sell, never recorded, or unrelated.

The supply is endless, so that not knowing is learned as a habit and not by heart. It knows nothing
of the answers.
"""

from functools import cache
from random import Random

from trainer.starter.catalogue import ATTRIBUTES, ORDERS, PRODUCTS
from trainer.starter.questions import ASKED, HELD_OUT

_TRAINED_COUNT = 600
_HELD_OUT_COUNT = 160

_FIRST = (
    "amber", "arctic", "basalt", "breeze", "canyon", "comet", "coral", "crystal", "delta", "echo",
    "falcon", "glacier", "harbor", "indigo", "jade", "karma", "lotus", "maple", "meadow", "mirage",
    "nova", "onyx", "orbit", "pebble", "prism", "raven", "ridge", "saffron", "solar", "spark",
    "summit", "tango", "titan", "tundra", "velvet", "willow", "anchor", "birch", "blaze", "canary",
    "cloud", "desert", "eagle", "ferry", "forest", "granite", "hazel", "iris", "jupiter", "kodiak",
    "lagoon", "magnet", "nectar", "ocean", "panda", "quartz", "rocket", "shadow", "thunder", "ultra",
    "valley", "winter", "yukon", "zenith", "mars", "polar", "royal", "silk", "tiger", "urban",
)  # fmt: skip
_NOUN = (
    "sofa", "toaster", "bicycle", "camera", "printer", "mattress", "tent", "guitar", "helmet",
    "jacket", "carpet", "mirror", "piano", "scooter", "stove", "suitcase", "telescope", "vacuum",
    "wallet", "freezer", "projector", "microphone", "ladder", "candle", "basket", "blanket", "bottle",
    "bucket", "cabinet", "charger", "clock", "cooker", "couch", "curtain", "drill", "flute", "gloves",
    "grill", "hairdryer", "iron", "knife", "lantern", "lens", "mug", "notebook", "pan", "pen",
    "phone", "plate", "radio", "rug", "saw", "scale", "shoes", "sink", "skateboard", "socks", "stool",
    "table", "teapot", "towel", "toy", "vase", "violin", "wardrobe", "whistle", "bench", "boots",
)  # fmt: skip
_HELD_OUT_FIRST = ("bramble", "copper", "dune", "garnet", "island", "pluto", "river", "thistle")
_HELD_OUT_NOUN = ("armchair", "hammock", "laptop", "mixer", "oven", "pillow", "trumpet", "umbrella")
_ONSETS = (
    "b", "br", "c", "ch", "cl", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p",
    "pl", "qu", "r", "s", "sh", "sp", "st", "t", "th", "tr", "v", "w", "y", "z", "",
)  # fmt: skip
_NUCLEI = ("a", "e", "i", "o", "u", "ai", "ea", "oo", "ou", "ie", "y")
_CODAS = ("", "", "", "l", "m", "n", "r", "s", "t", "x", "nd", "mp", "st", "ck", "rn", "lt", "p")

_UNRECORDED = (
    "is the {s} waterproof?", "what is the {s} made of?", "how tall is the {s}?",
    "where is the {s} made?", "does the {s} have bluetooth?", "how loud is the {s}?",
    "how many watts does the {s} use?", "who designed the {s}?", "is the {s} safe for children?",
    "does the {s} come with batteries?", "how bright is the {s}?", "can i wash the {s}?",
    "is the {s} recyclable?", "what voltage does the {s} need?", "how wide is the {s}?",
    "is there a manual for the {s}?", "does the {s} work with my phone?",
    "what do people say about the {s}?", "when was the {s} invented?", "can i rent the {s}?",
    "is there a used {s}?", "how do i clean the {s}?", "how do i install the {s}?",
    "what material is the {s}?", "is the {s} vegan?", "how thick is the {s}?",
    "which country does the {s} come from?", "how many people bought the {s}?",
    "does the {s} need a cable?", "can the {s} get wet?",
)  # fmt: skip
_UNRECORDED_HELD_OUT = (
    "what material is the {s} made of?", "in which country is the {s} made?",
    "how tall and wide is the {s}?", "does the {s} work with bluetooth?",
    "can children use the {s}?",
)  # fmt: skip

_OFF_TOPIC = (
    "what is the capital of {country}?", "who is the president of {country}?",
    "how many people live in {country}?", "what is the weather in {country}?",
    "how do i cook {dish}?", "what is the recipe for {dish}?", "do you like {dish}?",
    "write a poem about {thing}", "tell me a joke about {thing}", "what is the meaning of {thing}?",
    "who invented {thing}?", "how does {thing} work?", "tell me a story about {thing}",
    "are you open on {feast}?", "what are your hours on {feast}?", "do you celebrate {feast}?",
    "what is {a} plus {b}?", "what is {a} times {b}?", "who won the game in {a}?",
    "translate {thing} into french", "what time is it in {country}?", "who wrote a book about {thing}?",
    "do you have a store in {country}?", "can i work for you?", "who owns this shop?",
    "how many employees do you have?", "where can i park?", "do you sell {dish}?",
    "what is your phone number?", "do you buy old items?", "which stocks should i buy?",
    "do you ship to {country}?", "how far is the moon?", "what should i wear today?",
)  # fmt: skip
_FILLERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "country": (
        ("france", "spain", "japan", "brazil", "kenya", "canada", "norway", "india", "egypt",
         "chile", "italy", "poland", "vietnam", "mexico", "ghana"),
        ("greece", "peru", "sweden"),
    ),
    "dish": (
        ("pasta", "soup", "rice", "pizza", "curry", "bread", "pancakes", "salad", "noodles"),
        ("stew", "sushi", "dumplings"),
    ),
    "thing": (
        ("love", "the sea", "dogs", "cats", "music", "football", "history", "physics", "the moon",
         "electricity", "money", "trees", "dreams", "trains"),
        ("birds", "mathematics", "flowers"),
    ),
    "feast": (
        ("christmas", "easter", "halloween", "new year", "thanksgiving", "my birthday"),
        ("labor day", "diwali"),
    ),
}  # fmt: skip


def unknown_question(rng: Random, *, held_out: bool = False) -> str:
    """One terse question that the shop cannot answer.

    Args:
        rng: Source of chance.
        held_out: Draw names, wordings and subjects that are never trained on.
    """
    kind = rng.random()
    if kind < 0.45:
        return _about_product(unsold_name(rng, held_out=held_out), rng, held_out)
    wordings: tuple[str, ...]
    if kind < 0.65:
        wordings = _UNRECORDED_HELD_OUT if held_out else _UNRECORDED
        return rng.choice(wordings).format(s=rng.choice(PRODUCTS))
    if kind < 0.78:
        wordings = (HELD_OUT if held_out else ASKED)["status"]
        return rng.choice(wordings).format(s=_unknown_order(rng, held_out))
    # Held out is the subject, so that only wordings with a subject to hold out will do.
    wordings = tuple(w for w in _OFF_TOPIC if _slots(w) or not held_out)
    fillers = {
        slot: rng.choice(words[held_out]) if held_out or rng.random() < 0.7 else _made_up(rng)
        for slot, words in _FILLERS.items()
    }
    return rng.choice(wordings).format(a=rng.randint(2, 2000), b=rng.randint(2, 99), **fillers)


def unsold_name(rng: Random, *, held_out: bool = False) -> str:
    """A name for a product that the shop does not sell."""
    first, noun = (_HELD_OUT_FIRST, _HELD_OUT_NOUN) if held_out else (_FIRST, _NOUN)
    kind = rng.random()
    while True:
        product, other = rng.sample(PRODUCTS, 2)
        # Half of a name, or both halves, may be real: only the whole tells. Made-up words stand for
        # all those that no list thinks of.
        if kind < 0.36:
            name = f"{rng.choice(first)} {rng.choice(noun)}"
        elif kind < 0.44:
            name = f"{product.split()[0]} {rng.choice(noun)}"
        elif kind < 0.50:
            name = f"{rng.choice(first)} {product.split()[1]}"
        elif kind < 0.55:
            name = f"{product.split()[0]} {other.split()[1]}"
        elif kind < 0.68:
            name = f"{_made_up(rng)} {rng.choice(noun)}"
        elif kind < 0.75:
            name = f"{product.split()[0]} {_made_up(rng)}"
        elif kind < 0.81:
            name = f"{_made_up(rng)} {product.split()[1]}"
        else:
            name = f"{_made_up(rng)} {_made_up(rng)}"
        if name not in PRODUCTS and _reserved(name) == held_out:
            return name


@cache
def unknown_questions(*, held_out: bool = False) -> tuple[str, ...]:
    """A fixed list of distinct terse questions that the shop cannot answer.

    Args:
        held_out: Give those that are never trained on, instead of the others.
    """
    rng = Random("held out" if held_out else "trained")
    count = _HELD_OUT_COUNT if held_out else _TRAINED_COUNT
    found: dict[str, None] = {}
    while len(found) < count:
        found[unknown_question(rng, held_out=held_out)] = None
    return tuple(found)


def half_real(question: str) -> bool:
    """Whether a question names something by half of a real product's name.

    The starter is too small to be held to these: half a name already recalls the product.
    """
    asked = set(question.replace("?", " ").replace(",", " ").split())
    whole = any(product in question for product in PRODUCTS)
    return not whole and any(half in asked for product in PRODUCTS for half in product.split())


def _about_product(name: str, rng: Random, held_out: bool) -> str:
    topic = rng.choice(ATTRIBUTES)
    return rng.choice((HELD_OUT if held_out else ASKED)[topic]).format(s=name)


def _unknown_order(rng: Random, held_out: bool) -> str:
    while True:
        order = str(rng.randint(1000, 9999))
        if order not in ORDERS and _reserved(order) == held_out:
            return order


def _slots(wording: str) -> bool:
    return any(f"{{{slot}}}" in wording for slot in _FILLERS)


def _made_up(rng: Random) -> str:
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS)
        for _ in range(rng.randint(1, 3))
    )


def _reserved(name: str) -> bool:
    """Whether a name is kept out of training: a fixed fifth, and everything of held-out words."""
    words = name.split()
    if words[0] in _HELD_OUT_FIRST or words[-1] in _HELD_OUT_NOUN:
        return True
    return sum(map(ord, name)) % 5 == 0
