"""People are known by keyed hashes: whoever reads the database learns no name from it.

HMAC-SHA-256 (RFC 2104) under a key that lies beside the database, not in it. The key's id is
stored with each person, so that the key can be rotated: the file then holds the older keys below
the one in use, so that whoever was known under one of them can still be found, and forgotten.
"""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from feedback.durable import staged_secret, sync
from feedback.errors import Invalid

KEY_FILE = "people.key"
SECRET_BYTES = 32
_KEY = re.compile(rf"[0-9a-f]{{{2 * SECRET_BYTES}}}")


@dataclass(frozen=True)
class PeopleKey:
    """The secret under which user names are hashed, and those that were in use before it."""

    secret: bytes
    older: tuple["PeopleKey", ...] = ()

    @property
    def id(self) -> str:
        """Names the key without giving it away."""
        return hashlib.sha256(b"heed people key id" + self.secret).hexdigest()[:12]

    def person_id(self, user: str) -> str:
        """Return the keyed hash (``per_`` and 32 hex digits) of a user name as the client sent it."""
        # Half a surrogate pair is refused with everything else that cannot be kept, not here.
        name = user.encode(errors="surrogatepass")
        return "per_" + hmac.digest(self.secret, name, "sha256").hex()[:32]

    def person_ids(self, user: str) -> tuple[str, ...]:
        """Return every keyed hash that a user name has had, the present one first."""
        return tuple(key.person_id(user) for key in (self, *self.older))

    def traceable(self, user: str) -> tuple[str, ...]:
        """Return the keyed hashes under which somebody may be on record.

        Args:
            user: a name as clients send it, an API key's id (who sends no name speaks as the key),
                or a keyed hash as reviewers see it.
        """
        named = [*self.person_ids(f"user:{user}"), *self.person_ids(f"key:{user}")]
        return (*named, user) if re.fullmatch(r"per_[0-9a-f]{32}", user) else tuple(named)


def people_key(data_dir: Path) -> PeopleKey:
    """Read the key, or make it (mode 0600) where there is none.

    Raises:
        Invalid: the file holds no key.
    """
    path = data_dir / KEY_FILE
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        fresh = _fresh(data_dir, [])
        try:
            os.link(fresh, path)  # atomic, and never overwrites a key that another process made
            sync(data_dir)  # a power cut must not leave people's hashes without their key
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return _read(path)


def rotate(data_dir: Path) -> PeopleKey:
    """Put a fresh key before those that there are. Servers take it up when they are started again.

    People are somebody new from then on: their account's age starts again, and a vote of theirs
    from before cannot be replaced by one from after. Their names could be guessed from old rows
    by whoever has an old key, for as long as those rows are kept.

    Raises:
        Invalid: the file holds no key.
    """
    people_key(data_dir)
    path = data_dir / KEY_FILE
    fresh = _fresh(data_dir, path.read_text().split())
    os.replace(fresh, path)
    sync(data_dir)
    return _read(path)


def _fresh(data_dir: Path, older: list[str]) -> Path:
    lines = [secrets.token_hex(SECRET_BYTES), *older]
    return staged_secret(data_dir / KEY_FILE, "\n".join(lines))


def _read(path: Path) -> PeopleKey:
    lines = path.read_text().split()
    if not lines or not all(_KEY.fullmatch(line) for line in lines):
        raise Invalid(
            f"{path} holds no key ({2 * SECRET_BYTES} hex digits a line). Restore it from a "
            "backup; under a new one, everybody would be somebody else."
        )
    current, *older = (PeopleKey(bytes.fromhex(line)) for line in lines)
    return PeopleKey(current.secret, tuple(older))
