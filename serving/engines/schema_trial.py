"""A stranger's JSON schema, tried out in a process that may die of it.

A few hundred bytes of schema can keep the compiler busy for minutes, fill the memory, or overflow
its stack, which no exception handler survives. So each new schema is compiled and followed for a
few steps in a child with limits first. Run as a script, and therefore on its own: it imports
llguidance and nothing of ours, and knows nothing of tokenizers, models or errors' names.
"""

import random
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

_CPU_SECONDS = 2
_WALL_SECONDS = 30  # Only for a machine so busy that two seconds of work take this long.
_MEMORY_BYTES = 1 << 30
# A quarter of what a thread of the server has, so that what fits here cannot overflow there.
_STACK_BYTES = 2 << 20
_STEPS = 200
_NO_ANSWER = "no answer can satisfy it"
_LARK = "start:"

# A schema may carry options of its own (`x-guidance`); these come last and win. One break or space
# in a row is enough to read by, while a model that drifts could otherwise emit blanks for ever.
OPTIONS: "JsonCompileOptions" = {
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_flexible": True,
    "whitespace_pattern": r" |\n {0,24}|\n\t{0,8}",
    "lenient": False,
    "coerce_one_of": False,
    "json_allow_general_unicode_escapes": False,
}


def begin(vocabulary: "LLTokenizer", form: str) -> "LLMatcher":
    """A matcher at the start of an answer; whether it is of any use, `is_error` says.

    Args:
        form: a schema as JSON text, or a grammar in Lark's notation that begins with its start.

    Raises:
        ValueError: the text is neither.
    """
    from llguidance import LLMatcher, LLParserLimits

    # A tenth of the library's own limit of states (1 to 2 kB each, for every answer in flight) and
    # half of that on a step's work, which holds up everyone else's next token.
    limits = LLParserLimits(
        max_lexer_states=25_000,
        step_lexer_fuel=100_000,
        step_max_items=20_000,
        verbose_errors=False,
    )
    if form.startswith(_LARK):
        grammar = LLMatcher.grammar_from_lark(form)
    else:
        grammar = LLMatcher.grammar_from_json_schema(form, overrides=OPTIONS)
    return LLMatcher(vocabulary, grammar, log_level=0, limits=limits)


def why_not(form: str) -> str | None:
    """Try a form in a child process; blocks for about a tenth of a second, at worst longer.

    Args:
        form: as in `begin`.

    Returns:
        None where it can be followed, else what is wrong with it.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-I", __file__],
            input=form.encode(),
            capture_output=True,
            timeout=_WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it takes too long to compile"
    if child.returncode < 0:
        return "it takes too much time or memory to compile"
    if child.returncode:
        return f"trying it out failed with status {child.returncode}"
    return child.stdout.decode(errors="replace") or None


def _try(form: str) -> str:
    """Compile, then follow one answer a little way, a byte at a time."""
    from llguidance import LLTokenizer

    try:
        matcher = begin(LLTokenizer("byte"), form)
    except ValueError as error:
        return str(error)
    allowed: list[int] = []
    chance = random.Random(0)
    for _ in range(_STEPS):
        if matcher.is_stopped():  # at the end of the answer, or by an error
            break
        bias = matcher.compute_logit_bias()
        allowed = [token for token, weight in enumerate(bias) if weight]
        if not allowed:
            break
        matcher.consume_token(chance.choice(allowed))
    reason = matcher.get_error()
    # The library's word for a grammar in which the first token already cannot be chosen.
    stuck = reason.startswith("NoExtension") or not (reason or allowed)
    return _NO_ANSWER if stuck else reason


def _main() -> None:
    import resource  # not everywhere

    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.stack_size(_STACK_BYTES)
    reasons: list[str] = []
    trial = threading.Thread(target=lambda: reasons.append(_try(sys.stdin.buffer.read().decode())))
    trial.start()
    trial.join()
    sys.stdout.write(reasons[0])


if __name__ == "__main__":
    _main()
