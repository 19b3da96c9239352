"""The serial lines of the Pi back-end on pseudo-terminals, through real pyserial: receiver and dock hint."""

from __future__ import annotations

import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pibench.hands import GGA, HELLO, PINS, Header, Wire, wait, wire
from pynmeagps import NMEAMessage
from pyubx2 import GET, UBXMessage

from hal.errors import HalUnavailable
from hal.hint import HINT_FILE, Bay, Hello, State, decode, encode
from hal.interfaces import ClockReading, ClockTrust, Fix
from hal.pi.dock_link import PiDockLink
from hal.pi.gnss import FIX_FOR_S, UERE_M, PiPositioning, instant_of_fix
from hal.pi.hint import HintChannel
from hal.posix import PosixClock
from hal.serial_line import SerialLine
from tools.dock.hint import HintResponder

SECOND = 1_000_000_000
BAY = Bay("dock-1", 3, "10.66.0.1", 7443)


@pytest.fixture
def cable(tmp_path: Path, stack: ExitStack) -> Wire:
    return stack.enter_context(wire(tmp_path / "tty"))


def open_line(device: Path) -> SerialLine:
    return SerialLine(device, 115_200, timeout_s=0.05)


# The line.


def test_a_line_that_is_unplugged_comes_back(cable: Wire) -> None:
    line = open_line(cable.name)
    assert line.read() == b""
    cable.let_go()
    cable.send(b"first")
    assert wait(line.read) == b"first"
    cable.unplug()
    wait(lambda: not line.read() and not line.is_open)
    assert "no data" in line.trouble or "Input/output" in line.trouble
    assert line.write(b"lost") is False
    cable.plug()
    wait(lambda: line.read() == b"" and line.is_open)
    assert line.trouble == ""
    assert line.write(b"answer") is True
    assert cable.receive() == b"answer"
    line.close()
    assert line.read() == b""


def test_a_line_is_nobody_elses(cable: Wire) -> None:
    first, second = open_line(cable.name), open_line(cable.name)
    first.read()
    second.read()
    assert first.is_open
    assert not second.is_open
    assert "lock" in second.trouble
    first.close()
    wait(lambda: second.read() == b"" and second.is_open)
    second.close()


def test_an_absent_line_is_asked_for_ever_less_often(tmp_path: Path) -> None:
    line = open_line(tmp_path / "absent")
    pauses = []
    for _ in range(4):
        line._again_s = 0.0
        line.read()
        pauses.append(line._pause_s)
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]
    line.interrupt()
    began = time.monotonic()
    line.read()
    assert time.monotonic() - began < 0.04
    line.close()


def test_without_pyserial_there_is_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "serial", None)
    with pytest.raises(HalUnavailable, match="install pyserial"):
        open_line(tmp_path / "tty")


# The receiver.


@pytest.fixture
def receiver(cable: Wire, clock: PosixClock, stack: ExitStack) -> PiPositioning:
    opened = PiPositioning(open_line(cable.name), clock)
    stack.callback(opened.close)
    wait(lambda: cable.send(GGA) or opened.fix())
    return opened


def nmea(kind: str, **fields: object) -> bytes:
    return NMEAMessage("GN", kind, GET, **fields).serialize()


def gga(quality: int = 1, hdop: float = 0.9, lat: float = 51.5) -> bytes:
    t = time.strftime("%H%M%S.00", time.gmtime())
    side = "N" if lat >= 0 else "S"
    return nmea("GGA", time=t, lat=lat, NS=side, lon=-0.12, EW="W", quality=quality, numSV=9, HDOP=hdop, alt=10, sep=40)


def pvt(lat: float = 10.5, lon: float = 20.25, h_acc_mm: int = 2500, fix_type: int = 3, ok: int = 1) -> bytes:
    fields = {"lat": lat, "lon": lon, "hAcc": h_acc_mm, "fixType": fix_type, "gnssFixOk": ok, "validTime": 1, "hour": 10}
    return UBXMessage("NAV", "NAV-PVT", GET, **fields).serialize()


def test_gga_is_a_fix(receiver: PiPositioning, cable: Wire, clock: PosixClock) -> None:
    """Accuracy is HDOP times what one range is worth."""
    before = clock.now()
    cable.send(gga(hdop=1.2, lat=-33.25))
    fix = wait(lambda: (found := receiver.fix()) and found.latitude < 0 and found)
    assert (fix.latitude, fix.longitude) == (pytest.approx(-33.25), pytest.approx(-0.12))
    assert fix.accuracy_m == pytest.approx(1.2 * UERE_M)
    assert before.boottime_ns <= fix.at.boottime_ns <= clock.now().boottime_ns


def test_nav_pvt_is_a_better_fix(receiver: PiPositioning, cable: Wire) -> None:
    """It knows its own accuracy, so GGA between two of them is not asked."""
    cable.send(pvt() + gga())
    fix = wait(lambda: (found := receiver.fix()) and found.latitude == pytest.approx(10.5) and found)
    assert (fix.longitude, fix.accuracy_m) == (pytest.approx(20.25), pytest.approx(2.5))
    cable.send(gga() + nmea("RMC", status="V"))
    cable.send(pvt(lat=11))
    wait(lambda: (found := receiver.fix()) and found.latitude == pytest.approx(11))


@pytest.mark.parametrize(
    "message",
    [gga(quality=0), gga(quality=6), gga(quality=8), nmea("RMC", status="V"), pvt(ok=0), pvt(fix_type=0), pvt(fix_type=5), pvt(h_acc_mm=0)],
    ids=["no-fix", "dead-reckoning", "simulator", "warning", "not-ok", "no-position", "time-only", "no-accuracy"],
)
def test_a_receiver_without_a_fix_has_none(receiver: PiPositioning, cable: Wire, message: bytes) -> None:
    """At once, and not when the last one is too old."""
    cable.send(gga())
    wait(receiver.fix)
    cable.send(message)
    wait(lambda: receiver.fix() is None, FIX_FOR_S / 2)


def test_an_old_fix_is_none(receiver: PiPositioning, clock: PosixClock, monkeypatch: pytest.MonkeyPatch) -> None:
    found = receiver.fix()
    assert found is not None
    later = found.at.boottime_ns + round((FIX_FOR_S + 0.1) * SECOND)
    monkeypatch.setattr(clock, "now", lambda: ClockReading(later, found.at.wall_ns, ClockTrust.UNSET))
    assert receiver.fix() is None


def test_a_receiver_that_is_unplugged_comes_back(receiver: PiPositioning, cable: Wire) -> None:
    cable.unplug()
    wait(lambda: not receiver._line.is_open)
    cable.plug()
    wait(lambda: cable.send(gga(lat=60)) or ((found := receiver.fix()) and found.latitude == pytest.approx(60)))


NEARLY = st.sampled_from(
    [GGA[:20], GGA, b"$GNGGA,,,,,,,,,,,,,,*", b"\xb5\x62\x01\x07\xff\xff", b"\xb5\x62\x01\x07\x5c\x00", pvt()[:50], b"$", b"\n"]
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.binary(max_size=200), NEARLY), max_size=8))
def test_hostile_bytes_never_raise(receiver: PiPositioning, cable: Wire, pieces: list[bytes]) -> None:
    """Whatever the wire carries: the thread lives, and the next good messages make a fix within a second or two."""
    thread = receiver._loop._thread
    for piece in pieces:
        cable.send(piece)
    wait(lambda: cable.send(b"\r\n" + gga(lat=45)) or ((found := receiver.fix()) and found.latitude == pytest.approx(45)), 5)
    assert receiver._loop._thread is thread
    cable.send(b"\r\n" + gga(lat=46))
    wait(lambda: (found := receiver.fix()) and found.latitude == pytest.approx(46))


def test_a_length_that_lies_swallows_nothing(receiver: PiPositioning, cable: Wire) -> None:
    """A header that announces 64 KiB: what follows it is read all the same."""
    cable.send(b"\xb5\x62\x01\x07\xff\xff" + gga(lat=48))
    wait(lambda: (found := receiver.fix()) and found.latitude == pytest.approx(48))


def test_a_checksum_that_fits_makes_nonsense_no_fix(receiver: PiPositioning, cable: Wire) -> None:
    """A receiver's lie in its own format: values out of the world, fields that are no numbers, text that is no text."""
    thread = receiver._loop._thread
    body = b"\x01\x07\x5c\x00" + struct.pack("<92s", b"\xff" * 92)
    sums = [0, 0]
    for byte in body:
        sums[0] = sums[0] + byte & 0xFF
        sums[1] = sums[1] + sums[0] & 0xFF
    cable.send(b"\xb5\x62" + body + bytes(sums))
    for text in (b"GNGGA,xx,yy,N,zz,W,1,09,nan,1,M,1,M,,", b"GNGGA,101530.00,9999.0,N,99999.0,W,1,09,inf,1,M,1,M,,", b"GN\xff\xfe,1"):
        total = 0
        for byte in text:
            total ^= byte
        cable.send(b"$" + text + b"*%02X\r\n" % total)
    wait(lambda: cable.send(gga(lat=47)) or ((found := receiver.fix()) and found.latitude == pytest.approx(47)), 8)
    assert receiver._loop._thread is thread


DAY = 86_400 * SECOND


@pytest.mark.parametrize(
    ("trust", "age_ns", "moved"),
    [
        (ClockTrust.SYNCED, 150_000_000, True),
        (ClockTrust.SYNCED, 0, True),
        (ClockTrust.SYNCED, 3 * SECOND, False),
        (ClockTrust.SYNCED, -SECOND, False),
        (ClockTrust.RTC, 150_000_000, False),
        (ClockTrust.UNSET, 150_000_000, False),
    ],
)
def test_the_instant_of_a_fix(trust: ClockTrust, age_ns: int, moved: bool) -> None:
    """With a disciplined clock the epoch that the message names, over midnight too; else its arrival."""
    for day_part in (12 * 3600 * SECOND, 50_000_000):
        arrived = ClockReading(1000 * SECOND, 20_000 * DAY + day_part, trust)
        at = instant_of_fix(arrived, (arrived.wall_ns - age_ns) % DAY)
        assert at.boottime_ns == arrived.boottime_ns - (age_ns if moved else 0)
        assert at.wall_ns - at.boottime_ns == arrived.wall_ns - arrived.boottime_ns
    assert instant_of_fix(arrived, None) == arrived


def test_a_fix_of_a_receiver_that_is_absent(tmp_path: Path, clock: PosixClock) -> None:
    opened = PiPositioning(open_line(tmp_path / "absent"), clock)
    fix: Fix | None = opened.fix()
    assert fix is None
    opened.close()


# The dock's hint.


class CableOfTwo:
    """Both ends of one cable: what one pseudo-terminal says, the other hears."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        import os
        import select
        import threading

        self.ends = [stack.enter_context(wire(directory / name)) for name in ("ttyGS0", "ttyACM0")]
        self.stopping = threading.Event()

        def carry() -> None:
            masters = [end.master for end in self.ends]
            while not self.stopping.is_set():
                for ready in select.select(masters, [], [], 0.02)[0]:
                    data = os.read(ready, 4096)
                    os.write(masters[1 - masters.index(ready)], data)

        thread = threading.Thread(target=carry, daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(self.stopping.set)


def channel(device: Path, directory: Path, stack: ExitStack, hello=lambda: HELLO) -> HintChannel:
    opened = HintChannel(open_line(device), directory / HINT_FILE, hello, hello_every_s=0.2)
    stack.callback(opened.close)
    return opened


def test_the_bay_is_kept_while_docked(tmp_path: Path, stack: ExitStack) -> None:
    """Camera's class and dock's class over one cable: HELLO is answered by BAY, kept where dock sync looks, and gone once undocked."""
    cable = CableOfTwo(tmp_path, stack)
    said: list[str] = []
    dock = HintResponder(open_line(cable.ends[1].name), BAY, said.append)
    stack.callback(dock.close)
    camera = channel(cable.ends[0].name, tmp_path, stack)
    file = tmp_path / HINT_FILE
    camera.set_docked(True)
    wait(file.exists)
    assert decode(file.read_bytes()) == BAY
    assert file.stat().st_mode & 0o777 == 0o640
    camera.set_state("sync requested")
    wait(lambda: "bay 3: sync requested" in said)
    assert "bay 3: camera T-1, firmware 0.1.0, boot 7" in said
    assert "bay 3: docked" in said
    camera.set_docked(False)
    wait(lambda: not file.exists())
    camera.set_docked(True)
    wait(file.exists)


def test_nothing_is_said_or_heard_while_undocked(tmp_path: Path, cable: Wire, stack: ExitStack) -> None:
    camera = channel(cable.name, tmp_path, stack)
    camera.set_state("sync requested")
    time.sleep(0.1)
    assert not camera._line.is_open
    cable.send(encode(BAY))
    camera.set_docked(True)
    wait(lambda: camera._line.is_open)
    heard = wait(lambda: cable.receive())
    assert heard.startswith(encode(HELLO))
    # What was said before the contact closed is not believed: opening the port threw it away.
    assert not (tmp_path / HINT_FILE).exists()


def test_a_dock_that_says_nothing_is_greeted_again(tmp_path: Path, cable: Wire, stack: ExitStack) -> None:
    camera = channel(cable.name, tmp_path, stack)
    camera.set_docked(True)
    heard = b""
    while heard.count(encode(HELLO)) < 2:
        heard += cable.receive()
    assert heard.count(encode(State("docked"))) == 1


def test_a_bay_whose_cable_came_out_and_in_again(tmp_path: Path, cable: Wire, stack: ExitStack) -> None:
    """The dock's adapter disappears; the contact holds. It is opened again, and the bay answers again."""
    said: list[str] = []
    dock = HintResponder(open_line(cable.name), BAY, said.append)
    stack.callback(dock.close)
    wait(lambda: dock._line.is_open)
    cable.unplug()
    wait(lambda: any(str(cable.name) in line for line in said))
    cable.plug()
    wait(lambda: dock._line.is_open)
    cable.send(encode(Hello("T-2", "0.1.0", 1)))
    assert cable.receive() == encode(BAY)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.binary(max_size=300), st.sampled_from([encode(BAY)[:30], encode(HELLO), b"*", b"{}*0000"])), max_size=8))
def test_garbage_on_the_hint_channel_changes_nothing(tmp_path: Path, cable: Wire, pieces: list[bytes]) -> None:
    with ExitStack() as stack:
        camera = channel(cable.name, tmp_path, stack)
        camera.set_docked(True)
        wait(lambda: camera._line.is_open)
        thread = camera._loop._thread
        for piece in pieces:
            cable.send(piece.replace(encode(BAY), b""))
        assert not (tmp_path / HINT_FILE).exists()
        wait(lambda: cable.send(b"\n" + encode(BAY)) or (tmp_path / HINT_FILE).exists())
        assert camera._loop._thread is thread


def test_an_identity_that_fits_no_line_is_not_said(tmp_path: Path, cable: Wire, stack: ExitStack) -> None:
    camera = channel(cable.name, tmp_path, stack, lambda: Hello("x" * 200, "1", 1))
    camera.set_docked(True)
    assert wait(cable.receive) == encode(State("docked"))


def test_a_run_directory_that_takes_no_file_costs_the_hint_alone(tmp_path: Path, cable: Wire, stack: ExitStack) -> None:
    camera = channel(cable.name, tmp_path / "absent", stack)
    camera.set_docked(True)
    wait(lambda: camera._line.is_open)
    thread = camera._loop._thread
    cable.send(encode(BAY))
    time.sleep(0.2)
    assert camera._loop._thread is thread


def test_the_contact_opens_and_closes_the_channel(tmp_path: Path, cable: Wire, stack: ExitStack) -> None:
    header = Header(tmp_path)
    gpio = header.open()
    stack.callback(gpio.close)
    clock = PosixClock()
    stack.callback(clock.close)
    hint = channel(cable.name, tmp_path, stack)
    link = PiDockLink(gpio, header.board, clock, tmp_path / "sync-request", hint)
    stack.callback(link.close)
    header.contact(PINS.dock_contact, True, bounce=True)
    wait(link.docked)
    cable.send(encode(BAY)) if wait(lambda: hint._line.is_open) else None
    wait((tmp_path / HINT_FILE).exists)
    link.request_sync()
    assert (tmp_path / "sync-request").exists()
    heard = b""
    while encode(State("sync requested")) not in heard:
        heard += cable.receive()
    header.contact(PINS.dock_contact, False)
    wait(lambda: not (tmp_path / HINT_FILE).exists())
    assert not link.docked()
