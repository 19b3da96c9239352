"""Asks every part of the camera whether it works, when it leaves the dock (BWC-POL-46).

Responsible for the asking: progress of the sensor, a moment of sound that nobody keeps, a file written, read back and removed, a
signature made and verified, lamps read back. Refuses to judge (``machine.selftest``). It waits for nothing and takes nothing: a press
meanwhile starts a recording at once, and the microphone is the recording's. Called from the loop; card and key answer from the writer's
thread, behind whatever waits there.

Limits: the subject lamp is driven only while pictures are kept (BWC-POL-13), so a dark one that is broken is found by the recording.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.custodian import Custodian
from firmware.devices import Devices
from firmware.errors import OathcamError
from firmware.evidence.primitives import sha256, verify_digest
from firmware.machine import events as ev
from firmware.machine.machine import Model
from firmware.machine.selftest import Part, SelfTest, verdict
from firmware.machine.states import State
from firmware.status import Ahead
from firmware.storage import durable
from firmware.timebase import Timestamp, Trust
from hal.errors import HalError
from hal.interfaces import AudioFrame, Hal, LampName

PROBE = "sync/selftest"
"""Outside of vault and ledger. What a power cut leaves of it is replaced by the next test."""
PROBE_BYTES = 16_384
_PURPOSE = b"oathcam self-test\n"
"""In front of what is signed: the signature fits nothing else."""


class _Ear:
    """Hears that there is sound, and keeps none of it."""

    def __init__(self) -> None:
        self.heard_ns = 0

    def audio(self, frame: AudioFrame) -> None:
        self.heard_ns = frame.captured.boottime_ns

    def microphone_fault(self, reason: str) -> None:
        """Silence says it."""


class SelfTesting:
    """Of one run; at most one test at a time."""

    def __init__(self, hal: Hal, public_key: ec.EllipticCurvePublicKey, devices: Devices, custodian: Custodian) -> None:
        self._hal = hal
        self._public_key = public_key
        self._devices = devices
        self._custodian = custodian
        self._test: SelfTest | None = None
        self._began: Timestamp | None = None
        self._stored: dict[Part, bool] = {}
        self._ear: _Ear | None = None

    def begin(self, now: Timestamp) -> None:
        """The camera was taken out of the dock. Card and key are asked before anything else is written of that: what they refuse would
        stand in the way of the question."""
        self._test, self._began = SelfTest(now.boottime_ns), now
        stored: dict[Part, bool] = {}
        self._stored = stored
        self._ear = None
        nonce = self._hal.entropy.random_bytes(32)
        self._custodian.submit_errand(lambda: self._ask_writer(nonce, stored))
        self._custodian.kick()

    def end(self) -> None:
        """The test is over, or is none any more: back in the dock."""
        if self._ear is not None and self._devices.microphone_since_ns is None:
            self._hal.microphone.stop()
        self._test = self._began = self._ear = None

    def look(self, model: Model, ahead: Ahead, heard_ns: int, now: Timestamp) -> ev.SelfTested | None:
        """Four times a second. ``heard_ns``: boot time of the newest sound that the recorder took. The result, once."""
        test, began = self._test, self._began
        if test is None or began is None:
            return None
        heard_ns = max(heard_ns, self._listen(model).heard_ns)
        self._test = test = test.with_answers({**self._stored, **self._answers(model, ahead, heard_ns, now)})
        failed = verdict(test, now.boottime_ns)
        if failed is None:
            return None
        self.end()
        return ev.SelfTested(now, failed, now.since(began))

    def _answers(self, model: Model, ahead: Ahead, heard_ns: int, now: Timestamp) -> dict[Part, bool | None]:
        assert self._began is not None
        began_ns, rules = self._began.boottime_ns, model.policy
        shift = rules.battery.shift_minutes
        unheard = not rules.audio.enabled or model.muted
        return {
            Part.SENSOR: self._devices.stages().encoder_ns >= began_ns or None,
            Part.MICROPHONE: unheard or heard_ns >= began_ns or None,
            Part.CLOCK: now.trust is not Trust.UNSET,
            Part.BATTERY: True if not shift else None if ahead.cell is None else ahead.cell >= shift,
            Part.ROOM: not model.full and model.room_warning == 0,
            Part.LAMPS: self._lamps_lit(model) or None,
        }

    def _listen(self, model: Model) -> _Ear:
        """From the first look on, if the microphone is off and may be tried: what is muted stays so, and a recording has it already."""
        if self._ear is None:
            self._ear = _Ear()
            if model.policy.audio.enabled and model.state is not State.RECORDING and self._devices.microphone_since_ns is None:
                try:
                    self._hal.microphone.stop()
                    self._hal.microphone.start(self._ear)
                except HalError:
                    pass  # it is silent, which is its answer
        return self._ear

    def _lamps_lit(self, model: Model) -> bool:
        if model.shown is None:
            return False
        try:
            found = [self._hal.indicators.read_back(name).value for name in (LampName.SUBJECT, LampName.STATUS)]
        except HalError:
            return False
        return found == [lamp.colour.value for lamp in model.shown]

    def _ask_writer(self, nonce: bytes, stored: dict[Part, bool]) -> None:
        """Card and key, on the writer's thread. Raises nothing: what fails here is an answer and is not tried again."""
        stored[Part.CARD] = self._card_keeps(nonce * (PROBE_BYTES // len(nonce)))
        digest = sha256(_PURPOSE + nonce)
        try:
            verify_digest(self._public_key, digest, self._hal.key_store.sign_digest(digest), "self-test")
            stored[Part.KEY] = True
        except (HalError, OathcamError):
            stored[Part.KEY] = False

    def _card_keeps(self, data: bytes) -> bool:
        volume = self._hal.volume
        try:
            durable.write_file(volume, PROBE, data)
            same = volume.read(PROBE, fresh=True) == data
            volume.remove(PROBE)
        except HalError:
            return False
        return same
