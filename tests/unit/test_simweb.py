"""The page's parts that need no browser: who is answered, what is said, what is drawn, what is shown of the ledger."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.datastructures import Headers

from firmware.custody.checkpoint import read_log
from firmware.custody.entries import KINDS
from firmware.evidence import pki
from firmware.machine import choices
from firmware.machine.indicators import CUES, Counted, count
from firmware.machine.states import State
from firmware.machine.table import TABLE, Target
from firmware.policy.load import parse_policy
from hal.interfaces import Cue
from hal.sim.timeline import MS, SECOND
from tools.diagram import changes
from tools.policies import read_profile
from tools.scenario import Scenario
from tools.simweb import words
from tools.simweb.guard import Guard
from tools.simweb.leaves import LedgerTail, leaf_row, recording_rows
from tools.simweb.machine_svg import draw, ways_out
from tools.simweb.serve import loopback
from tools.simweb.session import Session
from tools.simweb.viewer import Viewer

HOST = {"host": "127.0.0.1:8040"}
TOKEN = "s3cret"


# --- who is answered


@pytest.fixture
def guard() -> Guard:
    async def nothing(scope: object, receive: object, send: object) -> None:
        raise AssertionError("not asked")

    return Guard(nothing, TOKEN, lambda: 8040)


@pytest.mark.parametrize(
    ("method", "path", "headers", "why"),
    [
        ("GET", "/", HOST, ""),
        ("GET", "/", {"host": "localhost:8040"}, ""),
        ("GET", "/", {"host": "[::1]:8040"}, ""),
        ("GET", "/", HOST | {"sec-fetch-site": "cross-site"}, ""),  # a link from elsewhere; what the page holds stays in it
        ("GET", "/events", HOST | {"sec-fetch-site": "cross-site"}, "another site"),
        ("GET", "/picture", HOST | {"sec-fetch-site": "same-site"}, "another site"),
        ("GET", "/", {}, "another Host"),
        ("GET", "/", {"host": "127.0.0.1"}, "another Host"),
        ("GET", "/", {"host": "rebound.example:8040"}, "another Host"),
        ("GET", "/events", HOST | {"origin": "http://localhost:8040"}, "another Origin"),
        ("POST", "/act", HOST | {"content-length": "2"}, "no token"),
        ("POST", "/act", HOST | {"content-length": "2", "x-oathcam-token": TOKEN + "x"}, "no token"),
        ("POST", "/act", HOST | {"content-length": "2", "x-oathcam-token": TOKEN, "origin": "null"}, "another Origin"),
        ("POST", "/act", HOST | {"content-length": "65537", "x-oathcam-token": TOKEN}, "a body of no known length, or too long"),
        ("POST", "/act", HOST | {"transfer-encoding": "chunked", "x-oathcam-token": TOKEN}, "a body of no known length, or too long"),
        ("DELETE", "/act", HOST | {"content-length": "0", "x-oathcam-token": TOKEN}, "another method"),
        ("POST", "/act", HOST | {"content-length": "2", "x-oathcam-token": TOKEN, "origin": "http://127.0.0.1:8040"}, ""),
    ],
)
def test_who_is_answered(guard: Guard, method: str, path: str, headers: dict[str, str], why: str) -> None:
    assert guard.refusal(method, path, Headers(headers)) == why


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1"), ("127.8.8.8", "127.8.8.8")]
)
def test_loopback(host: str, address: str) -> None:
    assert loopback(host) == address


# --- what is said


def test_every_kind_of_leaf_has_its_words() -> None:
    assert words._WORDS.keys() == KINDS.keys()


def test_every_cue_has_a_name() -> None:
    said = [words.cue_name(Cue(cue.tones, cue.pulses)) for cue in CUES.values()]
    assert len(set(said)) == len(CUES)
    assert all(said)
    assert words.cue_name(Cue(((1, 1),))) == ""


def test_a_question_is_shown_while_it_is_asked_and_each_step_is_named() -> None:
    policy = read_profile("default")[0]
    listed = policy.categories.choices
    coming = choices.ask(choices.About.STOP_REASON, listed, 0)
    assert words.question_words(None) is None
    assert words.question_words(coming) is None, "its cue was not played yet"
    asked = choices.tell(coming, 1, policy.answers)
    said = words.question_words(choices.step(choices.step(asked, 2, policy.answers), 3, policy.answers))
    assert said == {"title": "Why was it ended?", "choices": [one.label for one in listed], "place": 1}
    opened = choices.open_by_wearer(choices.About.CATEGORY, listed, 0, policy.answers)
    assert words.question_words(opened) == {"title": "Which category is it?", "choices": said["choices"], "place": -1}
    assert [words.cue_name(count(Counted(place, ""))) for place in (0, 6)] == ["choice 1", "choice 7"]


@pytest.mark.parametrize("state", ["off", *(state.value for state in State)])
def test_every_state_has_a_hint(state: str) -> None:
    assert words.hint(state, read_profile("default")[0]).endswith(".")


def test_hints_follow_the_policy() -> None:
    text = read_profile("doj")[1].replace('mode = "off"', 'mode = "toggle"').replace("hold_to_stop_ms = 3000", "hold_to_stop_ms = 4000")
    said = words.hint("recording", parse_policy(text))
    assert "hold it for 4 s" in said
    assert "confirm" in said
    assert "mutes" in said


# --- what is drawn


def test_the_drawing_has_every_state_and_every_way() -> None:
    """An arrow for each change in the table; the ones that every state has are drawn once."""
    root = ET.fromstring(draw())
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    assert ids >= {f"state-{state.value}" for state in State}
    arrows = {(one.get("data-from"), one.get("data-to")) for one in root.iter() if one.get("data-from")}
    expected = {edge for edge in changes() if edge[1] != State.HALTED.value} | {("any", State.HALTED.value)}
    assert arrows == expected


def test_the_ways_out_are_the_tables() -> None:
    ways = ways_out()
    assert ways.keys() == {state.value for state in State}
    assert {way["to"] for way in ways["ready"]} >= {"recording", "sleeping", Target.REST.value}
    assert all(way["why"] in {row.why for row in TABLE} for state in ways.values() for way in state)
    assert ways["halted"] == []


# --- the ledger, as it grows


def test_the_ledger_is_followed_batch_by_batch(card: Path, tmp_path: Path) -> None:
    """Whatever the pieces in which the file grows, the leaves are those of the whole; a shorter file begins anew."""
    data = (card / "ledger" / "log").read_bytes()
    chain = pki.load_certificates_pem((card / "ledger" / "device.pem").read_bytes())
    whole = read_log(data, "oathcam/SIM-0001", pki.public_key(chain[0])).entries
    log = tmp_path / "ledger" / "log"
    log.parent.mkdir()
    tail = LedgerTail(tmp_path)
    tail.poll()
    assert tail.entries == []
    for end in range(0, len(data) + 97, 97):
        log.write_bytes(data[:end])
        tail.poll()
        assert tail.entries == list(whole[: len(tail.entries)])
    assert (tail.entries, tail.generation) == (list(whole), 0)
    log.write_bytes(data[:2000])
    tail.poll()
    assert tail.generation == 1
    assert 0 < len(tail.entries) < len(whole)


def test_what_is_told_of_recordings(card: Path) -> None:
    tail = LedgerTail(card)
    tail.poll()
    first, second = recording_rows(tail.entries)
    assert (first.recording, first.end, first.place) == ("SIM-0001-000001-0001", "button", "card")
    assert second.seconds > 3
    assert all(leaf_row(entry)["words"] for entry in tail.entries)


# --- the picture


def test_nothing_is_drawn_while_nobody_looks() -> None:
    now = 100.0
    viewer = Viewer(lambda: now)
    grey = np.full((360, 320), 128, np.uint8)
    viewer.show(0, grey)
    assert viewer.newest(0) is None
    viewer.show(1, grey)
    found = viewer.newest(0)
    assert found is not None
    assert found[1].startswith(b"\xff\xd8")
    assert viewer.newest(found[0]) is None
    viewer.show(2, grey)  # too soon after the last
    assert viewer.newest(found[0]) is None
    now += 60
    viewer.show(3, grey)  # nobody has asked for a minute
    assert viewer.newest(found[0]) is None


# --- a finger's edges


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = Session(tmp_path_factory.mktemp("session"), Scenario("x", "x", 1.0))
    yield made
    made.close()


def test_edges_are_as_far_apart_as_the_finger_says(session: Session) -> None:
    """However late a message comes, and never before the edge before it."""
    at = [session._finger(SECOND, 11_000.0)]
    assert at[0] > SECOND  # a little ahead, for what comes late
    at += [session._finger(SECOND, 11_080.0), session._finger(at[0] + 200 * MS, 11_230.0), session._finger(0, 14_800.0)]
    assert [one - at[0] for one in at[1:]] == [80 * MS, 230 * MS, 3800 * MS]
    assert session._finger(0, 14_000.0) == at[3]
    late = at[3] + 9 * SECOND
    assert session._finger(late, 14_100.0) == late
    assert session._finger(late + SECOND, 90_000.0) > late + SECOND


def test_what_is_done_is_noted_at_the_instant_of_the_world(session: Session) -> None:
    session.act("set_battery", {"percent": 50})
    session.act("microphone", {"fault": "unplugged"})
    made = session.scenario("two", "Two actions.")
    assert [action.do for action in made.actions] == ["set_battery", "microphone"]
    assert made.end >= made.actions[1].at >= made.actions[0].at
    assert session.snapshot()["faults"]["microphone"] == "unplugged"
    assert session.snapshot()["battery"]["percent"] == 50


def test_static_files_ask_nobody() -> None:
    """No page of ours fetches anything from elsewhere."""
    folder = Path(words.__file__).parent / "static"
    text = "".join(path.read_text(encoding="utf-8") for path in folder.iterdir())
    assert set(re.findall(r"https?://[^\s\"'`)]+", text)) == {"http://www.w3.org/2000/svg"}
