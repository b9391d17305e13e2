"""Nobody can hold a server's connections: what is half-sent or not read is closed, in time."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from threading import Thread

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from surrogate_nas.serve import connections, gate
from surrogate_nas.serve.gate import Gate
from surrogate_nas.serve.server import MOST_CONNECTIONS, configuration

SOON, PATIENCE = 0.4, 20.0
"""Seconds: the time limits here, and the longest wait for what has to happen."""
LARGE = 64 << 20
GET = b"GET /state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
HALVES = {"nothing": b"", "a line": GET[:-20], "all but an end": GET[:-2]}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(4 * SOON)
    await Response(b" " * LARGE if scope["path"] == "/large" else b"here")(scope, receive, send)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Port of a server with short time limits."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", SOON)
    monkeypatch.setattr(gate, "BODY_SECONDS", SOON)
    config = configuration(Gate(application, "127.0.0.1"))
    config.lifespan = "off"
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=2 * MOST_CONNECTIONS) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(PATIENCE)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def answer(port: int, request: bytes = GET) -> bytes:
    """The first line of an answer."""
    with connected(port) as connection:
        connection.sendall(request)
        return connection.recv(1000).partition(b"\r\n")[0]


def until_closed(connection: socket.socket) -> bytes:
    """All that is received before the server closes the connection."""
    content = bytearray()
    while part := connection.recv(1 << 20):
        content += part
    return bytes(content)


@pytest.mark.parametrize("half", HALVES)
def test_half_sent_requests_block_the_server_for_no_longer_than_the_limit(port: int, half: str) -> None:
    assert answer(port).endswith(b"200 OK")
    with ExitStack() as stack:
        held = [stack.enter_context(connected(port)) for _ in range(MOST_CONNECTIONS)]
        for connection in held:
            connection.sendall(HALVES[half])
        end = time.monotonic() + PATIENCE
        while not (line := answer(port)).endswith(b"200 OK"):
            assert b" 503 " in line
            assert time.monotonic() < end
            time.sleep(SOON / 4)
        assert [until_closed(connection) for connection in held] == [b""] * MOST_CONNECTIONS


def test_a_request_that_trickles_is_closed(port: int) -> None:
    with connected(port) as connection:
        start = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() < start + PATIENCE:
                connection.sendall(b"G")
                time.sleep(SOON / 4)
        assert time.monotonic() < start + PATIENCE


def test_a_body_that_does_not_come_is_refused_and_its_connection_closed(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(POST)
        time.sleep(2 * SOON)
        connection.sendall(b" ")  # which would stop a timer of uvicorn's
        assert b" 408 " in until_closed(connection)


def test_a_response_that_nobody_reads_is_dropped(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(GET.replace(b"/state", b"/large"))
        time.sleep(6 * SOON)
        with suppress(ConnectionError):
            assert len(until_closed(connection)) < LARGE


def test_who_asks_again_in_time_and_who_waits_for_an_answer_is_served(port: int) -> None:
    with connected(port) as connection:
        for _ in range(4):
            connection.sendall(GET)
            received = b""
            while not received.endswith(b"here"):
                received += connection.recv(1000)
            assert b"200 OK" in received
            time.sleep(SOON / 2)
    assert answer(port, GET.replace(b"/state", b"/slow")).endswith(b"200 OK")
