"""People are known by keyed hashes: whoever reads the database learns no name from it.

HMAC-SHA-256 (RFC 2104) under a key that lies beside the database, not in it. The key's id is
stored with each person, so that the key can be rotated.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

KEY_FILE = "people.key"


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
        return "per_" + hmac.new(self.secret, user.encode(), hashlib.sha256).hexdigest()[:32]


def people_key(data_dir: Path) -> PeopleKey:
    """Read the key, or make it (mode 0600) where there is none."""
    path = data_dir / KEY_FILE
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        fresh = data_dir / f".{KEY_FILE}.{os.getpid()}"
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(32))
        try:
            os.link(fresh, path)  # atomic, and never overwrites a key that another process made
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return PeopleKey(bytes.fromhex(path.read_text().strip()))
