"""A transport that sends the head of an answer and its body together. Knows no HTTP.

uvicorn writes them one after the other, and each write is a call to the system, a packet, and a
client that wakes up: of a small answer, a sixth of what it costs.
"""

import asyncio
from typing import Any


class OneWrite:
    """Holds a first write until there is a second, or until the loop goes round; else the transport.

    Args:
        transport: what it writes to.
        loop: on which all of it happens.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes, after those that were held."""
        if self._held:
            held, self._held = self._held, b""
            self.transport.write(held + data)
        else:
            self._held = data
            self._loop.call_soon(self._let_go)

    def close(self) -> None:
        """Send what is held, and close once all of it is gone."""
        self._let_go()
        self.transport.close()

    def _let_go(self) -> None:
        held, self._held = self._held, b""
        if held and not self.transport.is_closing():
            self.transport.write(held)
