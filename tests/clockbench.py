"""A dock that tells a simulated camera the time, and clocks that cannot be set. Used beside :mod:`camerabench`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from camerabench import Bench
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.custody.checkpoint import cosign, signed_note, split_log
from firmware.evidence import pki
from hal.errors import DeviceFault
from hal.interfaces import Clock, ClockReading, ClockTrust, Timer
from hal.sim.timeline import SECOND
from hal.sim.world import World


@dataclass
class Dock:
    """Cosigns what the camera published, two seconds after it asked, by a clock that is ``wrong_s`` off."""

    bench: Bench
    wrong_s: float = 0.0
    delay_s: float = 2.0
    name: str = "dock"
    answers: bool = True

    def __post_init__(self) -> None:
        self.seed = bytes.fromhex((self.bench.agency.directory / "dock" / "witness.key").read_text().strip())
        self.bench.world.on_sync_request = self._asked

    def _asked(self) -> None:
        if self.answers:
            self.bench.world.after(round(self.delay_s * SECOND), lambda: self.leave(self.note()))

    def note(self, change: Callable[[bytes], bytes] = lambda text: text) -> bytes:
        """The newest checkpoint, signed by the camera, cosigned; ``change`` makes another text of it, which the camera never signed."""
        public = pki.public_key(pki.load_certificates_pem((self.bench.card / "ledger/device.pem").read_bytes())[0])
        origin = f"oathcam/{self.bench.config.serial}"
        newest = split_log((self.bench.card / "ledger/log").read_bytes(), origin)[1][-1]
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        text = change(newest.checkpoint.text())
        seconds = self.bench.world.true_wall_ns() // SECOND + round(self.wrong_s)
        return signed_note(text, origin, spki, newest.signature) + cosign(text, self.name, seconds, self.seed)

    def leave(self, note: bytes) -> None:
        (self.bench.card / "sync" / "checkpoint").write_bytes(note)


class Dying(Clock):
    """The clock of a camera whose power goes in the moment before it would be set."""

    def __init__(self, real: Clock, world: World) -> None:
        self._real, self._world = real, world

    def now(self) -> ClockReading:
        return self._real.now()

    def call_at(self, boottime_ns: int, callback: Callable[[], None]) -> Timer:
        return self._real.call_at(boottime_ns, callback)

    def set_wall(self, wall_ns: int, trust: ClockTrust, uncertainty_ns: int) -> str:
        self._world.lose_power()
        raise AssertionError("the dead set no clock")


class Refusing(Dying):
    """The clock of a service without the right to set it."""

    def set_wall(self, wall_ns: int, trust: ClockTrust, uncertainty_ns: int) -> str:
        raise DeviceFault("cannot set the wall clock: Operation not permitted; give the service CAP_SYS_TIME")
