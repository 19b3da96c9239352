"""Who may talk to the page's server: a page that this server gave out, on this machine, and nobody else.

It listens on loopback only. A name that was re-bound to a loopback address has another Host; a page of somebody else has another Origin;
what changes anything is a POST with the token that stands in our page, which no other origin can read. Other users of the same machine can
open the page: it is a simulator with throwaway keys, and no place for secrets.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_HEADER = "x-oathcam-token"  # noqa: S105 - the header's name
MAX_BODY_BYTES = 65_536
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware around everything. ``port`` is told once it is known."""

    def __init__(self, app: App, token: str, port: Callable[[], int]) -> None:
        self._app = app
        self._token = token.encode()
        self._port = port

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        why = self.refusal(scope["method"], scope["path"], Headers(scope=scope))

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if why:
            await PlainTextResponse(f"refused: {why}\n", 403)(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def refusal(self, method: str, path: str, headers: Headers) -> str:
        """Why a request is not answered; empty when it is."""
        hosts = {f"[{name}]:{self._port()}" if ":" in name else f"{name}:{self._port()}" for name in LOOPBACK}
        host = headers.get("host", "")
        if host not in hosts:
            return "another Host"
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return "another Origin"
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and path != "/":
            return "another site"
        if method in ("GET", "HEAD"):
            return ""
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self._token):
            return "no token"
        if not headers.get("content-length", "").isdigit() or int(headers["content-length"]) > MAX_BODY_BYTES:
            return "a body of no known length, or too long"
        return "" if method == "POST" else "another method"
