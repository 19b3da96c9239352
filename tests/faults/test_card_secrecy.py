"""What a thief can read off the raw card: no picture, no sound, no officer, no place and no content key, whatever happened to the camera.

Searched is every byte that was ever written to the card, so also what was removed, renamed over or torn since, and all names. The
needles come from the ports (camera, microphone, positioning), from the provisioned officer, and from whatever was given to the cipher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from camerabench import Bench

from firmware.devices import Devices
from firmware.evidence import primitives
from firmware.evidence.findings import Verdict
from hal.directory_volume import DirectoryFile
from hal.interfaces import AudioFrame, ButtonName, Picture
from hal.sim.camera import SimCamera
from hal.sim.card import Loss
from hal.sim.microphone import SimMicrophone
from hal.sim.volume import SimVolume

RECORD = ButtonName.RECORD
NEEDLE_BYTES = 16
OFFICER = b"officer 4711"


def needles(data: bytes, most: int = 2) -> set[bytes]:
    """Up to ``most`` pieces of ``data``, spread over it, that are no padding and no header that all files share."""
    found: set[bytes] = set()
    for start in range(len(data) // (2 * most), len(data) - NEEDLE_BYTES, max(1, len(data) // most)):
        piece = data[start : start + NEEDLE_BYTES]
        if len(set(piece)) >= NEEDLE_BYTES // 2:
            found.add(piece)
    return found


@dataclass
class Spy:
    """What entered the camera, what was ciphered, and every byte and name that reached the card."""

    written: bytearray = field(default_factory=bytearray)
    seen: dict[str, set[bytes]] = field(default_factory=lambda: {"officer": {OFFICER, OFFICER.decode().encode("utf-16-le")}})
    sealed: set[bytes] = field(default_factory=set)
    public: bytes = b""
    """The camera's certificates: open in the ledger's directory, and repeated in the stream's SEIs."""

    def note(self, what: str, pieces: Iterable[bytes]) -> None:
        self.seen.setdefault(what, set()).update(pieces)

    def raw(self, card: Path) -> bytes:
        """The history of the card and its present state, names included."""
        now = [str(one.relative_to(card)).encode() + b"\n" + (one.read_bytes() if one.is_file() else b"") for one in card.rglob("*")]
        return bytes(self.written) + b"".join(now)

    def leaks(self, raw: bytes) -> list[str]:
        return [
            f"{what}: {piece.hex()}" for what, pieces in self.seen.items() for piece in pieces if piece in raw and piece not in self.public
        ]


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy()
    write, start_camera, start_microphone = DirectoryFile.write, SimCamera.start, SimMicrophone.start
    create, rename, small, place, encrypt = (
        SimVolume.create,
        SimVolume.rename,
        SimCamera.low_resolution,
        Devices.place,
        primitives.gcm_encrypt,
    )

    def spied_write(self, data):
        spy.written += bytes(data)
        write(self, data)

    def spied_camera(self, video, sink):
        deliver = sink.picture

        def picture(one: Picture) -> None:
            spy.note("picture", needles(one.data))
            deliver(one)

        monkeypatch.setattr(sink, "picture", picture)
        start_camera(self, video, sink)

    def spied_microphone(self, sink):
        deliver = sink.audio

        def audio(one: AudioFrame) -> None:
            spy.note("sound", needles(one.data, 1))
            deliver(one)

        monkeypatch.setattr(sink, "audio", audio)
        start_microphone(self, sink)

    def spied_small(self):
        one = small(self)
        if one is not None:
            spy.note("grey picture", needles(one.data))
        return one

    def spied_place(self):
        found = place(self)
        if found is not None:
            spy.note("place", (str(found[key]).encode() for key in ("latitude_e7", "longitude_e7")))
        return found

    def spied_encrypt(key, nonce, parts):
        spy.note("content key", [bytes(key), bytes(key).hex().encode()])
        plain = b"".join(bytes(one) for one in parts)
        if not plain.startswith(b"{"):  # notes tell times, as the open manifest does: of them the officer and the place are searched
            spy.note("fragment", needles(plain, 4))
        sealed, tag = encrypt(key, nonce, parts)
        spy.sealed |= needles(sealed)
        return sealed, tag

    def spied_create(self, name):
        spy.written += name.encode() + b"\n"
        return create(self, name)

    def spied_rename(self, old, new):
        spy.written += new.encode() + b"\n"
        rename(self, old, new)

    for owner, name, spied in (
        (DirectoryFile, "write", spied_write),
        (SimCamera, "start", spied_camera),
        (SimCamera, "low_resolution", spied_small),
        (SimMicrophone, "start", spied_microphone),
        (Devices, "place", spied_place),
        (SimVolume, "create", spied_create),
        (SimVolume, "rename", spied_rename),
        (primitives, "gcm_encrypt", spied_encrypt),
    ):
        monkeypatch.setattr(owner, name, spied)
    return spy


def shift(make_bench: Callable) -> Bench:
    bench = make_bench(pre_event=3)
    for begin in (5, 16):
        bench.world.double_press(bench.at(begin))
        bench.world.press(RECORD, bench.at(begin + 2))
        bench.world.press(RECORD, bench.at(begin + 4), hold_ms=3300)
    bench.run(30)
    return bench


def crash(make_bench: Callable) -> Bench:
    """Power lost in mid-recording on a card that keeps all of what it was told, and in the boot after it; then an orderly life."""
    bench = make_bench(pre_event=3)
    bench.world.card.loss = Loss.KEEP_ALL
    bench.world.double_press(bench.at(5))
    bench.world.cut_power(bench.at(8.34))
    bench.run_into_cut()
    bench.world.double_press(bench.at(15))
    bench.world.cut_power(bench.at(16.7))
    bench.run_into_cut()
    bench.run(30)
    return bench


def full_card(make_bench: Callable) -> Bench:
    bench = make_bench(pre_event=1, changes={"reserve_bytes = 67108864": "reserve_bytes = 16777216"})
    bench.options["capacity_bytes"] = 16_777_216 + 700_000
    bench.world.double_press(bench.at(3))
    bench.run(40)
    return bench


@pytest.mark.parametrize("life", [shift, crash, full_card])
def test_nothing_readable_ever_reaches_the_card(make_bench: Callable, spy: Spy, life: Callable) -> None:
    """BWC-POL-33, BWC-POL-11: pictures and sound, also those before the press and those never kept, officer, place, content keys."""
    bench = life(make_bench)
    assert bench.recordings()
    raw, spy.public = spy.raw(bench.card), (bench.card / "ledger" / "device.pem").read_bytes()
    assert {"picture", "sound", "place", "officer", "content key", "fragment"} <= set(spy.seen)
    assert all(spy.seen.values())
    assert spy.leaks(raw) == []
    # The same search finds what is there: the sealed bytes, and one piece of each kind once it is planted.
    assert sum(piece in raw for piece in spy.sealed) > len(spy.sealed) // 2
    for what, pieces in spy.seen.items():
        planted = min(pieces)
        assert f"{what}: {planted.hex()}" in spy.leaks(raw[:1000] + planted + raw[-1000:])
    assert bench.verify().verdict is Verdict.AUTHENTIC
