"""The dock beside the virtual camera: a real station on loopback, and the dock-sync process that the recorder asks for.

Responsible for one sync at a time and for the cable: undocking in mid-transfer ends the process, as pulling the plug would. Refuses to
sync. Threads: asked from the camera's, looked at from the page's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from firmware.config import DeviceConfig
from firmware.errors import UnavailableError
from tools.shift import dock_station


class Docking:
    """A station that is started in the background, and a thread for every sync."""

    def __init__(self, identity: Path, store: Path, log: Path) -> None:
        self._station = ExitStack()
        self._address: tuple[str, int] | None = None
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._again = self._running = self._closed = False
        self._outcomes = ""
        self.said = ""
        """The newest sync in a few words, for the page."""
        self._starting = threading.Thread(target=self._start, args=(identity, store, log), name="dock-start", daemon=True)
        self._starting.start()

    def request(self, config: DeviceConfig) -> None:
        """The recorder wants a sync."""
        with self._lock:
            if self._running:
                self._again = True
                return
            self._running = True
        threading.Thread(target=self._sync, args=(config,), name="dock-sync", daemon=True).start()

    @property
    def running(self) -> bool:
        return self._running

    def unplug(self) -> None:
        """What is under way is cut off."""
        with self._lock:
            self._again = False
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        self._closed = True
        self.unplug()
        self._starting.join()
        self._station.close()

    def _start(self, identity: Path, store: Path, log: Path) -> None:
        try:
            self._address = self._station.enter_context(dock_station(identity, store, log))
        except UnavailableError as error:
            self.said = str(error)

    def _sync(self, config: DeviceConfig) -> None:
        self._starting.join()
        while self._address is not None and not self._closed:
            self._one(config, self._address)
            with self._lock:
                if not self._again:
                    break
                self._again = False
        with self._lock:
            self._running = False

    def _one(self, config: DeviceConfig, address: tuple[str, int]) -> None:
        command = [sys.executable, "-P", "-m", "firmware", "sync", "--config", str(config.path), "--log-level", "error"]
        command += ["--dock-host", address[0], "--dock-port", str(address[1])]
        with self._lock:
            if self._closed:
                return
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        said, complained = self._process.communicate()
        with self._lock:
            code, self._process = self._process.returncode, None
        self.said = self._summary(code, said, complained)

    def _summary(self, code: int, said: str, complained: str) -> str:
        """The second sync of a visit brings the ledger with the receipts, and no recording: the first's stay said."""
        if not said.strip():
            return _failure(code, complained)
        report = json.loads(said.strip().splitlines()[-1])
        self._outcomes = ", ".join(f"{one['recording']} {one['outcome']}" for one in report["recordings"]) or self._outcomes
        return f"{self._outcomes or 'nothing new'}; {report['ledger_size']} leaves held"


def _failure(code: int, complained: str) -> str:
    if code < 0:
        return "cut off; the next visit goes on where it was"
    return (complained.strip().splitlines() or [f"exit code {code}"])[0]
