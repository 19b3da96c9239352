"""``oathcamd`` on a back-end for the machine: buttons and lamps on GPIO, a V4L2 camera, an ext4 card.

The daemon's own ``main`` runs; this file only adds the back-end ``machine`` to those that it may open. Clock, buttons, lamps, dock
contact and hint channel are the Pi's own ports, on real gpiozero, lgpio and pyserial; inbox, worker, key store, volume and watchdog are
the product's too. The camera is a small one of this file: what it shows is the daemon on a real V4L2 device, not the Pi's own port. The
rest is absent or constant.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
from guest import BOARD, SERIAL, vivid

from firmware import __version__
from firmware.__main__ import main
from hal import backends
from hal.directory_volume import DirectoryVolume
from hal.errors import HalUnavailable
from hal.file_key_store import FileKeyStore
from hal.hint import Hello
from hal.interfaces import (
    AudioFormat,
    AudioSink,
    Camera,
    CameraProgress,
    CameraSink,
    ClockReading,
    Fix,
    Hal,
    HalConfig,
    LumaPicture,
    Microphone,
    Picture,
    Positioning,
    Power,
    PowerState,
    VideoFormat,
)
from hal.pi.buttons import PiButtons, open_buttons
from hal.pi.dock_link import PiDockLink, open_dock_link
from hal.pi.gpio import Gpio, open_gpio
from hal.pi.indicators import PiIndicators, open_indicators
from hal.pi.rtc import ClockPaths, PiClock, open_clock
from hal.posix import PosixClock, QueueInbox, SdNotifyWatchdog, SystemEntropy, ThreadWorker
from hal.x264 import H264Encoder


class V4l2Camera(Camera):
    """A V4L2 device and libx264. A picture's time is the driver's own: CLOCK_MONOTONIC at the end of its capture."""

    def __init__(self, device: str, clock: PosixClock) -> None:
        self._device, self._clock = device, clock
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        options = {"video_size": f"{video.width}x{video.height}", "framerate": str(video.fps), "input_format": "yuyv422"}
        try:
            container = av.open(self._device, format="v4l2", options=options)
        except (av.FFmpegError, OSError) as error:
            raise HalUnavailable(f"camera {self._device}: {error}") from error
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(container, video, sink), daemon=True)
        self._thread.start()

    def _run(self, container, video, sink) -> None:
        encoder = H264Encoder(video, 1)
        number = 0
        try:
            for frame in container.decode(video=0):
                if self._stopping.is_set():
                    return
                mono = int(frame.pts * frame.time_base * 1_000_000_000)
                for one in encoder.encode(frame.reformat(format="yuv420p").to_ndarray(), number):
                    now = self._clock.now()
                    back = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - mono
                    at = ClockReading(now.boottime_ns - back, now.wall_ns - back, now.trust)
                    sink.picture(Picture(one.data, one.keyframe, at))
                number += 1
            reason = "end of stream"
        except (av.FFmpegError, OSError) as error:
            reason = str(error)
        finally:
            container.close()
        if not self._stopping.is_set():
            sink.camera_fault(f"{self._device}: {reason}")

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)

    def restart_encoder(self) -> None:
        pass

    def progress(self) -> CameraProgress:
        return CameraProgress()

    def low_resolution(self) -> LumaPicture | None:
        return None

    def set_bitrate(self, bitrate_bps: int) -> None:
        pass

    def describe(self) -> Mapping[str, str]:
        return {"camera": self._device}


class NoMicrophone(Microphone):
    def format(self) -> AudioFormat:
        raise HalUnavailable("no microphone in this machine")

    def start(self, sink: AudioSink) -> None:
        raise HalUnavailable("no microphone in this machine")

    def stop(self) -> None:
        pass


class Mains(Power):
    def state(self) -> PowerState:
        return PowerState(80, 3900, False)

    def subscribe(self, callback) -> None:
        pass


class NoReceiver(Positioning):
    def fix(self) -> Fix | None:
        return None


@dataclass(frozen=True, slots=True)
class Hands:
    """What is wired to the header, and the clock."""

    clock: PiClock
    gpio: Gpio
    buttons: PiButtons
    indicators: PiIndicators
    dock_link: PiDockLink

    def close(self) -> None:
        for each in (self.dock_link, self.indicators, self.buttons, self.gpio, self.clock):
            each.close()


def open_hands(request: Path) -> Hands:
    """The product's ports, as the Pi's back-end opens them."""
    clock = open_clock(BOARD, ClockPaths())
    gpio = open_gpio(BOARD, BOARD.sample_revision)
    dock_link = open_dock_link(gpio, BOARD, clock, request, lambda: Hello(SERIAL, __version__, 1))
    return Hands(clock, gpio, open_buttons(gpio, BOARD, clock), open_indicators(gpio, BOARD), dock_link)


def open_hal(config: HalConfig) -> Hal:
    hands = open_hands(Path(config["sync_request"]))
    return Hal(
        backend="machine",
        clock=hands.clock,
        inbox=QueueInbox(),
        camera=V4l2Camera(str(vivid()), hands.clock),
        microphone=NoMicrophone(),
        buttons=hands.buttons,
        indicators=hands.indicators,
        key_store=FileKeyStore(Path(config["keys"])),
        entropy=SystemEntropy(),
        volume=DirectoryVolume(Path(config["volume"])),
        power=Mains(),
        positioning=NoReceiver(),
        dock_link=hands.dock_link,
        watchdog=SdNotifyWatchdog(os.environ),
        make_worker=ThreadWorker,
        describe={"backend": "machine"},
        closers=(hands.close,),
    )


if __name__ == "__main__":
    backends.BACKENDS["machine"] = "__main__"
    main()
