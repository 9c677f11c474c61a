"""The pages: `/health` for everybody on this address, `/api/status` for whoever holds the token. All of it reads only.

Host and Origin are checked, so that a web page from elsewhere that a browser shows cannot ask here under a name of its
own (DNS rebinding), and no other origin is ever allowed to read an answer.
"""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec
from tornado import httpserver, web

from rain.server.http.status import ServerStatus

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_HEADERS = {
    "Content-Type": "application/json; charset=UTF-8",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the pages need from the server."""

    #: Called for each request.
    status: Callable[[], ServerStatus]
    token: str
    #: Where a user of this machine finds the token.
    token_file: str
    #: Names under which this server may be asked for, besides the address of the connection itself.
    names: frozenset[str]


def allowed_names(http_host: str) -> frozenset[str]:
    """The names for a server that listens on this host."""
    names = LOOPBACK_NAMES | {http_host.lower()}
    return names if http_host in LOOPBACK_NAMES else names | {socket.gethostname().lower()}


def start_http(listener: socket.socket, facts: Facts) -> httpserver.HTTPServer:
    """Answer on a listening socket, in the running loop; `stop()` and `await close_all_connections()` end it."""
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    application = web.Application(
        [("/health", Health), ("/api/status", Status)],
        default_handler_class=NotFound,
        facts=facts,
    )
    server = httpserver.HTTPServer(
        application,
        max_header_size=16 << 10,
        max_body_size=16 << 10,
        max_buffer_size=64 << 10,
        idle_connection_timeout=60,
        body_timeout=10,
    )
    server.add_socket(listener)
    return server


class Page(web.RequestHandler):
    """What all pages have in common: who may ask, and errors as JSON."""

    SUPPORTED_METHODS = ("GET", "HEAD")

    def set_default_headers(self) -> None:
        """No page may be framed, guessed at, kept, or read by other origins."""
        self.clear_header("Server")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse whoever asks under a foreign name or on behalf of a foreign page."""
        host = self.request.host_name.strip("[]").lower()
        if host not in self.facts.names and host != self._own_address():
            self.refuse(
                HTTPStatus.FORBIDDEN,
                f"this server is not called {host!r}: ask for it by its address, such as 127.0.0.1, or as localhost",
            )
            return
        origin = self.request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != self.request.host.lower():
            self.refuse(HTTPStatus.FORBIDDEN, "pages of other origins may not ask here")

    @property
    def facts(self) -> Facts:
        """The server's facts."""
        facts: Facts = self.settings["facts"]
        return facts

    def answer(self, content: object) -> None:
        """Finish with a JSON document."""
        self.finish(msgspec.json.encode(content))

    def refuse(self, status: HTTPStatus, reason: str) -> None:
        """Finish with an error that says what to do."""
        self.set_status(status.value)
        self.answer({"error": reason})

    def head(self) -> None:
        """Like GET; tornado leaves the body out."""
        self.get()

    def write_error(self, status_code: int, **_: Any) -> None:
        """Errors that tornado itself raises, such as a method that is not supported."""
        self.answer({"error": HTTPStatus(status_code).phrase})

    def log_exception(self, *args: Any) -> None:
        """Refusals are the asker's concern; only our own mistakes are logged."""
        if not isinstance(args[1], web.HTTPError):
            super().log_exception(*args)

    def _own_address(self) -> str | None:
        stream = getattr(self.request.connection, "stream", None)
        if stream is None or stream.socket is None:
            return None
        address: str = stream.socket.getsockname()[0]
        return address


class Health(Page):
    """Says that the loop turns, and nothing else."""

    def get(self) -> None:
        """Without a token."""
        self.answer({"status": "ok"})


class Status(Page):
    """Workers, sessions and tasks."""

    def get(self) -> None:
        """With the token only."""
        if hmac.compare_digest(self._token(), self.facts.token.encode()):
            self.answer(self.facts.status())
            return
        self.set_header("WWW-Authenticate", "Bearer")
        self.refuse(
            HTTPStatus.UNAUTHORIZED,
            "this needs the server's token, as `Authorization: Bearer TOKEN` or `X-Rain-Token: TOKEN`. "
            f"It stands as `token` in the access file {self.facts.token_file}, which only the server's user can read",
        )

    def _token(self) -> bytes:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else self.request.headers.get("X-Rain-Token", "")
        return given.encode(errors="surrogateescape")


class NotFound(Page):
    """Every other path."""

    def get(self) -> None:
        """Says what there is."""
        self.refuse(HTTPStatus.NOT_FOUND, "there is no such page; there are /health and /api/status")
