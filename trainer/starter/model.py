"""Where the bundled weights lie. It knows nothing of torch or of what is in them."""

from importlib.resources import files
from pathlib import Path


def path() -> Path:
    """The folder to load with ``from_pretrained``; its weights are float16.

    Raises:
        FileNotFoundError: The installation lacks the weights.
    """
    folder = Path(str(files("trainer.starter"))) / "weights"
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"no starter weights in {folder}; build them with "
            f"`python -m trainer.starter.build --out {folder}`"
        )
    return folder
