"""The capture process as the recorder starts and ends it.

Responsible for a process that waits for its orders and for its end, by force if need be. Refuses to know what is said (``capture_wire``,
``process_camera``), and imports nothing that takes time: it is the first thing that a boot does.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys

from hal.errors import DeviceFault

log = logging.getLogger("oathcam.camera")

_LEAVE_S, _REAP_S = 0.2, 1.0


class CaptureProcess:
    """One process and our end of its wire."""

    def __init__(self, process: subprocess.Popen[bytes], end: socket.socket) -> None:
        self.process = process
        self.socket = end

    def end(self) -> None:
        """Gone, however it takes it. A process that hangs in the kernel stays behind until that lets go of it."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was first
        self.socket.close()
        try:
            self.process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        try:
            self.process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            log.error("capture process %d cannot be killed: it hangs in the kernel", self.process.pid)


def spawn_capture() -> CaptureProcess:
    """Start the interpreter again, in the isolation that this one has (the service unit's ``-I``). ``DeviceFault`` when it cannot be."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-I" if sys.flags.isolated else "-P", "-m", "hal.pi.capture_process", str(theirs.fileno())]
    try:
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
    except OSError as error:
        ours.close()
        raise DeviceFault(f"capture process: {error.strerror}") from error
    finally:
        theirs.close()
    return CaptureProcess(process, ours)
