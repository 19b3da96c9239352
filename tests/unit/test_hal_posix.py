"""The parts that POSIX back-ends share, beyond their contracts: the kernel's errors, file modes, threads, back-ends that are absent."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hal import backends
from hal.directory_volume import translated
from hal.errors import DeviceFault, HalError, HalUnavailable, VolumeFull
from hal.file_key_store import FileKeyStore
from hal.posix import DirectoryVolume, PosixClock, QueueInbox, ThreadWorker
from tests.disk.mounts import require


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, VolumeFull),
        (errno.EDQUOT, VolumeFull),
        (errno.EIO, DeviceFault),
        (errno.EROFS, DeviceFault),
        (errno.ENODEV, DeviceFault),
        (errno.EACCES, DeviceFault),
        (errno.ENOENT, HalError),
        (errno.EEXIST, HalError),
        (errno.ELOOP, HalError),
    ],
)
def test_errors_are_translated_and_name_the_path(number: int, kind: type[HalError]) -> None:
    with pytest.raises(HalError, match="vault/x") as caught, translated("/card/vault/x"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind


def test_a_full_device_is_a_full_volume(tmp_path: Path) -> None:
    """The kernel's own ENOSPC, and a file-size limit as another cause of a short write: the part that fits is written."""
    volume = DirectoryVolume(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DeviceFault, match="a"):
            volume.create("a").write(b"x" * 3000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert volume.list("") == (("a", 1000),)


def test_an_absent_root_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(HalUnavailable, match="mount"):
        DirectoryVolume(tmp_path / "absent")


def test_a_volume_leaks_no_descriptors(tmp_path: Path) -> None:
    volume = DirectoryVolume(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    volume.make_directory("a/b/c")
    for index in range(20):
        file = volume.create(f"a/b/c/{index}")
        file.write(b"x")
        file.sync()
        file.close()
        volume.rename(f"a/b/c/{index}", f"a/{index}")
        volume.sync_directory("a/b/c")
        volume.read(f"a/{index}")
        for call in (lambda: volume.read("a"), lambda: volume.append("a/b"), lambda: volume.create("x/y")):
            with pytest.raises(HalError):
                call()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_dead_worker_refuses_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-pressure is visible: a job that raises ends the worker, and what comes after is not swallowed."""
    told: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: told.append(arguments.exc_value))
    worker = ThreadWorker("test", 4)

    def fails() -> None:
        raise ValueError("broken job")

    assert worker.submit(fails)
    worker.close()
    assert [str(error) for error in told] == ["broken job"]
    assert not worker.submit(lambda: None)


def test_a_worker_with_a_full_queue_says_so() -> None:
    """House law 4."""
    started, go = threading.Event(), threading.Event()
    worker = ThreadWorker("test", 2)
    done: list[int] = []

    def waits() -> None:
        started.set()
        assert go.wait(10)

    assert worker.submit(waits)
    assert started.wait(10)
    assert [worker.submit(lambda index=index: done.append(index)) for index in range(3)] == [True, True, False]
    go.set()
    worker.close()
    assert done == [0, 1]


def test_an_inbox_may_be_closed_by_a_signal_while_its_thread_waits() -> None:
    inbox = QueueInbox()
    before = signal.signal(signal.SIGUSR1, lambda *_: inbox.close())
    main = threading.main_thread().ident
    assert main is not None
    sender = threading.Thread(target=lambda: signal.pthread_kill(main, signal.SIGUSR1))
    try:
        sender.start()
        assert inbox.get() is None
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_closed_clock_makes_no_calls() -> None:
    clock, calls = PosixClock(), []
    clock.call_at(clock.now().boottime_ns + 10**12, lambda: calls.append(1))
    clock.close()
    clock.close()
    with pytest.raises(HalError):
        clock.call_at(0, lambda: calls.append(2))
    assert calls == []


# --- the file key store ---------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_key_is_pem_for_its_owner_only(tmp_path: Path) -> None:
    """BWC-POL-36, as far as a file goes."""
    before = os.umask(0)
    try:
        store = FileKeyStore(tmp_path / "keys")
        store.generate_key()
        store.counter_increment()
    finally:
        os.umask(before)
    assert mode(tmp_path / "keys") == 0o700
    assert {mode(each) for each in (tmp_path / "keys").iterdir()} == {0o600}
    assert (tmp_path / "keys" / "device.key").read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    assert sorted(each.name for each in (tmp_path / "keys").iterdir()) == ["counter", "device.key"]


@pytest.mark.parametrize("victim", ["", "device.key"])
@pytest.mark.parametrize("bits", [0o040, 0o004, 0o020, 0o001])
def test_a_key_that_others_can_reach_is_refused_with_the_remedy(tmp_path: Path, victim: str, bits: int) -> None:
    FileKeyStore(tmp_path / "keys").generate_key()
    path = tmp_path / "keys" / victim
    path.chmod(mode(path) | bits)
    with pytest.raises(HalError, match="chmod 0"):
        FileKeyStore(tmp_path / "keys")


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.mark.parametrize(
    "content",
    [
        lambda: b"",
        lambda: b"no key",
        lambda: pem(ec.generate_private_key(ec.SECP384R1())),
        lambda: pem(rsa.generate_private_key(65537, 2048)),
        lambda: pem(ec.generate_private_key(ec.SECP256R1()))[:120],
    ],
)
def test_a_damaged_or_foreign_key_is_a_fault(tmp_path: Path, content: Callable[[], bytes]) -> None:
    FileKeyStore(tmp_path / "keys").generate_key()
    (tmp_path / "keys" / "device.key").write_bytes(content())
    with pytest.raises(DeviceFault, match=r"device\.key"):
        FileKeyStore(tmp_path / "keys")


@pytest.mark.parametrize("content", [b"", b"-1\n", b"3.5", b"7\n8\n", b"\xff\xfe", b" 7", "٣".encode()])
def test_a_damaged_counter_never_reads_as_a_number(tmp_path: Path, content: bytes) -> None:
    """BWC-POL-29."""
    store = FileKeyStore(tmp_path / "keys")
    store.counter_increment()
    (tmp_path / "keys" / "counter").write_bytes(content)
    for call in (store.counter_read, store.counter_increment):
        with pytest.raises(DeviceFault, match="counter"):
            call()


def test_a_left_over_of_a_cut_replacement_does_no_harm(tmp_path: Path) -> None:
    """BWC-POL-28: the cut came between the new file and its rename."""
    store = FileKeyStore(tmp_path / "keys")
    store.counter_increment()
    (tmp_path / "keys" / "counter.new").write_bytes(b"9")
    assert FileKeyStore(tmp_path / "keys").counter_increment() == 2


# --- back-ends that are absent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["hal.absent.boot", "hal.sim.absent"])
def test_a_back_end_that_is_not_built_in_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends.BACKENDS, "pi", missing)
    with pytest.raises(HalUnavailable, match="back-end 'pi' is not part of this build"):
        backends.open_hal("pi", {})


def test_a_back_end_whose_library_is_missing_names_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "oathcam_test_backend.py").write_text("import library_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(backends.BACKENDS, "pi", "oathcam_test_backend")
    with pytest.raises(HalUnavailable, match="back-end 'pi' needs the library 'library_that_is_not_there'"):
        backends.open_hal("pi", {})
    assert "oathcam_test_backend" not in sys.modules


def test_a_volume_without_room_for_names_is_full(tmp_path: Path) -> None:
    """BWC-POL-23: a hundred megabytes are free, and no more than eighty files can be made."""
    require()
    script = "import sys; from pathlib import Path; from hal.directory_volume import DirectoryVolume as V; "
    script += "print(V(Path(sys.argv[1])).free_bytes())"
    mount = f"mount -t tmpfs -o size=100m,nr_inodes=81 tmpfs {tmp_path} && {sys.executable} -c '{script}' {tmp_path}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) <= 80 * 16_384
