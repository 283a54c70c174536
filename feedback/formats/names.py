"""The names of the formats. Imports nothing, so that a command line can offer them at once."""

from typing import Literal

In = Literal[
    "heed",
    "openwebui",
    "trl",
    "openai",
    "langfuse",
    "chainlit",
    "sharegpt",
    "langsmith",
    "argilla",
    "mlflow",
    "tensorzero",
    "gradio",
]
Out = Literal["heed", "trl", "openai", "sharegpt", "csv"]
