"""A real systemd as PID 1 in a throw-away container, on a Debian root that is built once.

The root lies in ``$OATHCAM_CACHE`` (default ``~/.cache/oathcam``) under a name made of its package list; a container boots an
overlay of it in memory, so nothing that a test does stays. The checkout's packages and the environment's libraries are bound
read-only where Debian's own ``python3`` looks for them; units are installed as a package would install them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
PYTHON = "3.11"
"""Of the suite: the environment's libraries are compiled for one version."""
PACKAGES = ("iproute2", "libgl1", "libglib2.0-0", "python3", "systemd", "systemd-sysv")
SITE = f"/usr/local/lib/python{PYTHON}/dist-packages"
JOB = """[Unit]
Description=what a test does inside
After=basic.target
[Service]
Type=oneshot
ExecStart=-/usr/bin/python3 -P /job/job.py
ExecStopPost=/usr/bin/systemctl --force --force poweroff
StandardOutput=append:/job/stdout
StandardError=append:/job/stderr
[Install]
WantedBy=multi-user.target
"""
IDLE_UNITS = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service"),
    *("fstrim.timer", "getty@tty1.service", "console-getty.service", "systemd-pstore.service", "systemd-update-utmp.service"),
)


_NSPAWN = ("systemd-nspawn", "--quiet", "--volatile=overlay", "--register=no", "--keep-unit", "--console=pipe", "--private-network")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job left behind. ``stdout`` and ``stderr`` are the job's, ``console`` is the container's."""

    stdout: str
    stderr: str
    console: str
    directory: Path = field(repr=False)


def require() -> None:
    """Skip with a sentence when this machine cannot boot a container."""
    for program in ("systemd-nspawn", "mmdebstrap"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.geteuid() != 0:
        pytest.skip("booting a container needs root")
    if sysconfig.get_python_version() != PYTHON:
        pytest.skip(f"the container's python3 is {PYTHON}, this environment's libraries are for {sysconfig.get_python_version()}")
    # An empty container that does nothing: only where not even that starts (no cgroups, no namespaces) is the machine to blame.
    probe = [*_NSPAWN, f"--directory={root()}", f"--machine=oathcam-probe-{os.getpid()}", "/bin/true"]
    done = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        pytest.skip(f"this machine starts no container: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")


def root() -> Path:
    """The Debian root; built on first use, by one process."""
    cache = Path(os.environ.get("OATHCAM_CACHE") or Path.home() / ".cache/oathcam")
    key = hashlib.sha256("\n".join((SUITE, JOB, *PACKAGES, *IDLE_UNITS)).encode()).hexdigest()[:16]
    directory = cache / f"root-{SUITE}-{key}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            _build(directory.with_suffix(".new"))
            directory.with_suffix(".new").rename(directory)
    return directory


def _build(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    # No documentation, no package lists: they are two thirds of the files.
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}", "--aptopt=Acquire::Languages=none", "--format=directory"]
    options += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    done = subprocess.run(["mmdebstrap", "--quiet", *options, SUITE, directory], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(directory, ignore_errors=True)
        pytest.skip(f"mmdebstrap could not build a Debian root: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    units = directory / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    (units / "job.service").write_text(JOB)
    (units / "multi-user.target.wants/job.service").symlink_to("../job.service")
    for name in IDLE_UNITS:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    for name in ("job", "checkout/systemd", SITE.lstrip("/")):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for name in ("firmware", "hal", "tools"):
        (directory / "usr/lib/python3/dist-packages" / name).mkdir(parents=True, exist_ok=True)


def boot(directory: Path, job: str, timeout_s: float = 60) -> Outcome:
    """Boot, run ``job`` (the name of a function of ``nspawn_inside``) as root, power off.

    ``directory`` is bound to ``/job`` and keeps what the job writes.
    """
    shutil.copy(Path(__file__).with_name("nspawn_inside.py"), directory)
    (directory / "job.py").write_text(f"import sys\nsys.path.insert(0, '/job')\nimport nspawn_inside\nnspawn_inside.{job}()\n")
    libraries = sysconfig.get_path("platlib")
    packages = [f"--bind-ro={ROOT / name}:/usr/lib/python3/dist-packages/{name}" for name in ("firmware", "hal", "tools")]
    command = [
        *_NSPAWN,
        "--boot",
        *(f"--directory={root()}", f"--machine=oathcam-{os.getpid()}", f"--bind={directory}:/job"),
        *(f"--bind-ro={libraries}:{SITE}", f"--bind-ro={ROOT / 'systemd'}:/checkout/systemd", *packages),
    ]
    # A session of its own: a time-out must end systemd-nspawn itself, which then ends all that is inside.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        console, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.terminate()
        console, _ = process.communicate(timeout=20)
        console += f"\n*** not done within {timeout_s} s"
    texts = [(directory / name).read_text() if (directory / name).exists() else "" for name in ("stdout", "stderr")]
    return Outcome(*texts, console, directory)
