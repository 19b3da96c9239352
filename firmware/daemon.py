"""The one loop: event in → machine step → effects out.

Responsible for order and for owning all state (house law 7). Refuses to decide: ``firmware.machine`` does. ``handle`` is
synchronous, so that the simulator runs a shift as fast as it can encode; on a device the same loop waits in ``Inbox.get``.

Start-up order keeps everything off the way to the first buffered picture: the camera starts first, then the ledger is read and
the volume recovered, and presses that come meanwhile wait in the inbox.
"""

from __future__ import annotations

import logging
from pathlib import Path

from firmware import last_words, status
from firmware.callwatch import WatchedKeyStore
from firmware.capture import Capture, Intake, PicturesDropped
from firmware.checks import Checks
from firmware.custodian import Custodian
from firmware.deliveries import Assigned, AssignmentChanged, PolicyTaken
from firmware.devices import Devices, Look, Tick, TimerFired
from firmware.docktime import DockClock, DockTime, Published, StoreTime
from firmware.errands import Errands
from firmware.identity import RecordingContext
from firmware.lastrun import UNKNOWN, LastRun
from firmware.machine import effects as fx
from firmware.machine import events as ev
from firmware.machine.health import minutes_left
from firmware.machine.machine import Model, initial, resumed, step
from firmware.machine.states import Button, Cause, Port, State
from firmware.machine.states import Previous as HowEnded
from firmware.machine.supervision import Step
from firmware.metrics import Metrics
from firmware.orders import Orders
from firmware.policy.model import Policy
from firmware.recorder import Promise
from firmware.recovery import Previous
from firmware.releasing import Releases
from firmware.reports import (
    CheckpointPublished,
    DeviceTrouble,
    HoldRead,
    Kept,
    Lost,
    ReceiptAccepted,
    RecordingClosed,
    Released,
    ShutdownAsked,
    SpoolChecked,
    StorageTrouble,
    StorageWorks,
)
from firmware.shellclock import stamp
from firmware.storage.watched import WatchedVolume
from firmware.timebase import Timestamp
from firmware.timekeeper import OffsetRecorded, TimeKeeper
from firmware.watching import Found, Watching
from hal.errors import HalError
from hal.interfaces import AudioFrame, ButtonEdge, DockSense, Hal, Inbox, Picture, PowerState

log = logging.getLogger("oathcamd")

TROUBLE_NS = 1_000_000_000
"""A volume that refuses writes for this long is at fault."""
EXIT_RESTART, EXIT_REBOOT = 70, 75
"""What the service manager is told by the supervisor's last two steps (oathcamd.service; EX_SOFTWARE and EX_TEMPFAIL of sysexits.h)."""


def post(inbox: Inbox, item: object) -> None:
    """Into the inbox, past any pictures that fill it."""
    if not inbox.put(item, urgent=True):
        log.error("inbox full: %r could not be queued", type(item).__name__)


class Daemon:
    """One run of the camera, from an opened HAL to a clean end. Everything but the sinks is called from one thread."""

    def __init__(
        self,
        hal: Hal,
        context: RecordingContext,
        policy: Policy,
        custodian: Custodian,
        intake: Intake,
        card: WatchedVolume,
        keys: WatchedKeyStore,
        assigned: Assigned | None,
        run_directory: Path,
        booted: Timestamp,
        dock_clock: DockClock,
    ) -> None:
        self._hal = hal
        self._policy = policy
        self._custodian = custodian
        self._devices = Devices(hal, policy, intake, self._post)
        self._errands = Errands(custodian, policy, assigned, self._devices.place, self.ask_shutdown)
        self._orders = Orders(context, policy, self._devices, self._errands)
        frame_ns = 1_000_000_000 // policy.video.fps
        limit_bytes = min(policy.pre_event.max_bytes, hal.pre_event_limit_bytes or policy.pre_event.max_bytes)
        self._metrics = Metrics()
        self._capture = Capture(custodian, policy.pre_event.seconds * 1000, limit_bytes, frame_ns, self._metrics.losses)
        self._model: Model = initial(policy, self._devices.camera_since, docked=hal.dock_link.docked(), camera_on=True)
        self._watching = Watching(self._devices, intake, card, keys, custodian)
        self._checks = Checks(hal, context.public_key, self._devices, custodian, intake, self._post)
        self._run_directory = run_directory
        self._began = self._devices.now()
        flow = status.Flow(hal.inbox, intake, self._capture, custodian, card, keys, self._watching, self._metrics)
        self.status = status.Status(run_directory / status.FILE, context, flow, self._began)
        self._last_run = LastRun(policy, self._began)
        self._time = TimeKeeper(hal.clock, custodian, dock_clock, booted, lambda now: self._feed(ev.ClockSet(now)))
        self._progress = False
        self._minutes_left = -1
        self._trouble_since: Timestamp | None = None
        self._room_unknown = False
        self._awaiting_receipts = False
        self._closed_recordings: list[str] = []
        self._releases = Releases(policy.retention, custodian.submit_release)

    @property
    def model(self) -> Model:
        """The machine as it is now, to look at from any thread."""
        return self._model

    @property
    def exit_code(self) -> int:
        """What the process ends with after :meth:`run`: 0, or what makes the service manager restart it or reboot the board."""
        return {Step.RESTART: EXIT_RESTART, Step.REBOOT: EXIT_REBOOT}.get(self._model.leaving_by or Step.ENCODER, 0)

    @property
    def closed_recordings(self) -> tuple[str, ...]:
        """Recordings that were closed in this run, in order."""
        return tuple(self._closed_recordings)

    @property
    def _idle_in_dock(self) -> bool:
        return self._model.state is State.DOCKED

    def begin(self) -> None:
        """Subscribe (the buttons' edges come already); the machine is told that it is up once the camera runs, or had its time to."""
        hal = self._hal
        if left := last_words.take(self._run_directory):
            self.note_fault(left[0], f"the run before could not write this: {left[1]}")
        hal.dock_link.subscribe(lambda sense: self._post(sense))
        hal.power.subscribe(lambda state: self._post(state))
        self._devices.microphone_wanted(recording=False)
        now = self._devices.now()
        try:
            self._power(hal.power.state(), now)
        except HalError as error:  # a gauge is no reason not to record; it is heard of again when it answers
            log.error("power: %s", error)
        self._devices.schedule_tick()
        self._devices.schedule_look()
        self.status.tick(self._model, now)

    def _look_whether_booted(self, now: Timestamp) -> None:
        """READY is not said of a camera that is still starting: a press meanwhile is owed, as all while booting are."""
        if self._model.state is not State.BOOTING:
            return
        if self._last_run.is_awaited(now) or self._watching.camera_is_coming(self._model, now, self._last_run.resumes):
            return
        previous = self._last_run.previous or UNKNOWN
        if previous.resume and not self._devices.stages().encoder_ns and not self._model.has_fault(Port.CAMERA):
            self._feed(ev.Faulted(now, Port.CAMERA, "no picture yet"))
        down_ns = None if previous.down_us is None else previous.down_us * 1000
        self._feed(ev.Booted(now, HowEnded(previous.how), 0 if previous.how == "first" else down_ns))
        self._hal.watchdog.ready()

    def _hear_of_last_run(self, previous: Previous, now: Timestamp) -> None:
        """The ledger's newest leaves were read. Too late, behind a card that hung, it changes nothing any more."""
        if self._model.state is not State.BOOTING:
            return
        self._last_run.previous = previous
        self._watching.inherit(previous.step)
        if previous.resume:
            self._model = resumed(self._model)
        self._look_whether_booted(now)

    def _hear_of_hold(self, on_hold: bool, now: Timestamp) -> None:
        """What was pressed for meanwhile is refused; what was interrupted is not over, and goes on (BWC-POL-06, -21)."""
        self._last_run.hold_read = True
        if on_hold:
            self._feed(ev.HoldFound(now))
            if self._last_run.resumes and self._model.state is State.BOOTING:
                self._model = resumed(self._model)
        self._look_whether_booted(now)

    def run(self) -> None:
        """Handle events until the inbox says that there are no more."""
        inbox = self._hal.inbox
        while (item := inbox.get()) is not None:
            self._metrics.inbox.set(inbox.depth()[0] + 1)
            self.handle(item)

    def ask_shutdown(self, reason: str) -> None:
        """From a signal handler or another thread."""
        self._post(ShutdownAsked(reason))

    def note_fault(self, port: str, reason: str) -> None:
        """A leaf for what is no event of the machine."""
        self._custodian.submit_entry("fault", self._devices.now(), {"port": port, "reason": reason[:200]})
        self._custodian.kick()

    def close(self) -> bool:
        """Stop the devices, write what waits. ``False``: the key store hangs; whoever opened the HAL ends the process, closing no more."""
        self._devices.close()
        self._capture.finish()
        self._checks.close()
        hangs = self._model.leaving_by is Step.RESTART and self._watching.signer_hangs(self._devices.now())
        if hangs:
            last_words.leave(self._run_directory, Port.SIGNER.value, self._model.halt_reason)
        else:
            self._custodian.close()
            if self._custodian.is_busy:
                last_words.leave(self._run_directory, Port.STORAGE.value, "the card took nothing more until the end")
        self.status.end(self._model, self._devices.now())
        return not hangs

    def handle(self, item: object) -> None:
        """One item of the inbox, completely: synchronous, no waiting (house law 7)."""
        match item:
            case Picture():
                self._picture(item)
            case AudioFrame():
                self._sound(item)
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
            case Look():
                self._devices.schedule_look()
                self._capture.look(now)
                self._look_whether_booted(now)
                for found in self._watching.look(self._model, now):
                    self._act_on(found, now)
                self._checks.look(self._model, now)
                self.status.look(now)
            case DockSense(docked, at):
                self._errands.sensed(docked, self._model.docked)
                self._checks.docked(docked, now)
                self._feed(ev.Docked(stamp(at)) if docked else ev.Undocked(stamp(at)))
            case PowerState():
                self._power(item, now)
            case PicturesDropped():
                self._capture.dropped(item)
            case DeviceTrouble(port, reason):
                self._device_trouble(Port(port), reason, now)
            case ev.PictureJudged() | ev.BatteryForecast() | ev.SelfTested():
                self._feed(item)
            case ShutdownAsked(reason):
                self._feed(ev.ShutdownRequested(now, reason))
            case _:
                self._from_custodian(item, now)

    def _from_custodian(self, item: object, now: Timestamp) -> None:
        match item:
            case Promise():
                self._progress = True
                self._metrics.lag.add(item.lag_ns)
            case Lost(cause, gops, pictures):
                self._metrics.losses.add(cause, pictures, gops)
            case Previous():
                self._hear_of_last_run(item, now)
            case HoldRead(on_hold):
                self._hear_of_hold(on_hold, now)
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
            case Published() | DockTime() | StoreTime() | OffsetRecorded():
                self._time.take(item, now, self._idle_in_dock)
            case AssignmentChanged():
                self._errands.hear(item, now)
            case PolicyTaken():
                self._errands.hear(item, now)
                self._feed(ev.UpdateChecked(now, up_to_date=False))  # until the next start
            case ReceiptAccepted(recording, at):
                self._releases.receipted(recording, at, now)
                self._feed(ev.ReceiptVerified(now, recording))
            case Kept(recording):
                self._releases.kept(recording)
            case Released(recording):
                log.info("recording %s released", recording)
                self._watch_room(now)
            case SpoolChecked(unreceipted):
                if unreceipted == 0 and self._awaiting_receipts:
                    self._awaiting_receipts = False
                    self._feed(ev.OffloadCompleted(now))
                    self._custodian.submit_checkpoint()  # the dock is to hold the receipts' and releases' leaves too
                    self._custodian.kick()
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
        if self._model.state is State.BOOTING:
            self._look_whether_booted(self._devices.now())
        if self._model.faults and self._model.has_fault(Port.CAMERA):
            self._devices.camera_on = True  # also when it came back by itself: it is watched again
            self._feed(ev.Recovered(stamp(picture.captured), Port.CAMERA))

    def _sound(self, frame: AudioFrame) -> None:
        self._capture.audio(frame)
        if self._model.faults and self._model.has_fault(Port.MICROPHONE):
            self._devices.microphone_heard()
            self._feed(ev.Recovered(stamp(frame.captured), Port.MICROPHONE))

    def _device_trouble(self, port: Port, reason: str, now: Timestamp) -> None:
        log.log(logging.DEBUG if self._model.has_fault(port) else logging.ERROR, "%s: %s", port.value, reason)
        if port is Port.CAMERA:
            self._devices.camera_on = False
        elif port is Port.MICROPHONE:
            self._devices.microphone_failed()
        if port is Port.VAULT and self._model.has_fault(port):  # felt once; every damaged file is written
            self._custodian.submit_entry("fault", now, {"port": port.value, "reason": reason})
        self._feed(ev.Faulted(now, port, reason))
        if port is Port.CAMERA:
            self._capture.interrupt()  # after the machine: a recording that ends here takes the open GOP as its last

    def _power(self, state: PowerState, now: Timestamp) -> None:
        self.status.power = state
        self._feed(ev.PowerChanged(now, state.percent, state.charging, state.celsius, state.throttled))

    def _on_tick(self, now: Timestamp) -> None:
        self._devices.schedule_tick()
        self._devices.retry_microphone(now)
        self._time.tick(now, self._idle_in_dock)
        self._watch_room(now)
        self._releases.submit_due(now)
        self.status.ahead = self._checks.tick(self._model, self.status.power, now)
        if self._model.docked and self._awaiting_receipts:
            self._custodian.submit_receipts()
        if self._model.state in (State.READY, State.DOCKED) and not self._custodian.is_busy:
            self._custodian.submit_reread()
        self._errands.tick(self._model, self._awaiting_receipts, now)
        self._custodian.kick()
        # Docked or asleep no pictures are due. Of a camera that is known to be at fault none are expected: what is to be tried, another
        # process and another boot included, is the supervisor's ladder, and a watchdog that bit as well would only begin it anew.
        due = self._model.camera_on and not self._model.has_fault(Port.CAMERA)
        if (self._progress or not due) and self._watching.writer_moves(now):
            self._hal.watchdog.feed()
        self._progress = False
        self._hal.watchdog.status(self.status.line(self._model, now))
        self.status.tick(self._model, now)

    def _act_on(self, found: Found, now: Timestamp) -> None:
        """What the supervisor's look found is written, felt and tried (``machine.supervision``)."""
        match found:
            case DeviceTrouble(port, reason):
                self._device_trouble(Port(port), reason, now)
                return
            case ev.Escalated():
                log.error("%s: %s: %s", found.port.value, found.step.value, found.reason)
            case ev.Faulted():
                log.error("%s: %s", found.port.value, found.reason)  # the ledger may have to wait until the device answers
        self._feed(found)
        if isinstance(found, ev.Escalated) and found.step is Step.ENCODER:
            self._devices.restart_encoder()

    def _watch_room(self, now: Timestamp) -> None:
        try:
            free = self._hal.volume.free_bytes()
        except HalError as error:
            self._room_unknown = True
            self._storage_trouble(str(error), False, now)
            return
        if self._room_unknown and not self._custodian.is_troubled:
            self._from_custodian(StorageWorks(), now)
        self._room_unknown = False
        reserve = self._policy.storage.reserve_bytes
        self.status.room_minutes = minutes = minutes_left(free - reserve, self._policy)
        if minutes != self._minutes_left:  # the machine judges this number alone, and has judged it
            self._minutes_left = minutes
            self._feed(ev.StorageMeasured(now, minutes))
        if self._model.full and free > 2 * reserve and not self._custodian.is_busy:  # nothing waits that found no room
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
                self._devices.microphone_wanted(bool(self._orders.recording))
            case fx.StopCamera():
                self._devices.stop_camera()
                self._capture.finish()
                self._devices.microphone_wanted(bool(self._orders.recording))
            case fx.SetBitrate(bitrate_bps):
                self._devices.set_bitrate(bitrate_bps)
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
            case fx.Unmute(at, cause):
                self._mute(at, False, cause)
            case fx.Annotate(about, code, at, critical, hold):
                self._custodian.submit_annotation(about.value, code, at, critical, hold)
                self._custodian.kick()
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
            case fx.RequestSync(at):
                self._awaiting_receipts = True
                self._time.request()
                self._errands.came_to_rest(at)
            case fx.Release(recording, at):
                self._releases.wanted(recording, at)
                self._custodian.kick()
            case fx.Halt():
                self._hal.watchdog.stopping()
                self._hal.inbox.close()

    def _start_recording(self, cause: Cause, at: Timestamp) -> None:
        order = self._orders.begin(cause.value, at, self._capture.shortfall(at))
        self._capture.start(order, keep_audio=self._policy.pre_event.audio)
        self.status.recording = (order.recording, at)
        self._devices.muted = False
        self._devices.microphone_wanted(recording=True)
        log.info("recording %s started", order.recording)

    def _split_recording(self, at: Timestamp) -> None:
        notes = self._orders.notes()
        order = self._orders.begin("max-length", at, "follows-recording")
        self.status.recording = (order.recording, at)
        self._capture.split(order, at, notes)

    def _stop_recording(self, cause: Cause, at: Timestamp) -> None:
        self._devices.muted = False
        self._devices.microphone_wanted(recording=False)
        if self._capture.is_splitting:
            self._orders.take_back()
        self._capture.stop(at, cause.value, self._orders.notes())
        self._orders.recording, self.status.recording = "", None

    def _mute(self, at: Timestamp, muted: bool, cause: str = "button") -> None:
        self._devices.muted = muted
        self._devices.microphone_wanted(bool(self._orders.recording))
        self._capture.mute(at, muted)
        self._custodian.submit_mute(at, muted, cause)
        self._custodian.kick()

    def _post(self, item: object) -> None:
        post(self._hal.inbox, item)
