"""A Debian sid root with real libcamera, its Python bindings and picamera2 from the package index; built once, then read-only.

Sid, because its libcamera is the first Debian one whose virtual camera fills in a picture's status. Sid moves: whatever is not to be
had is a reason to skip, said in the skip.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import machine
import pytest

SOURCES = Path(__file__).resolve().parent / "libcamera"
PACKAGES = (
    "ca-certificates",
    "gcc",
    "libc6-dev",
    "libcap-dev",
    "python3",
    "python3-dev",
    "python3-libcamera",
    "python3-pip",
    "python3-venv",
)
"""The compiler is for two of picamera2's dependencies, which come as sources only, and for the stand-in of the DMA heap."""
WHEELS = ("picamera2==0.3.38", "opencv-python-headless>=4.10")
PYTHON = "/opt/venv/bin/python"
SHIM = "/opt/dma_heap.so"
SUSPENDED_S = 1000


def sid_root() -> Path:
    """The root; built on first use."""
    if not Path("/proc/self/ns/time").exists():
        pytest.skip("this kernel has no time namespaces, and the root's boot clock is to be a suspended board's")
    parts = ("\n".join((*PACKAGES, *WHEELS)), *(path.read_text() for path in (SOURCES / "dma_heap.c", SOURCES / "virtual.yaml")))
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    directory = machine.cache() / f"root-sid-{key}"
    with (machine.cache() / "sid-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            building = directory.with_suffix(".new")
            shutil.rmtree(building, ignore_errors=True)
            try:
                _build(building)
            except subprocess.CalledProcessError as error:
                shutil.rmtree(building, ignore_errors=True)
                said = (error.stderr or error.stdout or "no reason given").strip().splitlines()[-1]
                pytest.skip(f"no Debian sid root with libcamera: {error.cmd[0]}: {said}")
            building.rename(directory)
    return directory


def _build(directory: Path) -> None:
    # An archive that was not renewed for a week is still signed; only its date is past.
    options = ["--variant=minbase", "--format=directory", '--aptopt=Acquire::Check-Valid-Until "false"']
    options += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    _call("mmdebstrap", "--quiet", *options, f"--include={','.join(PACKAGES)}", "sid", directory)
    # The host's trust and name service: whatever stands between it and the package index stands there for the root too.
    for name in ("etc/ssl/certs/ca-certificates.crt", "etc/resolv.conf"):
        shutil.copyfile(Path("/") / name, directory / name)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or name == "PIP_INDEX_URL"}
    _call("chroot", directory, "python3", "-m", "venv", "--system-site-packages", "/opt/venv", environment=environment)
    _call("chroot", directory, PYTHON, "-m", "pip", "install", "--quiet", *WHEELS, environment=environment)
    shutil.copy(SOURCES / "dma_heap.c", directory / "tmp")
    _call("chroot", directory, "gcc", "-shared", "-fPIC", "-O2", "-o", SHIM, "/tmp/dma_heap.c", environment=environment)
    settings = directory / "usr/share/libcamera/pipeline/virtual"
    settings.mkdir(parents=True)
    shutil.copy(SOURCES / "virtual.yaml", settings)
    for name in ("checkout", "job"):
        (directory / name).mkdir()


def _call(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)


def run_inside(directory: Path, script: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """``script`` of ``tests/machine/libcamera`` under sid's Python, as root, without a network; ``directory`` is ``/job``.

    Its boot clock is :data:`SUSPENDED_S` ahead of the monotonic one, as on a board that was suspended for so long: a stamp that is taken
    for one of the other clock shows.
    """
    command = [
        *("unshare", "--time", f"--boottime={SUSPENDED_S}", "--fork"),
        *("systemd-nspawn", "--quiet", "--read-only", "--tmpfs=/tmp", "--register=no", "--keep-unit", "--console=pipe", "--as-pid2"),
        *("--private-network", f"--directory={sid_root()}", f"--machine=libcamera-{os.getpid()}"),
        *(f"--bind-ro={machine.ROOT}:/checkout", f"--bind={directory}:/job", f"--setenv=LD_PRELOAD={SHIM}"),
        *("--setenv=PYTHONPATH=/checkout:/checkout/tests/machine/libcamera", "--setenv=PYTHONDONTWRITEBYTECODE=1"),
        *(PYTHON, "-P", f"/checkout/tests/machine/libcamera/{script}"),
    ]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_s)
