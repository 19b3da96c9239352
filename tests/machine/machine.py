"""A user-mode Linux machine with the kernel's own simulated hardware, as an ordinary process.

Responsible for finding or building its kernel, for its Debian root (the container tests' own, used read-only) and for one boot
that runs one job. Refuses to know what a job does.

The kernel is looked for at ``$OATHCAM_UML_KERNEL``, then in the cache, then beside the checkout (``../shared/cache``); where it is
nowhere it is built into the cache from Debian's source, once. A job runs as root in a machine of its own, with one processor and without a
network; its directory is mounted at ``/job`` and keeps what it writes; everything else that it writes is gone with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import lzma
import os
import py_compile
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))

import nspawn  # noqa: E402 - lies beside the container tests

HERE = Path(__file__).resolve().parent
FRAGMENT = HERE / "kernel.fragment"
BUILDER = ROOT / ".ci/machine-kernel"
PREBUILT = ROOT.parent / "shared/cache/uml-linux-6.1.xz"
MEMORY_BYTES = 1 << 30
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@-]+")
"""What goes through a kernel's command line unquoted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one boot left. ``code``: the job's exit code, ``None`` when the machine ended before the job did.
    ``result``: what the job reported."""

    code: int | None
    result: dict[str, Any]
    stdout: str
    stderr: str
    console: str
    seconds: float

    def explain(self) -> str:
        return f"job ended with {self.code} after {self.seconds:.1f} s\n{self.stdout}\n{self.stderr}\n{self.console[-4000:]}"


def cache() -> Path:
    directory = Path(os.environ.get("OATHCAM_CACHE") or Path.home() / ".cache/oathcam")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def require() -> None:
    """Skip with a sentence when this machine cannot run one of its own."""
    nspawn.require()
    if os.uname().machine != "x86_64":
        pytest.skip(f"a user-mode Linux machine needs x86_64, this is {os.uname().machine}")
    for path in (ROOT, cache(), Path(sysconfig.get_path("platlib"))):
        if not PLAIN_PATH.fullmatch(str(path)):
            pytest.skip(f"the machine's kernel cannot be told of {str(path)!r}: it has a character with a meaning there")


def kernel() -> Path:
    """The kernel, ready to run; built when there is none. Skips with the reason when it cannot be built."""
    named = os.environ.get("OATHCAM_UML_KERNEL")
    if named:
        return _unpacked(Path(named)) if named.endswith(".xz") else Path(named)
    key = hashlib.sha256(FRAGMENT.read_bytes() + BUILDER.read_bytes()).hexdigest()[:16]
    built = cache() / f"uml-linux-{key}"
    if PREBUILT.is_file() and not built.is_file():
        return _unpacked(PREBUILT)
    with (cache() / "uml-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.is_file():
            done = subprocess.run([BUILDER, built], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.skip(f"no kernel for the machine: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return built


def _unpacked(archive: Path) -> Path:
    data = archive.read_bytes()
    program = cache() / f"uml-linux-{hashlib.sha256(data).hexdigest()[:16]}"
    if not program.is_file():
        temporary = program.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(lzma.decompress(data))
        temporary.chmod(0o755)
        temporary.rename(program)
    return program


def compile_checkout() -> None:
    """Byte code of this checkout where init.sh looks for it. A camera's wheel is installed with its own; without it each process in the
    machine would compile for seconds."""
    for package in ("firmware", "hal", "tools", "tests/machine"):
        for source in (ROOT / package).rglob("*.py"):
            name = source.relative_to(ROOT)
            target = ROOT / ".cache/bytecode/checkout" / name.with_suffix(f".{sys.implementation.cache_tag}.pyc")
            if not target.exists() or target.stat().st_mtime <= source.stat().st_mtime:
                py_compile.compile(str(source), str(target), f"/checkout/{name}", doraise=True)


def make_disk(path: Path, size_bytes: int) -> Path:
    """An ext4 file system in a sparse file: a card for the machine."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext4", "-F", path], check=True, capture_output=True)
    return path


UNDER_SYSTEMD = """import sys
from pathlib import Path
sys.path[:0] = ["/checkout", "/checkout/tests/machine", "/checkout/tests/system"]
import jobs.{job}
jobs.{job}.run()
Path("/job/code").write_text("0")
"""
"""What the root's own unit for jobs runs."""


def boot(
    directory: Path, job: str, *, disks: tuple[Path, ...] = (), timeout_s: float = 120, cut_at: str = "", systemd: bool = False
) -> Outcome:
    """Boot, run ``job`` (a module of ``tests/machine/jobs`` with a function ``run``), power off.

    ``disks`` are the files behind ``/dev/ubda``, ``/dev/ubdb`` ..., written for real. ``cut_at``: pull the power, that is kill the
    machine, as soon as the job has made a file of this name in its directory. ``systemd``: the first process is systemd, and the job a
    service of it; else a short script, and the job all that there is.
    """
    program, root = kernel(), nspawn.root()
    compile_checkout()
    (directory / "job.py").write_text(UNDER_SYSTEMD.format(job=job))
    for name in ("result.json", "code", "stdout", "stderr"):
        (directory / name).unlink(missing_ok=True)
    first = (
        "mount -t proc none /proc",
        f"mount -t hostfs -r -o {ROOT} none /checkout",
        f"exec /bin/sh /checkout/tests/machine/{'systemd' if systemd else 'init'}.sh",
    )
    with tempfile.TemporaryDirectory(prefix="machine-") as scratch:
        command = [
            *(str(program), "rootfstype=hostfs", f"rootflags={root}", "ro", "quiet", f"mem={MEMORY_BYTES >> 20}M"),
            *("con0=null,fd:1", "con=null", "ssl=null", "panic=-1", "noreboot", f"uml_dir={scratch}/"),
            *(f"ubd{number}={disk}" for number, disk in enumerate(disks)),
            *(f"job={job}", f"job_directory={directory}", f"libraries={sysconfig.get_path('platlib')}", f"site={nspawn.SITE}"),
            *("init=/bin/sh", "--", "-c", f'"{"; ".join(first)}"'),
        ]
        began = time.monotonic()
        console = _run(command, _memory_directory(scratch), directory / cut_at if cut_at else None, timeout_s)
    texts = [(directory / name).read_text(errors="replace") if (directory / name).exists() else "" for name in ("stdout", "stderr", "code")]
    result = json.loads((directory / "result.json").read_text()) if (directory / "result.json").exists() else {}
    return Outcome(int(texts[2]) if texts[2].strip() else None, result, texts[0], texts[1], console, time.monotonic() - began)


def _memory_directory(scratch: str) -> str:
    """Where the machine's memory lies: in the host's memory if there is room."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_BYTES else scratch


def _run(command: list[str], memory: str, cut_at: Path | None, timeout_s: float) -> str:
    """The machine's console. A session of its own: the power cut must end every process that the machine is made of."""
    with tempfile.TemporaryFile("w+", errors="replace") as console:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": memory},
            start_new_session=True,
        )
        end, note = time.monotonic() + timeout_s, ""
        while process.poll() is None:
            if cut_at is not None and cut_at.exists():
                break
            if time.monotonic() > end:
                note = f"\n*** not done within {timeout_s} s"
                break
            time.sleep(0.02)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        console.seek(0)
        return console.read() + note
