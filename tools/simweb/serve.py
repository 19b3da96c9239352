"""``oathcam sim --web``: binds the page's server to loopback, says where it is, runs until Ctrl-C."""

from __future__ import annotations

import ipaddress
import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn

from firmware.errors import UsageError
from tools.console import output
from tools.scenario import Scenario
from tools.simweb.app import Page, make_app

_GRACE_S = 3


class _Server(uvicorn.Server):
    """Ends the page's long answers when a signal asks for the end."""

    page: Page

    def handle_exit(self, sig: int, frame: object) -> None:
        self.page.ending = True
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


def loopback(host: str) -> str:
    """The address to bind; ``UsageError`` for one that another machine could reach."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        inside = ipaddress.ip_address(address).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise UsageError(
            f"the page is served on this machine only, not on {host!r}", remedy="Leave --host out; use ssh -L to see it elsewhere."
        )
    return address


def serve(host: str, port: int, profile: str, source: str, officer: str, directory: Path) -> None:
    """Serve until a signal. ``directory`` is filled with what the cameras leave."""
    address = loopback(host)
    signal.signal(signal.SIGTERM, _interrupt)
    listening = _bind(address, port)
    head = Scenario("page", "Recorded on the page.", 1.0, profile=profile, officer=officer, picture="policy")
    with listening:
        page = Page(directory, head, source)
        page.port = listening.getsockname()[1]
        shown = f"[{address}]" if ":" in address else address
        output.print(f"the virtual camera: http://{shown}:{page.port}/", highlight=False, soft_wrap=True)
        output.print("Ctrl-C ends it.", highlight=False)
        try:
            options = {"log_level": "error", "lifespan": "off", "timeout_graceful_shutdown": _GRACE_S, "ws": "none", "server_header": False}
            server = _Server(uvicorn.Config(make_app(page), **options))  # type: ignore[arg-type]
            server.page = page
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listening])
        finally:
            page.close()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """What asks for the end: the server ends its answers first, and raises the signal again."""
    raise KeyboardInterrupt


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
        listening.listen(64)
    except OSError as error:
        listening.close()
        raise UsageError(f"cannot listen on {address}:{port}: {error.strerror}", remedy="Choose another --port, or 0 for any.") from None
    return listening
