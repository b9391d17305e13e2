"""Checks of every request (host, size, strict JSON), and security headers of every response."""

import asyncio
import re
from collections.abc import Iterator, Mapping

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from surrogate_nas.foundation import strict_json
from surrogate_nas.serve.snapshot import as_json

MOST_BYTES = 2**20
"""Largest allowed length of a request's body, in bytes."""
MOST_DISCARDED = 16 * 2**20
"""Largest number of bytes of a longer body that are read and discarded, so that its sender reads the response."""
MOST_DIGITS = 12
BODY_SECONDS = 10.0
"""Longest wait for a body; `connections` bounds the wait for the rest of a request."""
DEEPEST = 8
"""Largest allowed nesting of a body."""
LONGEST_COMPLAINT = 300
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:\d{1,5})?")
PAGE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
NO_EMBEDDING = "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    "content-security-policy": PAGE_POLICY + NO_EMBEDDING,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class RefusedRequest(Exception):
    """A request that is refused, with the HTTP status of the response."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def refusal(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    """Response with the reason of an error, on one line."""
    line = " ".join(why.split())
    short = line if len(line) <= LONGEST_COMPLAINT else f"{line[:LONGEST_COMPLAINT]}…"
    return Response(as_json({"error": short}), status, headers, "application/json")


class Gate:
    """ASGI middleware that passes on only complete and valid requests."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        """Accept requests for `host`, on which the server listens, and for loopback names."""
        self._app, self._hosts = app, {*LOOPBACK, f"[{host}]" if ":" in host else host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        send = _with_headers(send)
        try:
            self._require_host([v.decode("latin-1") for name, v in scope["headers"] if name == b"host"])
            body = await _body(headers, receive)
            if scope["method"] == "POST":
                require_json(headers.get("content-type", ""), body)
        except RefusedRequest as refused:
            await refusal(refused.status, str(refused))(scope, receive, send)
        except ConnectionError:
            return
        else:
            await self._app(scope, _again(body, receive), send)

    def _require_host(self, hosts: list[str]) -> None:
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None or match[1].lower() not in self._hosts:
            allowed = ", ".join(sorted(self._hosts))
            raise RefusedRequest(400, f"host {', '.join(hosts) or 'none'} is not served here; allowed: {allowed}")


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes:
    """Read the whole body; at most `MOST_BYTES` are kept in memory.

    Raises:
        RefusedRequest: if the body is too long or too slow.
        ConnectionError: if the client has disconnected.
    """
    too_long, declared = (
        RefusedRequest(413, f"the body is longer than {MOST_BYTES:,} bytes"),
        headers.get("content-length", "0"),
    )
    if not (declared.isascii() and declared.isdigit()):
        raise RefusedRequest(400, f"content-length {declared[:40]!r} is not a number")
    if len(declared) > MOST_DIGITS or int(declared) > MOST_DISCARDED:
        raise too_long
    content, length = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more and length <= MOST_DISCARDED:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError
                part, more = message.get("body", b""), message.get("more_body", False)
                length += len(part)
                if length <= MOST_BYTES:
                    content += part
    except TimeoutError:
        raise RefusedRequest(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None
    if length > MOST_BYTES:
        raise too_long
    return bytes(content)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that first returns a body that has already been read, then further messages."""
    is_delivered = False

    async def again() -> Message:
        nonlocal is_delivered
        if is_delivered:
            return await receive()
        is_delivered = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    """A `send` that adds missing security headers to a response."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name for name, _ in message["headers"]}
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message["headers"], *(h for h in ours if h[0] not in names)]}
        await send(message)

    return with_headers


def require_json(content_type: str, body: bytes) -> None:
    """Raise `RefusedRequest` unless a body is JSON in UTF-8, with distinct names and finite numbers."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise RefusedRequest(415, f"content type must be application/json, got {content_type[:40] or 'none'}")
    try:
        document = strict_json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusedRequest(400, f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise RefusedRequest(400, f"the body is nested more than {DEEPEST} levels deep") from None
    except ValueError as error:
        raise RefusedRequest(400, f"the body is not JSON: {error}") from None
    if any(depth > DEEPEST for depth in _depths(document)):
        raise RefusedRequest(400, f"the body is nested more than {DEEPEST} levels deep")


def _depths(document: object) -> Iterator[int]:
    """Depths of all lists and objects, computed without recursion."""
    waiting = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        if inner is not None:
            yield depth
            waiting += [(v, depth + 1) for v in inner if isinstance(v, dict | list)]
