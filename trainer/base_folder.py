"""Where the base model lies, what identifies it, and how many threads may work on it.

Shared by everything that loads it, trainer and engine alike. Knows nothing of torch, of adapters or
of what the model is used for.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feedback.errors import HeedError, Invalid
from trainer import faults, hardware

STARTER = "starter"
"""The name of the tiny model that comes with Heed."""

_PARTS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "*.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
)
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
_BIN = ("*.bin", "*.bin.index.json")
"""Weights in torch's own format, which transformers reads where there are no safetensors."""
_NEEDED = {
    "config.json": ("config.json",),
    "weights (model.safetensors or pytorch_model.bin)": ("*.safetensors", "*.bin"),
    "tokenizer (tokenizer.json or tokenizer.model)": ("tokenizer*", "vocab*", "*.model"),
}
"""What a folder must have some file of, by the name that people are told."""
_MOST_CHARACTERS = 300
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_BLOCK_BYTES = 1 << 20


def resolve(base_model: str) -> Path:
    """Find the folder of a base model, fetching it where it is named by a hub id.

    Args:
        base_model: ``starter``, a folder, or a hub id such as ``owner/name``.

    Raises:
        Invalid: there is no such folder, or the hub id cannot be had (``HF_HUB_OFFLINE`` is
            honoured); says what was tried.
    """
    if base_model == STARTER:
        return _starter()
    folder = Path(base_model).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(base_model) or folder.exists():
        raise Invalid(
            f"The base model {base_model!r} is neither 'starter', nor a folder that exists "
            f"(looked at {folder.absolute()}), nor a hub id of the form owner/name. Set base_model "
            "to one of these.",
            param="base_model",
        )
    return _from_hub(base_model)


def check(folder: Path) -> None:
    """Look whether a folder has all that a model needs, before anything is loaded.

    Raises:
        Invalid: says what is missing.
    """
    missing = [what for what, parts in _NEEDED.items() if not any(_files(folder, *parts))]
    if missing:
        raise _no_model(folder, "it has " + " and ".join(f"no {what}" for what in missing))


@contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Raise whatever a library says of a file that it cannot use as the error that names the folder.

    Args:
        folder: of the base model.
        what: is read within, as people call it.

    Raises:
        Invalid: with the library's words.
    """
    try:
        yield
    except HeedError:
        raise
    except Exception as fault:  # about a damaged file libraries raise whatever they like
        if faults.is_out_of_memory(fault):
            raise
        words = " ".join(str(fault).split())[:_MOST_CHARACTERS].rstrip(". ")
        why = f"its {what} cannot be read ({type(fault).__name__}: {words})"
        raise _no_model(folder, why) from fault


def base_hash(folder: Path) -> str:
    """SHA-256 (hex) over the names and contents of weights, configs, tokenizer and template.

    Args:
        folder: where the base model lies. Read in blocks; a large model takes seconds.
    """
    whole = hashlib.sha256()
    for name in sorted({file.name for file in _files(folder, *_PARTS)} | _bin_names(folder)):
        content = hashlib.sha256()
        with (folder / name).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                content.update(block)
        # The digest has a fixed width, so that no two lists of files spell the same bytes.
        whole.update(name.encode() + b"\0" + content.digest())
    return whole.hexdigest()


def weights_bytes(folder: Path) -> int:
    """Size of the weights in a base model's folder, as they are stored."""
    names = {file.name for file in _files(folder, "*.safetensors")} | _bin_names(folder)
    return sum((folder / name).stat().st_size for name in names)


def threads(requested: int | None) -> int:
    """CPU threads to compute with: as many as requested, else the cores this process may use."""
    return hardware.cores() if requested is None else max(1, requested)


def _no_model(folder: Path, why: str) -> Invalid:
    return Invalid(
        f"{folder} is not a Hugging Face causal model that can be used: {why}. Fetch "
        "or copy it again, or set trainer.base_model to a folder with config.json, weights and the "
        "tokenizer of a model made for chat, to the hub id of such a model, or to 'starter'.",
        param="base_model",
    )


def _files(folder: Path, *parts: str) -> Iterator[Path]:
    return (file for part in parts for file in folder.glob(part) if file.is_file())


def _bin_names(folder: Path) -> set[str]:
    """Names of the files of weights that are no safetensors; none where nobody reads them."""
    if any(_files(folder, *_SAFETENSORS)):
        return set()
    return {file.name for file in _files(folder, *_BIN)}


def _starter() -> Path:
    from trainer.starter.model import path

    try:
        return path()
    except FileNotFoundError as error:
        raise Invalid(
            f"The starter model did not come with this installation: {error}. Reinstall Heed, or "
            "set base_model to a folder or a hub id.",
            param="base_model",
        ) from error


def _from_hub(hub_id: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=list(_PARTS)))
        if any(_files(folder, *_SAFETENSORS)):
            return folder
        return Path(snapshot_download(hub_id, allow_patterns=[*_PARTS, *_BIN]))
    # OSError covers both a failed connection and files that were never fetched before.
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        why = str(error).splitlines()[0] if str(error) else "no detail"
        offline = " HF_HUB_OFFLINE is set, so only what was fetched before can be used."
        raise Invalid(
            f"The base model {hub_id!r} is no folder here and could not be had from the hub "
            f"({type(error).__name__}: {why}).{offline if constants.HF_HUB_OFFLINE else ''} Fetch "
            f"it once with `hf download {hub_id}`, or set base_model to a folder that holds it.",
            param="base_model",
        ) from error
