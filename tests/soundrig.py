"""Sound without a sound card: a private PulseAudio daemon behind real alsa-lib, paced in real time, with a tone to listen to.

Killing the daemon is pulling the card out; starting it again is plugging it in.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from absent import absent

DEVICE = "oathcam_rig"
FREQUENCY_HZ = 440
_PATIENCE_S = 15.0
_SYSTEM_CONF = Path("/usr/share/alsa/alsa.conf")


class SoundRig:
    """One daemon, its socket and the ALSA device ``DEVICE`` that leads to it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = directory / "socket"
        self._process: subprocess.Popen[bytes] | None = None
        self.config = directory / "asound.conf"
        self.config.write_text(
            f"<{_SYSTEM_CONF}>\n"
            f'pcm.{DEVICE} {{ type pulse server "unix:{self._socket}" device "hall.monitor" }}\n'
            f'ctl.{DEVICE} {{ type pulse server "unix:{self._socket}" }}\n'
        )

    def plug(self) -> None:
        """Start the daemon and wait until sound comes. A loopback keeps the null sink's blocks short, so that it comes steadily."""
        modules = [
            f"module-native-protocol-unix socket={self._socket} auth-anonymous=1",
            "module-null-sink sink_name=hall rate=48000 channels=1 format=s16le",
            "module-null-sink sink_name=away rate=48000 channels=1 format=s16le",
            f"module-sine sink=hall frequency={FREQUENCY_HZ}",
            "module-loopback source=hall.monitor sink=away latency_msec=10 source_dont_move=1 sink_dont_move=1",
        ]
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
        command += ["--log-target=stderr", *(part for module in modules for part in ("-L", module))]
        home = str(self._directory)
        environment = {**os.environ, "HOME": home, "XDG_RUNTIME_DIR": home, "PULSE_RUNTIME_PATH": home}
        with (self._directory / "pulse.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait_for_sound()

    def pull(self) -> None:
        """The card is gone from one moment to the next."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._socket.unlink(missing_ok=True)

    def _wait_for_sound(self) -> None:
        import alsaaudio

        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            if not self._socket.exists():
                time.sleep(0.05)
                continue
            try:
                pcm = alsaaudio.PCM(alsaaudio.PCM_CAPTURE, alsaaudio.PCM_NONBLOCK, device=DEVICE, channels=1, rate=48000, periodsize=1024)
            except alsaaudio.ALSAAudioError:
                time.sleep(0.05)
                continue
            try:
                steady = 0
                while time.monotonic() < end and steady < 10:
                    steady += pcm.read()[0] > 0
                    time.sleep(0.02)
            finally:
                pcm.close()
            return
        raise AssertionError(f"no sound from the rig: {(self._directory / 'pulse.log').read_text()[-500:]}")


_SHARED: list[SoundRig] = []


def shared_rig() -> SoundRig:
    """One rig for the whole test run, for tests that do not pull it; it ends with the process."""
    require()
    if not _SHARED:
        stack = ExitStack()
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="sound-")))
        _SHARED.append(stack.enter_context(sound_rig(directory)))
        atexit.register(stack.close)
    os.environ["ALSA_CONFIG_PATH"] = str(_SHARED[0].config)
    return _SHARED[0]


def why_absent() -> str:
    """What the rig needs and this machine lacks; empty when it has everything."""
    try:
        import alsaaudio  # noqa: F401
    except ImportError:
        return "pyalsaaudio is not installed"
    if shutil.which("pulseaudio") is None:
        return "pulseaudio is not installed"
    if not any(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        return "ALSA's pulse plugin (libasound2-plugins) is not installed"
    return "" if _SYSTEM_CONF.is_file() else f"{_SYSTEM_CONF} is not installed"


def require() -> None:
    """Go on only where there can be a rig."""
    if lacking := why_absent():
        absent(f"no sound rig: {lacking}")


@contextmanager
def sound_rig(directory: Path) -> Iterator[SoundRig]:
    """A rig that is plugged in."""
    require()
    directory.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("ALSA_CONFIG_PATH")
    rig = SoundRig(directory)
    os.environ["ALSA_CONFIG_PATH"] = str(rig.config)
    try:
        rig.plug()
        yield rig
    finally:
        rig.pull()
        os.environ.pop("ALSA_CONFIG_PATH", None)
        if before is not None:
            os.environ["ALSA_CONFIG_PATH"] = before
