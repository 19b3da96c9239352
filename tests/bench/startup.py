"""``cold_start``: from exec of ``oathcamd`` to its word that it is ready, against importing what any camera program on a Pi imports.

Real are the daemon, its capture process, picamera2 and gpiozero; libcamera, codec and header are the tests' fakes, for both sides. The page
cache is warm and the byte code compiled, as at every start but the first. The peer is ``python -c "import picamera2, gpiozero"``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.workshop import ROOT, Figures, Workshop, reaped, result, run

PATIENCE_S = 30.0
SETTLED_S = 0.1
"""It may say that it is ready before it listens to SIGTERM."""
IMPORTS = "import picamera2, gpiozero"


def cold_start(shop: Workshop, rounds: int) -> Figures:
    """Wall time is what a wearer waits for; CPU time is what other work on this machine disturbs least. Both, each to its peer."""
    sys.path.insert(0, str(ROOT / "tests"))
    import pi_bench
    from pi_daemon import PiDaemon

    with pi_bench.loaded():
        camera = PiDaemon(shop.directory / "pi", shop.agency, width=1280, height=720, bitrate_bps=4_000_000, seconds=30)
        environment = camera.environment()
        _start(camera.command(), environment, shop.directory)  # compiles what was never imported before
        ours = [_start(camera.command(), environment, shop.directory) for _ in range(rounds)]
        peers = [_import(environment) for _ in range(rounds)]
        boots = len(camera.leaves("ready"))
    if boots != rounds + 1:
        sys.exit(f"bench: the ledger knows of {boots} starts, expected {rounds + 1}")
    shutil.rmtree(shop.directory / "pi")
    wall_s, cpu_s = (statistics.median(column) for column in zip(*ours, strict=True))
    peer_wall_s, peer_cpu_s = (statistics.median(column) for column in zip(*peers, strict=True))
    return {
        "cold_start": result(wall_s, "s", f'python -c "{IMPORTS}"', peer_wall_s, None),
        "cold_start_cpu": result(cpu_s, "CPU s", "the same", peer_cpu_s, None),
    }


def _start(command: list[str], environment: dict[str, str], directory: Path) -> tuple[float, float]:
    """Seconds to READY=1, said once the camera delivers into the buffer; CPU seconds of all processes, an orderly end included."""
    address = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(address))
        notified.settimeout(PATIENCE_S)
        before = time.perf_counter()
        with (directory / "oathcamd.log").open("ab") as log:
            process = subprocess.Popen(command, env={**environment, "NOTIFY_SOCKET": str(address)}, stdout=log, stderr=log)
        try:
            while notified.recv(4096) != b"READY=1":
                pass
        except TimeoutError:
            process.kill()
            sys.exit(f"bench: oathcamd was not ready: {(directory / 'oathcamd.log').read_text()[-2000:]}")
        wall_s = time.perf_counter() - before
        time.sleep(SETTLED_S)
        process.send_signal(signal.SIGTERM)
        cpu_s = reaped(process)
    os.unlink(address)
    return wall_s, cpu_s


def _import(environment: dict[str, str]) -> tuple[float, float]:
    before = time.perf_counter()
    done = run((sys.executable, "-P", "-c", IMPORTS), environment=environment)
    return time.perf_counter() - before, done.cpu_s
