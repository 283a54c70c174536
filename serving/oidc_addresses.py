"""To which addresses a secret may be sent. Pure; knows nothing of what is there."""

from urllib.parse import urlsplit

from serving.auth import is_loopback


def is_confidential(url: object) -> bool:
    """Whether nobody on the way reads what is sent there: TLS, or this machine's own loopback."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
