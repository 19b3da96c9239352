"""The page's server: what it answers, and to which request. Loopback, guarded (``guard.py``); nothing is fetched from anywhere.

GET ``/`` is the page, ``/static/…`` its files, ``/events`` what happens (server-sent events), ``/picture`` the newest still,
``/recordings/<id>.zip`` and ``.mp4`` evidence. POST ``/act`` does something, ``/verify`` judges, ``/scenario`` makes a file of what was
done, ``/new`` begins anew with another camera. What computes runs in threads, so that events go on.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from firmware.errors import OathcamError, UsageError
from hal.errors import HalError
from tools.scenario import Scenario
from tools.simweb.evidence import judged, opened_film, sealed_archive
from tools.simweb.guard import Guard
from tools.simweb.leaves import leaf_row, recording_rows
from tools.simweb.machine_svg import draw, ways_out
from tools.simweb.replay import replayed
from tools.simweb.session import Session

HERE = Path(__file__).resolve().parent
_LOOK_S = 0.1
_LEAVES_AT_ONCE = 400
_PICTURE_WAIT_S, _PICTURE_LOOK_S = 2.0, 0.03


class Page:
    """The page's state: the session that is on, and the one after it."""

    def __init__(self, directory: Path, head: Scenario, source: str) -> None:
        self._directory, self._head, self._source = directory, head, source
        self._number = 0
        self._lock = threading.Lock()
        self.token = secrets.token_urlsafe(24)
        self.port = 0
        self.ending = False
        self.session = self._make()

    def begin_anew(self) -> None:
        """Another agency, another camera; the old one is ended in order."""
        with self._lock:
            before, self.session = self.session, self._make()
            before.close()

    def close(self) -> None:
        self.ending = True
        with self._lock:
            self.session.close()

    @property
    def number(self) -> int:
        """Of the session; grows with every new one."""
        return self._number

    def _make(self) -> Session:
        directory = self._directory / f"camera-{self._number + 1}"
        directory.mkdir()
        session = Session(directory, self._head, self._source)
        self._number += 1
        return session

    def html(self) -> str:
        environment = Environment(
            loader=PackageLoader("tools.simweb", "static"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        policy = self.session.policy
        return environment.get_template("index.html.j2").render(
            token=self.token,
            machine=draw(),
            ways=ways_out(),
            policy=policy,
            profile=self._head.profile,
            hold_ms=policy.activation.hold_to_stop_ms,
            shape=f"{policy.video.width} / {policy.video.height}",
        )


def make_app(page: Page) -> Guard:
    """The guarded application."""
    handlers = _Handlers(page)
    routes = [
        Route("/", handlers.index),
        Route("/events", handlers.events),
        Route("/picture", handlers.picture),
        Route("/recordings/{recording}.zip", handlers.sealed),
        Route("/recordings/{recording}.mp4", handlers.film),
        Route("/act", handlers.act, methods=["POST"]),
        Route("/verify", handlers.verify, methods=["POST"]),
        Route("/scenario", handlers.scenario, methods=["POST"]),
        Route("/new", handlers.new, methods=["POST"]),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    app = Starlette(routes=routes, exception_handlers={OathcamError: _refused, HalError: _refused})
    return Guard(app, page.token, lambda: page.port)


def _refused(request: Request, error: Exception) -> Response:
    """What a command would say in one line, with its remedy."""
    status = 400 if isinstance(error, UsageError) else 409
    return JSONResponse({"error": str(error), "remedy": getattr(error, "remedy", "")}, status)


async def _body(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(await request.body())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError("expected a JSON object")
    return value


def _word(value: dict[str, Any], name: str, longest: int) -> str:
    text = value.get(name, "")
    if not isinstance(text, str) or len(text) > longest or not text.isprintable():
        raise UsageError(f"{name}: expected at most {longest} printable characters")
    return text


class _Handlers:
    def __init__(self, page: Page) -> None:
        self._page = page

    async def index(self, request: Request) -> Response:
        return HTMLResponse(self._page.html())

    async def events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def picture(self, request: Request) -> Response:
        """The first still that is not number ``after``, as soon as there is one; 204 when there is none for a while."""
        after = request.query_params.get("after", "0")
        tries = round(_PICTURE_WAIT_S / _PICTURE_LOOK_S)
        while tries and not self._page.ending:
            found = self._page.session.viewer.newest(int(after) if after.isdecimal() and len(after) < 16 else 0)
            if found is not None:
                return Response(found[1], media_type="image/jpeg", headers={"x-number": str(found[0])})
            await asyncio.sleep(_PICTURE_LOOK_S)
            tries -= 1
        return Response(status_code=204)

    async def act(self, request: Request) -> Response:
        """What was done since the last request, in order."""
        done = (await _body(request)).get("actions")
        if not isinstance(done, list) or not all(isinstance(one, dict) for one in done):
            raise UsageError("expected a list of actions")
        for one in done:
            finger, fields = one.get("finger_ms"), one.get("fields", {})
            if not isinstance(fields, dict) or not (finger is None or type(finger) in (int, float)):
                raise UsageError("expected 'do', 'fields' and perhaps 'finger_ms'")
            self._page.session.act(one.get("do"), fields, finger)
        return JSONResponse({})

    async def verify(self, request: Request) -> Response:
        recording = _word(await _body(request), "recording", 100)
        return JSONResponse(await _aside(lambda: judged(self._page.session, recording)))

    async def sealed(self, request: Request) -> Response:
        name = request.path_params["recording"]
        data = await _aside(lambda: sealed_archive(self._page.session, name))
        return _download(data, f"{name}.sealed.zip", "application/zip")

    async def film(self, request: Request) -> Response:
        name = request.path_params["recording"]
        data = await _aside(lambda: opened_film(self._page.session, name))
        return _download(data, f"{name}.mp4", "video/mp4")

    async def scenario(self, request: Request) -> Response:
        body = await _body(request)
        name, description = _word(body, "name", 100), _word(body, "description", 2000)

        def make() -> dict[str, Any]:
            text, found = replayed(self._page.session.scenario(name, description or "Recorded on the page."))
            return {"file": f"{name}.toml", "text": text, "found": found}

        return JSONResponse(await _aside(make))

    async def new(self, request: Request) -> Response:
        await _aside(self._page.begin_anew)
        return JSONResponse({})

    async def _stream(self) -> AsyncIterator[str]:
        """Everything once, then what changes; another session begins with everything again."""
        told: dict[str, Any] = {}
        number = sent_leaves = 0
        sent_cues = self._page.session.cues_played
        while not self._page.ending:
            session, key = self._page.session, (self._page.number, self._page.session.ledger.generation)
            session.ledger.poll()
            if told.get("key") != key:
                told = {"key": key}
                sent_leaves = 0
                sent_cues = 0 if number and number != key[0] else sent_cues
                number = key[0]
                yield _event("begin", {"session": number})
            for name, value in (("state", session.snapshot()), ("clock", session.clock())):
                if told.get(name) != value:
                    told[name] = value
                    yield _event(name, value)
            for cue in session.cues(sent_cues):
                sent_cues += 1
                yield _event("cue", cue)
            fresh = session.ledger.entries[sent_leaves : sent_leaves + _LEAVES_AT_ONCE]
            if fresh:
                sent_leaves += len(fresh)
                yield _event("leaves", [leaf_row(one) for one in fresh])
                yield _event("recordings", [asdict(one) for one in recording_rows(session.ledger.entries)])
            await asyncio.sleep(_LOOK_S)


async def _aside(job: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(job)


def _event(name: str, value: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


def _download(data: bytes, name: str, kind: str) -> Response:
    return Response(data, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})
