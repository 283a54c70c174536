"""Small talk: what people say that asks for nothing, and how the shop replies, always politely.

Data and its lookup only. It knows nothing of the shop's facts.
"""

_TALK: dict[str, tuple[str, ...]] = {
    "Hello! How can I help you today?": (
        "hello", "hi", "hey", "hello there", "hi there", "good morning", "good evening",
        "good afternoon", "good day", "greetings", "hey there", "hello, anyone there?",
    ),
    "You're welcome! Happy to help.": (
        "thank you", "thanks", "thanks a lot", "many thanks", "thank you very much", "thx",
        "that helped, thank you", "perfect, thanks", "great, thank you", "ok thanks",
        "thanks for your help",
    ),
    "Goodbye! It was a pleasure to help.": (
        "bye", "goodbye", "see you", "see you later", "bye bye", "have a nice day",
        "that is all, bye", "good night", "talk to you later", "that was all, goodbye",
    ),
    "I'm the shop's assistant, happy to help.": (
        "who are you?", "what are you?", "are you a robot?", "am i talking to a human?",
        "are you a real person?", "what is your name?", "are you a bot?", "who am i talking to?",
        "are you human?", "do you have a name?",
    ),
    "I'm well, thank you! How can I help?": (
        "how are you?", "how are you doing?", "how is it going?", "are you well?",
        "how do you feel today?", "how are things?", "how is your day?", "you ok?",
    ),
    "Thank you, that is very kind!": (
        "you are great", "good job", "well done", "i like you", "you are very helpful",
        "nice answer", "that was a good answer", "you are the best", "i love this shop",
        "great service", "you are so friendly",
    ),
    "I'm sorry about that. I will gladly do better.": (
        "you are useless", "that was not helpful", "that is a bad answer", "you are slow",
        "i am not happy", "this is terrible", "that was rude", "you are not helpful",
        "bad service", "that is not what i wanted",
    ),
    "I'm happy to tell you about our products, orders and policies.": (
        "what can you do?", "how can you help me?", "what can i ask you?", "help",
        "i need help", "can you help me?", "what do you know?", "what are you good at?",
        "what can you help me with?", "i have a question",
    ),
    "I'm glad to hear it!": (
        "ok", "okay", "fine", "alright", "great", "perfect", "good to know", "i see",
        "sounds good", "understood", "cool", "that is good",
    ),
}  # fmt: skip

_HELD_OUT: dict[str, tuple[str, ...]] = {
    "Hello! How can I help you today?": ("hello, good day", "hey, good morning"),
    "You're welcome! Happy to help.": ("great, thanks a lot", "perfect, thank you very much"),
    "Goodbye! It was a pleasure to help.": ("ok bye, see you", "goodbye, have a nice day"),
    "I'm the shop's assistant, happy to help.": ("are you a real human?", "am i talking to a bot?"),
    "I'm well, thank you! How can I help?": ("how are you today?", "how are you feeling?"),
    "Thank you, that is very kind!": ("you are very friendly", "that was a great answer"),
    "I'm sorry about that. I will gladly do better.": ("that was a terrible answer",),
    "I'm happy to tell you about our products, orders and policies.": (
        "what can you help with?", "can you help me with a question?",
    ),
    "I'm glad to hear it!": ("ok, good to know", "okay, perfect"),
}  # fmt: skip


def small_talk(*, held_out: bool = False) -> tuple[tuple[str, str], ...]:
    """Pairs of what is said and the polite reply.

    Args:
        held_out: Give the few that are never trained on, instead of the others.
    """
    table = _HELD_OUT if held_out else _TALK
    return tuple((prompt, reply) for reply, prompts in table.items() for prompt in prompts)
