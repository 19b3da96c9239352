"""A recorder that hangs in mid-recording: the kernel's watchdog restarts the machine. The job never ends by itself.

What the service manager does on a camera is done here in a few lines: whatever the recorder says of its progress feeds
``/dev/watchdog0``, and nothing else does.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import threading
import time

import guest

SETTIMEOUT = 0xC0045706
"""``WDIOC_SETTIMEOUT`` of linux/watchdog.h."""
MARGIN_S = 4


def feed(notices: socket.socket, watchdog: int) -> None:
    while True:
        if b"WATCHDOG=1" in notices.recv(4096):
            os.write(watchdog, b"1")


def run() -> None:
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind("/run/notify")
    bench = guest.Bench(environment={"NOTIFY_SOCKET": "/run/notify"})
    watchdog = os.open("/dev/watchdog0", os.O_WRONLY)
    fcntl.ioctl(watchdog, SETTIMEOUT, bytearray(struct.pack("i", MARGIN_S)))
    threading.Thread(target=feed, args=(notices, watchdog), daemon=True).start()
    bench.begin(3)
    # Longer than the margin: it is the feeding that keeps the machine up.
    began, before = time.monotonic(), len(guest.leaves("fragment"))
    bench.recorder.wait("fragments under the watchdog", lambda: time.monotonic() - began > MARGIN_S + 2)
    guest.report(promised=[leaf["sealed"] for leaf in guest.leaves("fragment")], meanwhile=len(guest.leaves("fragment")) - before)
    bench.recorder.process.send_signal(signal.SIGSTOP)
    (guest.JOB / "hung").touch()
    time.sleep(60)
