"""Having the disk keep what was written. Knows nothing of what it is."""

import os
import secrets
from pathlib import Path


def sync(path: Path) -> None:
    """Return once a file's content, or the names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def staged_secret(path: Path, content: str) -> Path:
    """Write a secret beside the file that it is for, for its owner alone and on the disk.

    Returns:
        The staged file; whoever links or renames it to `path` removes it.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fresh.touch(mode=0o600)
    with fresh.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return fresh
