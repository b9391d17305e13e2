"""Server process: a socket, uvicorn, and messages on stderr."""

import ipaddress
import socket
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.progress import say
from surrogate_nas.serve.app import make_app
from surrogate_nas.serve.connections import BoundedProtocol
from surrogate_nas.serve.live import Live

LAST_PORT = 65535
MOST_CONNECTIONS = 256
SECONDS_TO_END = 3


def serve(study: Path, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve a study until Ctrl-C. The study is only read.

    Args:
        study: folder of the study.
        host: name or address of this machine to listen on; requests for another host are refused.
        port: port to listen on; 0 for any free port.

    Raises:
        InputError: if there is no study, no such host, or no such port.
        JobError: if the port is in use.
    """
    with _listening(host, port) as listener, suppress(KeyboardInterrupt):
        live = Live(study)
        try:
            _warn(host)
            say(f"serving {study} at {_url(host, listener)} (stop with Ctrl-C)")
            uvicorn.Server(configuration(make_app(live, host))).run(sockets=[listener])
        finally:
            live.close()


def configuration(app: ASGIApp) -> uvicorn.Config:
    """Configuration of uvicorn for an application."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=SECONDS_TO_END,
    )


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port <= LAST_PORT:
        raise InputError(f"port {port} is not between 0 and {LAST_PORT}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise InputError(f"host {host!r} is not a name or address of this machine, such as 127.0.0.1") from None
    try:
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise JobError(f"cannot listen on port {port} of {host}: {error.strerror}; choose another --port") from None
    # Connections inherit this option. Without it, a body waits 40 ms for the acknowledgement of its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _warn(host: str) -> None:
    """Warn if other machines can reach the server."""
    if host == "localhost":
        return
    try:
        own = ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = False
    if not own:
        say(f"warning: everyone who can reach {host} can read this study; there is no password")
