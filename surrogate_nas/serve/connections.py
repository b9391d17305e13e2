"""Connections that nobody can hold for long: a request has to arrive, and its response to be read, in time."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Longest wait for the head of a request, and for a client that reads nothing of a response."""


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it. A connection is closed when no request is complete up to its body within
    `HEAD_SECONDS` of the connection or of the last response, and when a response is not read for as long."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Start to wait for the next request."""
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._unsent = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._look)

    def _look(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if unsent and unsent == self._unsent:
            self.transport.abort()
        elif unsent or is_answering:
            self._wait()
        else:
            self.transport.close()
