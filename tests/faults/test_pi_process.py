"""The capture process dies, hangs, or is left behind: the recorder goes on, and another process takes its place (picamera2#1275)."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pi_bench
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
from rigs import Heard

from hal.errors import DeviceFault
from hal.interfaces import VideoFormat
from hal.pi.board import BOARDS
from hal.pi.process_camera import ProcessCamera
from hal.posix import PosixClock

pytestmark = pytest.mark.xdist_group("real time 2")

VIDEO = VideoFormat(width=320, height=180, fps=30, bitrate_bps=400_000, gop_pictures=15)
SECOND = 1_000_000_000
PATIENCE_S = 15


def until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    pause, clock = threading.Event(), PosixClock()
    end = clock.now().boottime_ns + round(seconds * SECOND)
    while not condition():
        assert clock.now().boottime_ns < end, "it did not come"
        pause.wait(0.01)


class Bench:
    def __init__(self) -> None:
        self.clock = PosixClock()
        self.camera = ProcessCamera(BOARDS["zero2w"], self.clock)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self.camera._child is not None
        return self.camera._child.process

    def start(self) -> Heard:
        heard = Heard()
        self.camera.start(VIDEO, heard)
        until(lambda: heard.pictures)
        return heard


@pytest.fixture
def bench() -> Iterator[Bench]:
    with pi_bench.loaded():
        made = Bench()
        yield made
        made.camera.close()
        made.clock.close()


def test_a_process_that_crashes_is_a_fault_at_once_and_another_takes_over(bench: Bench) -> None:
    """BWC-POL-47: libcamera is C++; a crash of it is not the recorder's."""
    heard = bench.start()
    first = bench.process.pid
    os.kill(first, signal.SIGSEGV)
    until(lambda: heard.faults, 1)
    assert heard.faults == ["the capture process ended"]
    count = len(heard.pictures)
    bench.camera.stop()
    again = bench.start()
    assert bench.process.pid != first
    assert again.pictures[0].keyframe
    assert again.pictures[0].captured.boottime_ns > heard.pictures[-1].captured.boottime_ns
    assert len(heard.pictures) == count


def test_a_process_that_hangs_shows_no_progress_and_is_ended_by_force(bench: Bench) -> None:
    heard = bench.start()
    os.kill(bench.process.pid, signal.SIGSTOP)
    count, hung = len(heard.pictures), bench.process
    threading.Event().wait(1.2)
    assert len(heard.pictures) <= count + 1
    assert bench.clock.now().boottime_ns - bench.camera.progress().sensor_ns > SECOND
    began = bench.clock.now().boottime_ns
    bench.camera.stop()
    assert bench.clock.now().boottime_ns - began < 2 * SECOND
    assert hung.poll() is not None
    bench.start()


def test_a_process_that_hangs_at_its_start_is_seen_to_be_starting(bench: Bench) -> None:
    os.kill(bench.process.pid, signal.SIGSTOP)
    heard = Heard()
    bench.camera.start(VIDEO, heard)
    threading.Event().wait(0.5)
    assert bench.camera.progress().starting
    assert heard.pictures == heard.faults == []
    bench.camera.stop()
    bench.start()


def test_a_process_that_died_while_nobody_recorded_is_no_fault(bench: Bench) -> None:
    bench.process.kill()
    bench.process.wait(5)
    bench.start()


def test_what_the_process_cannot_open_is_told_with_the_remedy(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bench as fakes

    monkeypatch.setenv("OATHCAM_BENCH", str(tmp_path / "hand"))
    hand = fakes.Remote(tmp_path / "hand")
    hand.do(keep=True, absent=True)
    bench.process.kill()
    bench.process.wait(5)
    heard = Heard()
    bench.camera.start(VIDEO, heard)
    until(lambda: heard.faults)
    assert "check the ribbon" in heard.faults[0]
    hand.do(keep=True, absent=False)
    bench.camera.stop()
    bench.start()
    until(lambda: bench.camera.describe()["sensor"] == "imx708_wide")


def test_nothing_is_left_behind_when_the_recorder_dies(tmp_path: Path) -> None:
    """SIGKILL takes no leave: the capture process sees its wire close and ends, and the camera is free for the next recorder."""
    with pi_bench.loaded():
        program = (
            "import os, sys\nfrom hal.pi.board import BOARDS\nfrom hal.pi.process_camera import ProcessCamera\n"
            "from hal.posix import PosixClock\ncamera = ProcessCamera(BOARDS['zero2w'], PosixClock())\n"
            "print(camera._child.process.pid, flush=True)\nsys.stdin.read()\n"
        )
        recorder = subprocess.Popen(
            [sys.executable, "-P", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert recorder.stdin is not None
        assert recorder.stdout is not None
        child = int(recorder.stdout.readline())
        recorder.kill()
        recorder.wait(5)
        recorder.stdin.close()
        recorder.stdout.close()

        def gone() -> bool:
            try:
                return Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            except OSError:
                return True

        until(gone)


def test_a_camera_that_cannot_be_spawned_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(DeviceFault, match="capture process"):
        ProcessCamera(BOARDS["zero2w"], PosixClock())


def test_nothing_heavy_is_imported_before_the_capture_process_is_spawned(tmp_path: Path) -> None:
    """Start-up order: on a small board each of these costs seconds that the first buffered picture would wait for."""
    heavy = {"av", "numpy", "cryptography", "asn1crypto", "picamera2", "PIL", "cv2", "gpiozero", "lgpio", "serial", "alsaaudio", "smbus2"}
    program = (
        "import os, sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'subprocess.Popen':\n"
        "        print(sorted({name.split('.')[0] for name in sys.modules}), flush=True)\n"
        "        os._exit(0)\n"
        "sys.addaudithook(hook)\n"
        "from firmware.__main__ import main\n"
        f"main(['run', '--config', {str(tmp_path / 'oathcamd.toml')!r}])\n"
    )
    names = ("state_directory", "key_directory", "link_directory", "trust_directory", "policy", "run_directory")
    text = 'serial = "T-1"\nmodel = "bench"\n' + "".join(f'{name} = "{name}"\n' for name in names)
    (tmp_path / "oathcamd.toml").write_text(f'{text}[hal]\nbackend = "pi"\n[hal.pi]\n')
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(ast.literal_eval(done.stdout))
    assert "subprocess" in loaded
    assert loaded & heavy == set()
