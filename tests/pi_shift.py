"""The shift of ``oathcam demo`` on the Pi's back-end, in real time, on the bench: ``make demo-pi``, and ``system/test_pi_shift.py``.

The daemon, its capture process, picamera2, gpiozero, the dock station and the dock-sync process are the real ones; libcamera, the H.264
codec and the header under them are the fakes of ``pibench/fakes``. The film that the sensor sees is looped (its first seconds).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pi_bench
import soundrig
from clips import make_street
from pi_daemon import SERIAL, PiDaemon, pi_daemon, seconds_now

from firmware.errors import OathcamError, UnavailableError
from tools.cli import describe_os_error, report_error
from tools.console import output
from tools.dock.cutter import Cutter
from tools.exhibit import Staging, check_source, conclude, fresh_directory
from tools.provision import make_agency
from tools.shift import ShiftResult, dock_station, run_sync

MADE_OF = "Real recorder, real picamera2 and gpiozero, real cryptography, real files, real time."
FAKES = (
    "Camera, H.264 codec and header are FAKES of the test bench: no Raspberry Pi took part. The sensor sees a film, x264 stands for "
    "the VideoCore's encoder, buttons, lamps and dock contact are lines in memory. The battery is pulled by killing recorder and capture "
    "process: what they had written is kept in the page cache, as no power cut would keep it, and the board's boot time goes on, so that "
    "the camera calls it a crash and goes on recording."
)
PRE_EVENT_S = 8


@dataclass(frozen=True, slots=True)
class Script:
    """Instants in seconds from the first readiness. A double press takes 0.4 s, a hold 3.4 s."""

    first_press: float = 10.0
    mark: float = 14.0
    hold: float = 18.0
    second_press: float = 31.0
    second_mark: float = 36.0
    battery_out: float = 41.4
    second_hold: float = 48.0
    docked: float = 54.0
    undocked_for: float = 3.0


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the pictures, and after how many bytes the cable is cut."""

    width: int = 1280
    height: int = 720
    bitrate_bps: int = 4_000_000
    cut_after_bytes: int = 5_000_000


SMALL = Shape(640, 360, 1_000_000, 1_500_000)
Note = Callable[[str], None]


class Shift:
    """One officer's day of a minute, on a camera that is provisioned and off."""

    def __init__(self, camera: PiDaemon, cable: Cutter, note: Note, script: Script | None = None) -> None:
        self._camera, self._cable, self._note = camera, cable, note
        self._script = script or Script()
        self._began = 0.0
        self.result = ShiftResult()

    def run(self) -> ShiftResult:
        self._first_life()
        self._second_life()
        self._at_the_dock()
        self._camera.wait(self._script.undocked_for)
        self._tell("end of the shift")
        assert self._camera.stop() == 0
        self.result.cuts, self.result.lives = self._cable.cuts, 2
        self.result.capture_s = seconds_now() - self._began
        return self.result

    def _first_life(self) -> None:
        camera, script = self._camera, self._script
        camera.start()
        self._began = seconds_now()
        self._tell("ready; the pre-event buffer fills in memory")
        self._at(script.first_press, "double press: recording 1", camera.double_press)
        self._at(script.mark, "a mark", camera.press)
        self._at(script.hold, "held for three seconds: stopped", camera.hold)
        camera.until("the first recording's end", lambda: camera.leaves("end"))
        self._at(script.second_press, "double press: recording 2", camera.double_press)
        self._at(script.second_mark, "a mark", camera.press)
        self._at(script.battery_out, "battery pulled in mid-recording", camera.pull_battery)

    def _second_life(self) -> None:
        camera = self._camera
        camera.start()
        camera.until("the recording that goes on", lambda: [one for one in camera.leaves("begin") if one.fields["cause"] == "recovery"])
        self._tell("started again; recording 2 closed, recording 3 goes on by itself")
        self._at(self._script.second_hold, "held for three seconds: stopped", camera.hold)
        camera.until("the last recording's end", lambda: len(camera.leaves("end")) == 3)

    def _at_the_dock(self) -> None:
        """The dock-sync process is started by the recorder's request, as systemd's path unit does it: the file goes first."""
        camera, request = self._camera, self._camera.config.parent / "run" / "sync-request"
        self._at(self._script.docked, "docked; the cable will be cut once", lambda: camera.dock(True))
        for what in ("the recordings", "receipts and releases in the ledger"):
            camera.until(f"a request for a sync: {what}", request.exists)
            request.unlink()
            run_sync(camera.config, self._cable.address, self.result)
            self._tell(f"at the dock: {what}")
        self._tell("taken out of the dock")
        camera.dock(False)
        camera.until("readiness", lambda: camera.leaves("dock", "ready")[-1].kind == "ready")

    def _at(self, seconds: float, what: str, do: Callable[[], object]) -> None:
        self._camera.wait(max(0.0, self._began + seconds - seconds_now()))
        self._tell(what)
        do()

    def _tell(self, what: str) -> None:
        self._note(f"{seconds_now() - self._began:5.1f} s  {what}")


def run_shift(target: Path, film: Path, shape: Shape, microphone: str, note: Note) -> ShiftResult:
    """Agency, camera, dock and the shift, in ``target``."""
    agency = make_agency(target / "agency", "Example Agency")
    size = {"width": shape.width, "height": shape.height, "bitrate_bps": shape.bitrate_bps}
    options = {"film": str(film), "microphone": microphone, "audio": bool(microphone), "seconds": PRE_EVENT_S, **size}
    with (
        dock_station(target / "agency" / "dock", target / "store", target / "dock.log") as address,
        Cutter(address, [shape.cut_after_bytes]) as cable,
        pi_daemon(target, agency, **options) as camera,
    ):
        return Shift(camera, cable, note).run()


def demo(target: Path, source: str, shape: Shape, note: Note) -> int:
    """The shift and its page; the exit code."""
    began = time.monotonic()
    if source:
        check_source(source, target)
    if missing := pi_bench.missing():
        raise UnavailableError(f"not installed: {', '.join(missing)}", remedy="See what .ci/bootstrap said about requirements-source.lock.")
    fresh_directory(target)
    film = Path(source).resolve() if source else make_street(target / "film.mp4", shape.width, shape.height)
    silent = soundrig.why_absent()
    note(f"A shift in real time. {FAKES.partition(':')[0]}.{f' Without sound: {silent}.' if silent else ''}")
    with ExitStack() as opened:
        if not silent:
            opened.enter_context(soundrig.sound_rig(Path(opened.enter_context(TemporaryDirectory(prefix="sound-")))))
        result = run_shift(target.resolve(), film, shape, "" if silent else soundrig.DEVICE, note)
    for left in (*target.glob("film-*.npy"), target / "bench", target / "header"):
        left.unlink()  # the bench's own
    figures = [("shift in real time", f"{result.capture_s:.1f} s")]
    heard = f"no sound ({silent})" if silent else "a tone of 440 Hz from a sound server through real ALSA"
    staging = Staging(SERIAL, MADE_OF, f"{film.name if source else 'a drawn street'}, looped; {heard}", figures, FAKES)
    return conclude(target, staging, result, began)


def main() -> int:
    parser = argparse.ArgumentParser(description="One officer's shift on the Pi's back-end, on the test bench, in real time.")
    parser.add_argument("--source", default="", help="video file for the sensor to see; without one, a street is drawn")
    parser.add_argument("--output", type=Path, default=Path("demo-pi"), help="directory to fill; an earlier one's is replaced")
    options = parser.parse_args()
    try:
        return demo(options.output, options.source, Shape(), lambda line: output.print(line, soft_wrap=True, highlight=False))
    except OSError as error:
        return report_error(describe_os_error(error))
    except OathcamError as error:
        return report_error(error)


if __name__ == "__main__":
    sys.exit(main())
