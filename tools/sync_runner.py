"""The dock-sync process, started on the recorder's request where no service manager does it.

Responsible for hearing the request (a file, as systemd's path unit hears it) and for one process at a time. Refuses to sync: the
process has the link's key and no camera, and is the same that runs on a camera.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from types import TracebackType

from firmware.config import DeviceConfig

log = logging.getLogger("oathcam.sync")

_LOOK_S = 0.5
_END_S = 3.0


class SyncRunner:
    """A thread from ``with`` to its end."""

    def __init__(self, config: DeviceConfig) -> None:
        self._config = config
        self._request = config.run_directory / "sync-request"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync-runner", daemon=True)

    def __enter__(self) -> SyncRunner:
        self._request.unlink(missing_ok=True)  # of an earlier run
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            if self._request.exists():
                self._request.unlink(missing_ok=True)
                self._sync()

    def _sync(self) -> None:
        if not self._config.dock_host:
            log.warning("no dock is configured; set [dock] host and port in %s", self._config.path)
            return
        command = [sys.executable, "-P", "-m", "firmware", "sync", "--config", str(self._config.path), "--log-level", "error"]
        # A session of its own: Ctrl-C is the recorder's, which then waits for this one.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        said, complained = self._await(process)
        _report(process.returncode, said, complained)

    def _await(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """Its output; at the recorder's end it gets a last while, since what was offloaded is resumed at the next visit."""
        while not self._stopping.is_set():
            try:
                return process.communicate(timeout=_LOOK_S)
            except subprocess.TimeoutExpired:
                pass
        try:
            return process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            return process.communicate()


def _report(code: int, said: str, complained: str) -> None:
    if said.strip():
        report = json.loads(said.strip().splitlines()[-1])
        outcomes = ", ".join(f"{one['recording']} {one['outcome']}" for one in report["recordings"]) or "nothing new"
        log.log(logging.INFO if code == 0 else logging.WARNING, "dock: %s", outcomes)
    elif code < 0:
        log.warning("dock: no sync yet; it goes on at the next visit")
    else:
        log.warning("dock: no sync: %s", (complained.strip().splitlines() or [f"exit code {code}"])[0])
