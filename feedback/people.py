"""People are known by keyed hashes: whoever reads the database learns no name from it.

HMAC-SHA-256 (RFC 2104) under a key that lies beside the database, not in it. The key's id is
stored with each person, so that the key can be rotated.
"""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from feedback.errors import Invalid

KEY_FILE = "people.key"
SECRET_BYTES = 32


@dataclass(frozen=True)
class PeopleKey:
    """The secret under which user names are hashed."""

    secret: bytes

    @property
    def id(self) -> str:
        """Names the key without giving it away."""
        return hashlib.sha256(b"heed people key id" + self.secret).hexdigest()[:12]

    def person_id(self, user: str) -> str:
        """Return the keyed hash (``per_`` and 32 hex digits) of a user name as the client sent it."""
        # Half a surrogate pair is refused with everything else that cannot be kept, not here.
        name = user.encode(errors="surrogatepass")
        return "per_" + hmac.new(self.secret, name, hashlib.sha256).hexdigest()[:32]


def people_key(data_dir: Path) -> PeopleKey:
    """Read the key, or make it (mode 0600) where there is none.

    Raises:
        Invalid: the file holds no key.
    """
    path = data_dir / KEY_FILE
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        fresh = data_dir / f".{KEY_FILE}.{secrets.token_hex(8)}"
        fresh.touch(mode=0o600)
        with fresh.open("w") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # atomic, and never overwrites a key that another process made
            _sync(data_dir)  # a power cut must not leave people's hashes without their key
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    content = path.read_text().strip()
    if not re.fullmatch(rf"[0-9a-f]{{{2 * SECRET_BYTES}}}", content):
        raise Invalid(
            f"{path} holds no key ({2 * SECRET_BYTES} hex digits). Restore it from a backup; under "
            "a new one, everybody would be somebody else."
        )
    return PeopleKey(bytes.fromhex(content))


def _sync(folder: Path) -> None:
    """Have the disk keep the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
