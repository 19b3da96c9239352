"""The one loop: event in → machine step → effects out.

Responsible for order and for owning all state (house law 7). Refuses to decide: ``firmware.machine`` does. ``handle`` is
synchronous, so that the simulator runs a shift as fast as it can encode; on a device the same loop waits in ``Inbox.get``.

Start-up order keeps everything off the way to the first buffered picture: the camera starts first, then the ledger is read and
the volume recovered, and presses that come meanwhile wait in the inbox.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from firmware.capture import Capture, Intake, PicturesDropped
from firmware.custodian import (
    CheckpointPublished,
    Custodian,
    DeviceTrouble,
    ReceiptAccepted,
    RecordingClosed,
    Released,
    SpoolChecked,
    StorageTrouble,
    StorageWorks,
)
from firmware.devices import Devices, Tick, TimerFired
from firmware.evidence.manifest import Video
from firmware.identity import RecordingContext
from firmware.machine import effects as fx
from firmware.machine import events as ev
from firmware.machine.health import minutes_left
from firmware.machine.machine import Model, initial, step
from firmware.machine.states import Button, Cause, Port, Previous, State
from firmware.policy.model import Policy
from firmware.recorder import BeginOrder, Promise
from firmware.shellclock import stamp
from firmware.storage.vault import recording_id
from firmware.timebase import Timestamp
from hal.errors import HalError
from hal.interfaces import (
    AudioFrame,
    ButtonEdge,
    DockSense,
    Hal,
    Picture,
    PowerState,
)

log = logging.getLogger("oathcamd")

TROUBLE_NS = 1_000_000_000
"""A volume that refuses writes for this long is at fault."""
WRITER_STUCK_NS = 10_000_000_000
"""A card may stall for seconds; a writer that does not even fail for this long is stuck, and the watchdog's business."""
STALL_NS = 1_500_000_000
"""No picture for this long is a camera fault (camera-notes §2.5: warn at 1.5 s)."""


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    reason: str


class Daemon:
    """One run of the camera, from an opened HAL to a clean end. Everything but the sinks is called from one thread."""

    def __init__(self, hal: Hal, context: RecordingContext, policy: Policy, custodian: Custodian, intake: Intake, officer: str) -> None:
        self._hal = hal
        self._context = context
        self._policy = policy
        self._custodian = custodian
        self._officer = officer
        self._devices = Devices(hal, policy, intake, self._post)
        frame_ns = 1_000_000_000 // policy.video.fps
        self._capture = Capture(custodian, policy.pre_event.seconds * 1000, policy.pre_event.max_bytes, frame_ns)
        self._model: Model = initial(policy, self._devices.camera_since, docked=hal.dock_link.docked(), camera_on=True)
        self._ordinal = 0
        self._progress = False
        self._trouble_since: Timestamp | None = None
        self._writer_done = 0
        self._writer_at = self._devices.now()
        self._recording = ""
        self._awaiting_receipts = False
        self._closed_recordings: list[str] = []
        self._receipted: dict[str, Timestamp] = {}
        self._to_release: list[str] = []

    @property
    def state(self) -> State:
        return self._model.state

    @property
    def closed_recordings(self) -> tuple[str, ...]:
        """Recordings that were closed in this run, in order."""
        return tuple(self._closed_recordings)

    def begin(self, previous: str, down_ns: int | None) -> None:
        """Recovery is done: subscribe, tell the machine, say READY."""
        hal = self._hal
        hal.buttons.subscribe(lambda edge: self._post(edge))
        hal.dock_link.subscribe(lambda sense: self._post(sense))
        hal.power.subscribe(lambda state: self._post(state))
        self._devices.microphone_wanted(recording=False)
        now = self._devices.now()
        try:
            self._power(hal.power.state(), now)
        except HalError as error:  # a gauge is no reason not to record; it is heard of again when it answers
            log.error("power: %s", error)
        self._feed(ev.Booted(now, Previous(previous), down_ns))
        self._devices.schedule_tick()
        hal.watchdog.ready()

    def run(self) -> None:
        """Handle events until the inbox says that there are no more."""
        while (item := self._hal.inbox.get()) is not None:
            self.handle(item)

    def ask_shutdown(self, reason: str) -> None:
        """From a signal handler or another thread."""
        self._post(ShutdownAsked(reason))

    def close(self) -> None:
        """Stop the devices, write what waits. The HAL itself is closed by who opened it."""
        self._devices.close()
        self._custodian.close()

    def handle(self, item: object) -> None:
        """One item of the inbox, completely: synchronous, no waiting (house law 7)."""
        match item:
            case Picture():
                self._picture(item)
            case AudioFrame():
                self._capture.audio(item)
            case _:
                self._handle_event(item, self._devices.now())

    def _handle_event(self, item: object, now: Timestamp) -> None:
        """What is neither picture nor sound: few, so they may ask the clock."""
        match item:
            case ButtonEdge(button, pressed, at):
                self._feed(ev.ButtonChanged(stamp(at), Button(button.value), pressed))
            case TimerFired(timer):
                self._devices.cancel_timer(timer)
                self._feed(ev.Elapsed(now, timer))
            case Tick():
                self._on_tick(now)
            case DockSense(docked, at):
                self._feed(ev.Docked(stamp(at)) if docked else ev.Undocked(stamp(at)))
            case PowerState():
                self._power(item, now)
            case PicturesDropped():
                self._capture.dropped(item, now)
            case DeviceTrouble(port, reason):
                self._device_trouble(Port(port), reason, now)
            case ShutdownAsked(reason):
                self._feed(ev.ShutdownRequested(now, reason))
            case _:
                self._from_custodian(item, now)

    def _from_custodian(self, item: object, now: Timestamp) -> None:
        match item:
            case Promise():
                self._progress = True
            case RecordingClosed(recording, fragments):
                self._closed_recordings.append(recording)
                log.info("recording %s closed with %d fragments", recording, fragments)
            case StorageTrouble(reason, full):
                self._storage_trouble(reason, full, now)
            case StorageWorks():
                self._trouble_since = None
                if self._model.has_fault(Port.STORAGE):
                    self._feed(ev.Recovered(now, Port.STORAGE))
            case CheckpointPublished():
                self._request_sync(now)
            case ReceiptAccepted(recording, at):
                self._receipted[recording] = at
                self._feed(ev.ReceiptVerified(now, recording))
            case Released(recording):
                log.info("recording %s released", recording)
                self._watch_room(now)
            case SpoolChecked(unreceipted) if unreceipted == 0 and self._awaiting_receipts:
                self._awaiting_receipts = False
                self._feed(ev.OffloadCompleted(now))
                self._custodian.submit_checkpoint()  # the dock is to hold the receipts' and releases' leaves too
                self._custodian.kick()
            case SpoolChecked():
                pass
            case _:
                log.error("inbox item of unknown kind %r", type(item).__name__)

    def _request_sync(self, now: Timestamp) -> None:
        try:
            self._hal.dock_link.request_sync()
        except HalError as error:  # the camera still records; the recording stays until a later visit
            log.error("dock: %s", error)
            self._custodian.submit_entry("fault", now, {"port": "dock", "reason": str(error)[:200]})

    def _storage_trouble(self, reason: str, full: bool, now: Timestamp) -> None:
        """A refused write is tried again each second; it is a fault when it stays refused (BWC-POL-47: felt within 2 s)."""
        log.error("storage: %s", reason)
        if full:
            self._feed(ev.StorageFilled(now))
            return
        self._trouble_since = self._trouble_since or now
        if now.since(self._trouble_since) >= TROUBLE_NS and not self._model.has_fault(Port.STORAGE):
            self._feed(ev.Faulted(now, Port.STORAGE, reason))

    def _picture(self, picture: Picture) -> None:
        self._capture.picture(picture)
        self._progress = True
        if self._model.has_fault(Port.CAMERA):
            self._feed(ev.Recovered(stamp(picture.captured), Port.CAMERA))

    def _device_trouble(self, port: Port, reason: str, now: Timestamp) -> None:
        log.error("%s: %s", port.value, reason)
        if port is Port.CAMERA:
            self._devices.camera_on = False
        elif port is Port.MICROPHONE:
            self._devices.microphone_failed()
        self._feed(ev.Faulted(now, port, reason))
        if port is Port.CAMERA:
            self._capture.interrupt()  # after the machine: a recording that ends here takes the open GOP as its last

    def _power(self, state: PowerState, now: Timestamp) -> None:
        self._feed(ev.PowerChanged(now, state.percent, state.charging))

    def _on_tick(self, now: Timestamp) -> None:
        self._devices.schedule_tick()
        self._watch_camera(now)
        self._watch_room(now)
        self._release_due(now)
        if self._model.docked and self._awaiting_receipts:
            self._custodian.submit_receipts()
        self._custodian.kick()
        idle = not self._devices.camera_on and not self._model.has_fault(Port.CAMERA)  # docked or asleep: no pictures are due
        if (self._progress or idle) and self._writer_moves(now):
            self._hal.watchdog.feed()
        self._progress = False
        self._hal.watchdog.status(f"{self._model.state.value}; pre-event {self._capture.pre_event_ms / 1000:.0f} s")

    def _writer_moves(self, now: Timestamp) -> bool:
        """Whether the custodian's worker answers, be it with a refusal of the card: a hung or dead one does not."""
        done = self._custodian.operations_tried
        if done != self._writer_done or not self._custodian.is_busy:
            self._writer_done, self._writer_at = done, now
        return now.since(self._writer_at) < WRITER_STUCK_NS

    def _watch_camera(self, now: Timestamp) -> None:
        """Progress of the sensor's own times, never "the thread is alive" (camera-notes §2.5)."""
        last = self._capture.last_picture
        since = self._devices.camera_since if last is None or last < self._devices.camera_since else last
        if self._devices.camera_on and now.since(since) > STALL_NS:
            self._device_trouble(Port.CAMERA, f"no picture for {now.since(since) / 1e9:.1f} s", now)

    def _watch_room(self, now: Timestamp) -> None:
        try:
            free = self._hal.volume.free_bytes()
        except HalError as error:
            self._feed(ev.Faulted(now, Port.STORAGE, str(error)))
            return
        reserve = self._policy.storage.reserve_bytes
        self._feed(ev.StorageMeasured(now, minutes_left(free - reserve, self._policy)))
        if self._model.full and free > 2 * reserve:
            self._feed(ev.StorageFreed(now))
        elif free < reserve and not self._model.full:
            self._feed(ev.StorageFilled(now))

    def _feed(self, event: ev.Event) -> None:
        self._model, effects = step(self._model, event)
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.StartCamera():
                self._devices.start_camera(self._model.has_fault(Port.CAMERA))
                self._devices.microphone_wanted(bool(self._recording))
            case fx.StopCamera():
                self._devices.stop_camera()
                self._devices.microphone_wanted(bool(self._recording))
            case fx.ClearPreEvent():
                self._capture.clear()
            case fx.StartRecording(cause, at, _):
                self._start_recording(cause, at)
            case fx.SplitRecording(at):
                self._split_recording(at)
            case fx.StopRecording(cause, at):
                self._stop_recording(cause, at)
            case fx.AddMark(at):
                self._custodian.submit_mark(at)
                self._custodian.kick()
            case fx.Mute(at):
                self._mute(at, True)
            case fx.Unmute(at):
                self._mute(at, False)
            case fx.Write("boot"):
                pass  # the boot wrote its leaf itself, before recovery, with facts that the machine does not know
            case fx.Write(kind, at, fields):
                self._custodian.submit_entry(kind, at, fields)
                self._custodian.kick()
            case fx.Show(signal):
                self._devices.show(signal, self._model.has_fault(Port.INDICATORS))
            case fx.SetTimer(timer, boottime_ns):
                self._devices.set_timer(timer, boottime_ns)
            case fx.CancelTimer(timer):
                self._devices.cancel_timer(timer)
            case fx.RequestSync():
                self._awaiting_receipts = True
                self._custodian.submit_checkpoint()
                self._custodian.kick()
            case fx.Release(recording, at):
                self._to_release.append(recording)
                self._release_due(at)
            case fx.Halt():
                self._hal.watchdog.stopping()
                self._hal.inbox.close()

    def _start_recording(self, cause: Cause, at: Timestamp) -> None:
        self._ordinal += 1
        self._recording = recording_id(self._context.device.serial, self._context.boot, self._ordinal)
        order = self._order(cause.value, at, self._capture.shortfall(at))
        self._capture.start(order, keep_audio=self._policy.pre_event.audio)
        self._devices.muted = False
        self._devices.microphone_wanted(recording=True)
        log.info("recording %s started", self._recording)

    def _order(self, cause: str, at: Timestamp, shortfall: str) -> BeginOrder:
        video = self._policy.video
        audio = self._devices.audio_track()
        shape = Video(video.width, video.height, video.fps, "h264")
        return BeginOrder(self._recording, at, cause, shape, audio, shortfall, self._personal("oathcam-assignment/1"))

    def _split_recording(self, at: Timestamp) -> None:
        notes = self._personal("oathcam-notes/1")
        self._ordinal += 1
        self._recording = recording_id(self._context.device.serial, self._context.boot, self._ordinal)
        self._capture.split(self._order("max-length", at, "follows-recording"), at, notes)

    def _stop_recording(self, cause: Cause, at: Timestamp) -> None:
        self._devices.muted = False
        self._devices.microphone_wanted(recording=False)
        final = self._capture.stop(at)
        self._custodian.submit_end(final, at, cause.value, self._personal("oathcam-notes/1"))
        self._recording = ""
        self._custodian.kick()

    def _personal(self, form: str) -> dict[str, Any]:
        """What a stolen card must not tell: it is sealed before it is written (BWC-POL-30)."""
        officer = self._officer or "UNASSIGNED"
        return {"format": form, "recording": self._recording, "officer": officer, "place": self._devices.place()}

    def _mute(self, at: Timestamp, muted: bool) -> None:
        self._devices.muted = muted
        self._devices.microphone_wanted(bool(self._recording))
        self._custodian.submit_mute(at, muted)
        self._custodian.kick()

    def _release_due(self, now: Timestamp) -> None:
        """Release what is receipted, once the policy's grace period has passed since the receipt (BWC-POL-43)."""
        grace_ns = self._policy.retention.grace_days * 86_400_000_000_000
        for recording in list(self._to_release):
            if now.wall_ns - self._receipted.get(recording, now).wall_ns >= grace_ns:
                self._to_release.remove(recording)
                self._custodian.submit_release(recording, now)
        self._custodian.kick()

    def _post(self, item: object) -> None:
        """Into the inbox, past any pictures that fill it."""
        if not self._hal.inbox.put(item, urgent=True):
            log.error("inbox full: %r could not be queued", type(item).__name__)
