"""``oathcamd``: the composition root of everything that runs on the camera.

``oathcamd run`` is the recorder; ``oathcamd sync`` is the dock-sync process, which has no camera and no signing key. Only here
is a back-end named. Argument parsing is the standard library's, to keep imports off the way to the first picture.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from firmware.config import DeviceConfig, load_config
from firmware.errors import OathcamError, UnavailableError, UsageError
from hal.errors import HalError, HalUnavailable

log = logging.getLogger("oathcamd")

LOCKED, NOT_ASKED = "locked", "not asked for"
"""What the status says of this process's memory; anything else is the reason why it is not locked."""
DEFAULT_CONFIG = Path("/etc/oathcam/oathcamd.toml")


class _Ending:
    """What a signal asks for: an end in order, also when it came while the recorder was booting."""

    def __init__(self) -> None:
        self._asked: list[str] = []
        self._ask: Callable[[str], None] = self._asked.append

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self._ask(signal.Signals(number).name)

    def tell(self, ask: Callable[[str], None]) -> None:
        """``ask`` is called for what came so far, and for what comes."""
        self._ask = ask
        for name in self._asked:
            ask(name)


def run(config: DeviceConfig) -> int:
    """Open the back-end, boot, loop until a signal asks for the end, close in order."""
    from hal.backends import open_hal

    places = {"volume": config.state_directory, "keys": config.key_directory, "sync_request": config.run_directory / "sync-request"}
    options = {**config.hal_options, **{name: str(path) for name, path in places.items()}}
    ending = _Ending()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ending)
    hal = open_hal(config.backend, options)
    try:
        from firmware.boot import boot  # after the back-end: what a camera imports takes its time beside what this imports

        memory = _guard_memory(config.backend, os.environ)
        daemon = boot(hal, config)
        daemon.status.memory = memory
        if memory not in (LOCKED, NOT_ASKED):
            daemon.note_fault("memory", f"may be written to swap: {memory}")
        ending.tell(daemon.ask_shutdown)
        try:
            daemon.run()
        finally:
            if not daemon.close():  # a thread that hangs in the key store can be neither ended nor waited for
                os._exit(daemon.exit_code)
    finally:
        hal.close()
    return daemon.exit_code


def _guard_memory(backend: str, environment: Mapping[str, str]) -> str:
    """Before the first picture: the pre-event buffer stays in RAM and in this process (BWC-POL-11), on a camera and wherever a service
    manager starts the recorder. By hand, on a bench, a debugger may look. What cannot be had is told, and the recorder records."""
    managed = "NOTIFY_SOCKET" in environment
    if backend != "pi" and not managed:
        return NOT_ASKED
    from hal.memory import lock_memory, refuse_dumps  # here: it brings ctypes, and the capture process is on its way by now

    if managed and (trouble := refuse_dumps()):
        log.error("memory: a core dump of this process would hold pictures: %s", trouble)
    trouble = lock_memory()
    if trouble:
        log.error("memory: not locked: %s", trouble)
    return trouble or LOCKED


def sync(config: DeviceConfig, host: str, port: int) -> int:
    """One visit to the dock: offload what is closed, leave receipts in the spool."""
    from firmware.dock.command import sync_once

    return sync_once(config, host, port)


def main(arguments: Sequence[str] | None = None) -> None:
    """Console script. Exit codes: 0 done, 1 refused or failed, 2 usage, 3 something needed is not there; 70 and 75 ask the service
    manager for another process or another boot (``firmware.machine.supervision``)."""
    parser = argparse.ArgumentParser(prog="oathcamd", description="The Oathcam recorder and its dock-sync process.")
    parser.add_argument("command", nargs="?", choices=("run", "sync"), default="run")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="configuration file (default: %(default)s)")
    parser.add_argument("--dock-host", default="", help="dock to sync with, instead of the configured one")
    parser.add_argument("--dock-port", type=int, default=0)
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        config = load_config(options.config)
        code = run(config) if options.command == "run" else sync(config, options.dock_host, options.dock_port)
    except (OathcamError, HalError) as error:
        print(f"oathcamd: {error}", file=sys.stderr)  # noqa: T201 - the command's one line of error
        if getattr(error, "remedy", ""):
            print(f"  {error.remedy}", file=sys.stderr)  # type: ignore[union-attr] # noqa: T201
        code = 2 if isinstance(error, UsageError) else 3 if isinstance(error, (UnavailableError, HalUnavailable)) else 1
    except OSError as error:  # a spool that may not be written, a certificate that may not be read
        print(f"oathcamd: {error.filename!r}: {error.strerror}", file=sys.stderr)  # noqa: T201
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
