"""The capture process: picamera2 and libcamera, with nothing else beside them.

Why a process of its own: the camera stack hangs in the kernel where nobody can kill its threads (picamera2#1275, #1392), it crashes in
C++, and it leaks contiguous memory until its process ends (#1102, #1358). Here it may: the recorder outlives it, closes what is open,
and starts another. It also takes the seconds of its imports off the recorder's way.

Responsible for carrying out the recorder's orders on a :class:`hal.pi.camera.PiCamera` and sending what it delivers. Refuses to keep
anything. Ends when the recorder's end of the socket closes. Started as ``python -m hal.pi.capture_process DESCRIPTOR``.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import asdict
from typing import Any

from hal.errors import DeviceFault, HalError
from hal.interfaces import Picture, VideoFormat
from hal.pi.board import BOARDS
from hal.pi.camera import CameraOptions, PiCamera
from hal.pi.capture_wire import SIZES, Kind, Message, Wire, told
from hal.posix import PosixClock

_TELL_S = 0.25
"""How often progress is told: what the recorder's supervisor goes by when no picture comes."""


class _Sender:
    """The camera's sink, and the thread that tells progress."""

    def __init__(self, wire: Wire, camera: PiCamera) -> None:
        self._wire = wire
        self._camera = camera
        self._told_luma_ns = 0
        self.ended = threading.Event()

    def picture(self, picture: Picture) -> None:
        self._send(Message(Kind.PICTURE, picture.data, picture.captured.boottime_ns, picture.keyframe))

    def camera_fault(self, reason: str) -> None:
        self._send(told(Kind.FAULT, reason=reason))

    def tell(self) -> None:
        """Until the end: how far sensor and encoder are, and the small picture when there is a new one."""
        while not self.ended.wait(_TELL_S):
            self._send(told(Kind.PROGRESS, **asdict(self._camera.progress())))
            small = self._camera.low_resolution()
            if small is not None and small.captured.boottime_ns != self._told_luma_ns:
                self._told_luma_ns = small.captured.boottime_ns
                self._send(Message(Kind.LUMA, SIZES.pack(small.width, small.height) + small.data, self._told_luma_ns))

    def _send(self, message: Message) -> None:
        try:
            self._wire.send(message)
        except DeviceFault:  # the recorder is gone; the receiving thread sees it too and ends the process
            self.ended.set()


def serve(wire: Wire) -> None:
    """Carry out orders until the recorder closes its end."""
    _import_ahead()
    first = wire.receive()
    if first is None:
        return
    made = first.facts()
    camera = PiCamera(BOARDS[made["board"]], PosixClock(), CameraOptions(**made["options"]))
    sender = _Sender(wire, camera)
    threading.Thread(target=sender.tell, name="progress", daemon=True).start()
    while (message := wire.receive()) is not None:
        order = message.facts()
        try:
            _carry_out(order, camera, sender, wire)
        except HalError as error:
            wire.send(told(Kind.REFUSED if order["do"] == "start" else Kind.FAULT, reason=str(error)))


def _carry_out(order: dict[str, Any], camera: PiCamera, sender: _Sender, wire: Wire) -> None:
    match order["do"]:
        case "start":
            camera.start(VideoFormat(**order["video"]), sender)
            wire.send(told(Kind.STARTED, **camera.describe()))
        case "stop":
            camera.stop()
            wire.send(told(Kind.STOPPED))
        case "restart-encoder":
            camera.restart_encoder()
        case "bitrate":
            camera.set_bitrate(order["bitrate_bps"])


def _import_ahead() -> None:
    """The seconds that numpy, Pillow and libcamera take on a small board, before the first order needs them."""
    try:
        import picamera2  # noqa: F401
    except ImportError:
        return  # the start will say so, with the remedy


def main() -> None:
    # The recorder decides when this ends; a terminal's Ctrl-C reaches it too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    code = 0
    try:
        serve(Wire(socket.socket(fileno=int(sys.argv[1]))))
    except DeviceFault as error:
        logging.getLogger("oathcam.camera").error("%s", error)
        code = 1
    os._exit(code)  # nothing is kept here; an orderly exit would wait for threads that may hang in the kernel


if __name__ == "__main__":
    main()
