"""What the constrained-decoding library is asked for, and when it is loaded."""

import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from feedback.errors import Invalid
from serving.engines.structured import Structures


def test_a_tokenizer_that_is_no_bytes_is_refused() -> None:
    words = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="[UNK]")
    with pytest.raises(Invalid, match="tokenizer") as caught:
        Structures(tokenizer, {1}).compile("json_object", None)
    assert caught.value.param == "response_format"


def test_the_library_is_loaded_when_the_first_grammar_is_asked_for() -> None:
    code = "import sys, serving.engines.structured; assert 'llguidance' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
