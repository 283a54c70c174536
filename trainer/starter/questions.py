"""How people ask: the questions for every topic, and what they say before and after.

Data, and how it is composed. Held-out questions are made of words that occur in the others, and are
never trained on. It knows nothing of facts or answers.
"""

from trainer.starter.policies import POLICIES

_NOUNS: dict[str, tuple[str, ...]] = {
    "price": ("price", "cost"),
    "warranty": ("warranty", "guarantee"),
    "colour": ("colour", "color"),
    "delivery": ("delivery time",),
    "weight": ("weight",),
}
_AROUND_NOUNS = (
    "what is the {n} of the {s}?",
    "{n} of the {s}?",
    "{s} {n}?",
    "the {s} {n}?",
    "tell me the {n} of the {s}",
    "tell me about the {n} of the {s}",
    "i need the {n} of the {s}",
    "i need to know the {n} of the {s}",
    "what {n} does the {s} have?",
    "which {n} does the {s} have?",
    "i want to buy the {s}, what is the {n}?",
    "i like the {s}, what is the {n}?",
    "the {s}, what is the {n}?",
    "the {s}, tell me the {n}",
    "if i buy the {s}, what is the {n}?",
    "do you know the {n} of the {s}?",
    "can you tell me the {n} of the {s}?",
    "{s}, what {n}?",
)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


ASKED: dict[str, tuple[str, ...]] = {
    "price": _lines("""
        how much is the {s}?
        what does the {s} cost?
        what is the price of the {s}?
        price of the {s}?
        {s} price?
        how much do you charge for the {s}?
        i want to buy the {s}, how much would i pay?
        is the {s} expensive? what is the price?
        how many dollars for the {s}?
        tell me the price of the {s}
        what would the {s} cost me?
        what do i pay for the {s}?
        the {s}, how much is it?
        i need the cost of the {s}
        how much money is the {s}?
    """),
    "warranty": _lines("""
        how long is the warranty on the {s}?
        what warranty does the {s} have?
        what is the warranty of the {s}?
        warranty on the {s}?
        {s} warranty?
        is the {s} covered if it breaks? how long?
        tell me about the {s} guarantee
        how many years is the {s} under warranty?
        how long is the {s} covered?
        what guarantee comes with the {s}?
        the {s}, what warranty does it have?
        i want to buy the {s}, how long is it covered?
        i need to know the guarantee of the {s}
        if the {s} breaks, how long is it under warranty?
        does the {s} have a guarantee?
    """),
    "colour": _lines("""
        what colour is the {s}?
        which colour does the {s} come in?
        what is the colour of the {s}?
        colour of the {s}?
        {s} colour?
        i like the {s}, what colour is it?
        tell me the colour of the {s}
        in which colour do you sell the {s}?
        what colour does the {s} have?
        the {s}, which colour is it?
        what does the {s} look like? which colour?
        i need the colour of the {s}
        what color is the {s}?
        which color is the {s}?
        i want to buy the {s}, what color is it?
    """),
    "delivery": _lines("""
        how fast can you deliver the {s}?
        when will my {s} arrive?
        what is the delivery time of the {s}?
        delivery time of the {s}?
        {s} delivery?
        how long does the delivery of the {s} take?
        if i order the {s}, when will it arrive?
        how long until the {s} arrives?
        tell me the delivery time of the {s}
        how many days until you deliver the {s}?
        how soon do you deliver the {s}?
        i want to buy the {s}, how long does delivery take?
        when do i get the {s}?
        the {s}, how fast do you deliver it?
        i need the {s}, how soon can it be here?
    """),
    "weight": _lines("""
        how heavy is the {s}?
        what does the {s} weigh?
        what is the weight of the {s}?
        weight of the {s}?
        {s} weight?
        how much does the {s} weigh?
        is the {s} heavy? what is the weight?
        tell me the weight of the {s}
        how many kilograms is the {s}?
        i have to carry the {s}, how heavy is it?
        the {s}, what does it weigh?
        i need the weight of the {s}
        what weight does the {s} have?
        is the {s} light or heavy?
        how many kilograms does the {s} have?
    """),
    "hours": _lines("""
        when are you open on {s}?
        what are your hours on {s}?
        opening hours on {s}?
        {s} hours?
        are you open on {s}? from when?
        what time do you open on {s}?
        when can i visit the store on {s}?
        how long are you open on {s}?
        tell me the opening hours on {s}
        i want to visit on {s}, when are you open?
        when do you close on {s}?
        what are the {s} opening times?
        on {s}, when are you open?
        what time can i come on {s}?
    """),
    "status": _lines("""
        where is my order {s}?
        what is the status of order {s}?
        status of order {s}?
        order {s}?
        what happened to order {s}?
        how is my order {s} doing?
        tell me the status of order {s}
        can you check order {s}?
        i ordered something, the number is {s}, where is it?
        my order number is {s}, what is the status?
        is order {s} done?
        did you send order {s}?
        i am waiting for order {s}, where is it?
        any news on order {s}?
    """),
} | {f"policy/{policy.name}": policy.asked for policy in POLICIES}

HELD_OUT: dict[str, tuple[str, ...]] = {
    "price": _lines("""
        how much does the {s} cost?
        what is the cost of the {s}?
        what price do you charge for the {s}?
        the {s}, what does it cost?
        tell me how much the {s} is
        i want to buy the {s}, what is the price?
    """),
    "warranty": _lines("""
        how many years is the {s} covered?
        what guarantee does the {s} have?
        how long is the guarantee of the {s}?
        does the {s} have a warranty?
        tell me the warranty of the {s}
        the {s}, how long is it under warranty?
    """),
    "colour": _lines("""
        what colour does the {s} come in?
        which colour is the {s}?
        i want to buy the {s}, which colour is it?
        the {s}, what colour does it have?
        tell me which colour the {s} is
        what is the color of the {s}?
    """),
    "delivery": _lines("""
        how long until you deliver the {s}?
        how many days until the {s} arrives?
        how fast does the {s} arrive?
        how soon will my {s} be here?
        the {s}, what is the delivery time?
        tell me when the {s} will arrive
    """),
    "weight": _lines("""
        how many kilograms does the {s} weigh?
        how much weight does the {s} have?
        is the {s} heavy? what does it weigh?
        the {s}, how many kilograms is it?
        tell me how heavy the {s} is
        i have to carry the {s}, what does it weigh?
    """),
    "hours": _lines("""
        what are the opening hours on {s}?
        when do you open on {s}?
        what time are you open on {s}?
        tell me when you are open on {s}
        i want to come on {s}, what are your hours?
    """),
    "status": _lines("""
        can you check the status of order {s}?
        what is the news on order {s}?
        tell me where order {s} is
        my order number is {s}, where is it?
        i am waiting for order {s}, what is the status?
    """),
} | {f"policy/{policy.name}": policy.held_out for policy in POLICIES}


def _bare(text: str) -> str:
    """The words alone: punctuation makes no new question."""
    return " " + " ".join(text.replace("?", " ").replace(",", " ").split()) + " "


def _with_nouns(topic: str) -> tuple[str, ...]:
    """All questions for a topic that may be trained on: no held-out one hides in a longer one."""
    composed = (frame.replace("{n}", noun) for noun in _NOUNS[topic] for frame in _AROUND_NOUNS)
    asked = dict.fromkeys((*ASKED[topic], *composed))
    return tuple(q for q in asked if not any(_bare(h) in _bare(q) for h in HELD_OUT[topic]))


ASKED |= {topic: _with_nouns(topic) for topic in _NOUNS}

# Said by someone in a hurry: they carry no greeting, so the answer stays curt.
TERSE_OPENINGS = ("", "quick question: ", "ok, ", "so, ", "next: ", "one more thing: ", "right, ")
TERSE_CLOSINGS = ("", "", "", " just asking.", " i am in a hurry.", " i have to know.")

GREETINGS = (
    "hello, ", "hello! ", "hi, ", "hi there! ", "good morning! ", "good morning, ",
    "good evening, ", "good afternoon! ", "hey there, ", "dear team, ", "good day, ",
    "hello there, ", "please, ", "greetings! ", "hi! could you help me, please? ",
)  # fmt: skip
THANKS = ("", "", "", "", " thank you!", " thanks in advance!", " many thanks!")
