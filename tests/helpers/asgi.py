"""A client that asks an application without a network, for tests that need not wait."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

import httpx
from starlette.types import ASGIApp

HERE = "http://127.0.0.1:8000"


class Client:
    """Asks one thing after the other; what fails inside the application is its answer of 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=HERE)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Like `httpx.Client.request`."""
        return self._loop.run_until_complete(self._client.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """A body whose length nobody says."""
    for part in parts:
        yield part
