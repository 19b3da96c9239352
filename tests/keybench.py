"""A software TPM (swtpm) and a software token (SoftHSM2) for tests: the real programs, with a state of their own each."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from absent import absent, need_library, need_program

from hal.interfaces import KeyProtection, KeyStore
from hal.key_store import KeyStoreSettings, open_key_store

PIN = "271828"
TOKEN = "camera"
_SOFTHSM = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


class Swtpm:
    """A TPM whose battery the test holds. Its sockets lie in a short path of their own: UNIX addresses end at 108 bytes."""

    def __init__(self, state: Path) -> None:
        self._program = need_program("swtpm")
        need_library("tpm2_pytss")
        self._state = state.resolve()
        self._state.mkdir(exist_ok=True)
        self.sockets = Path(tempfile.mkdtemp(prefix="swtpm-"))
        self._pidfd = -1
        self.tcti = f"swtpm:path={self.sockets}/tpm"

    def power_on(self, startup: bool = True) -> None:
        """``startup``: with TPM2_Startup, as firmware and kernel do it. Returns when the TPM listens."""
        address, pid = f"{self.sockets}/tpm", self.sockets / "pid"
        arguments = [
            *("socket", "--tpm2", "--daemon", "--flags", "not-need-init" + ",startup-clear" * startup),
            *("--tpmstate", f"dir={self._state}", "--pid", f"file={pid}", "--log", f"file={self._state}/log,level=1"),
            *("--server", f"type=unixio,path={address}", "--ctrl", f"type=unixio,path={address}.ctrl"),
        ]
        subprocess.run([self._program, *arguments], check=True)
        self._pidfd = os.pidfd_open(int(pid.read_text()))

    def power_off(self) -> None:
        """As a battery does it that is pulled: without TPM2_Shutdown."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        select.select([self._pidfd], [], [])
        os.close(self._pidfd)
        self._pidfd = -1
        for path in self.sockets.iterdir():
            path.unlink()

    def stop(self) -> None:
        """It hears and does not answer, until :meth:`go_on`."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGSTOP)

    def go_on(self) -> None:
        signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)

    def close(self) -> None:
        if self._pidfd >= 0:
            self.power_off()
        shutil.rmtree(self.sockets)


@contextmanager
def swtpm(directory: Path) -> Iterator[Swtpm]:
    """A new TPM, running."""
    tpm = Swtpm(directory / "tpm-state")
    try:
        tpm.power_on()
        yield tpm
    finally:
        tpm.close()


@contextmanager
def tpm_stores(directory: Path) -> Iterator[Callable[[], KeyStore]]:
    with swtpm(directory) as tpm:
        yield lambda: open_key_store(KeyProtection.TPM, directory / "keys", KeyStoreSettings(tpm_tcti=tpm.tcti))


class BusyTpm:
    """Stands before a TPM and answers some commands itself: ``answers`` are response codes, each used once, in order; ``None``
    is a TPM that is gone in the middle of the command."""

    def __init__(self, tpm: Swtpm) -> None:
        self._behind = f"{tpm.sockets}/tpm"
        self._address = f"{tpm.sockets}/busy"
        self.tcti = f"swtpm:path={self._address}"
        self.answers: list[int | None] = []
        self.commands: list[int] = []
        """TPM_CC of each command that arrived."""
        self._listeners = []
        for suffix, serve in (("", self._commands), (".ctrl", self._control)):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self._address + suffix)
            listener.listen()
            self._listeners.append(listener)
            threading.Thread(target=self._accept, args=(listener, suffix, serve), daemon=True).start()

    def close(self) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket, suffix: str, serve: Callable[[socket.socket, socket.socket], None]) -> None:
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            with client, socket.socket(socket.AF_UNIX) as behind:
                behind.connect(self._behind + suffix)
                serve(client, behind)

    def _commands(self, client: socket.socket, behind: socket.socket) -> None:
        """Part 1 §18: tag, size, code; response the same."""
        while command := client.recv(4096):
            self.commands.append(struct.unpack(">HII", command[:10])[2])
            answer = self.answers.pop(0) if self.answers else 0
            if answer is None:
                return
            if answer:
                client.sendall(struct.pack(">HII", 0x8001, 10, answer))
            else:
                behind.sendall(command)
                client.sendall(behind.recv(4096))

    def _control(self, client: socket.socket, behind: socket.socket) -> None:
        while command := client.recv(4096):
            behind.sendall(command)
            client.sendall(behind.recv(4096))


class SoftHsm:
    """A SoftHSM2 with one token, in this process and nowhere else."""

    def __init__(self, directory: Path) -> None:
        self._program = need_program("softhsm2-util")
        need_library("pkcs11")
        self.module = Path(next((path for path in _SOFTHSM if Path(path).exists()), ""))
        if not self.module.name:
            absent("libsofthsm2.so is not installed")
        self._tokens = directory / "tokens"
        self._away = directory / "tokens-away"
        self._keys = directory / "keys"
        self._tokens.mkdir()
        self.pin_file = directory / "pin"
        self.write_pin(PIN)
        self._configuration = directory / "softhsm2.conf"
        self._configuration.write_text(f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.environment = {**os.environ, "SOFTHSM2_CONF": str(self._configuration)}
        self.util("--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "31415926")

    def util(self, *arguments: str) -> None:
        subprocess.run([self._program, *arguments], env=self.environment, check=True, capture_output=True)

    def write_pin(self, pin: str) -> None:
        self.pin_file.write_text(f"{pin}\n")
        self.pin_file.chmod(0o600)

    @property
    def settings(self) -> KeyStoreSettings:
        return KeyStoreSettings(KeyProtection.PKCS11, pkcs11_module=self.module, pkcs11_token=TOKEN, pkcs11_pin_file=self.pin_file)

    def open(self) -> KeyStore:
        return open_key_store(KeyProtection.PKCS11, self._keys, self.settings, {})

    def remove(self) -> None:
        """Pull the token out."""
        self._tokens.rename(self._away)
        self._tokens.mkdir()

    def insert(self) -> None:
        self._tokens.rmdir()
        self._away.rename(self._tokens)

    def finalize(self) -> None:
        """As a new process finds the library: with no session, and nothing known of any token."""
        import pkcs11

        pkcs11.lib(str(self.module)).finalize()


@contextmanager
def softhsm(directory: Path) -> Iterator[SoftHsm]:
    """A new token. The library of this process is pointed at it through SOFTHSM2_CONF, which it reads in C_Initialize."""
    with ExitStack() as stack:
        before = os.environ.get("SOFTHSM2_CONF")
        hsm = SoftHsm(directory)
        os.environ["SOFTHSM2_CONF"] = hsm.environment["SOFTHSM2_CONF"]
        stack.callback(lambda: os.environ.pop("SOFTHSM2_CONF") if before is None else os.environ.update(SOFTHSM2_CONF=before))
        stack.callback(hsm.finalize)
        yield hsm


@contextmanager
def pkcs11_stores(directory: Path) -> Iterator[Callable[[], KeyStore]]:
    with softhsm(directory) as hsm:
        yield hsm.open
