"""A TPM that stops in mid-recording: the laptop's recorder on a real TPM simulator, as a process of its own, in real time."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import make_clip
from keybench import Swtpm, swtpm

from firmware.custody.checkpoint import read_log
from firmware.custody.entries import Entry
from firmware.errors import OathcamError
from firmware.evidence import pki
from firmware.evidence.findings import Verdict
from firmware.evidence.verify import verify_device
from firmware.machine.supervision import SIGNER_STUCK_NS
from firmware.status import FILE
from hal.interfaces import KeyProtection
from hal.key_store import parse_key_store
from tools.policies import read_profile
from tools.provision import Agency, CameraOrder, hal_lines, make_camera
from tools.sources import DirectorySource, load_key, load_roots

pytestmark = pytest.mark.system

SERIAL = "PC-0001"
PATIENCE_S = 30.0
WATCHDOG_S = 20.0
"""No feed after 10 s of a writer that does not move, and WatchdogSec=10s of the unit."""


class Recorder:
    """Keys go in through a FIFO; the terminal is a file."""

    def __init__(self, config: Path, directory: Path, film: Path) -> None:
        self._keys = directory / "keys.fifo"
        os.mkfifo(self._keys)
        self.log = directory / "log"
        text = re.sub(r"(?m)^\[hal\.pc\]$", f"[hal.pc]\nkeyboard = {json.dumps(str(self._keys))}", config.read_text())
        config.write_text(text)
        self._command = [sys.executable, "-P", "-m", "tools.cli", "run", str(config), "--source", str(film), "--microphone", "none"]
        self.card, self.run = config.parent / "card", config.parent / "run"
        self.process: subprocess.Popen[bytes] | None = None
        self._writer = -1

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._writer = os.open(self._keys, os.O_RDWR)

    def type(self, keys: str) -> None:
        os.write(self._writer, keys.encode())

    def wait(self, what: str, condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
        end = time.monotonic() + seconds
        while not (answer := condition()):
            assert time.monotonic() < end, f"{what}: {self.log.read_text()[-3000:]}"
            select.select([], [], [], 0.02)
        return answer

    def entries(self) -> tuple[Entry, ...]:
        try:
            chain = pki.load_certificates_pem((self.card / "ledger/device.pem").read_bytes())
            log = (self.card / "ledger/log").read_bytes()
            return read_log(log, f"oathcam/{SERIAL}", pki.public_key(chain[0]), verify_all=False).entries
        except (OSError, OathcamError):
            return ()

    def leaves(self, kind: str) -> list[dict[str, Any]]:
        return [dict(entry.fields) for entry in self.entries() if entry.kind == kind]

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run / FILE).read_bytes())
        return found

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._writer >= 0:
            os.close(self._writer)


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with swtpm(tmp_path) as opened:
        yield opened


@pytest.fixture
def recorder(tpm: Swtpm, agency: Agency, tmp_path: Path) -> Iterator[Recorder]:
    _, text = read_profile("default")
    policy = tmp_path / "policy.toml"
    policy.write_text(text.replace("seconds = 30", "seconds = 2").replace("enabled = true", "enabled = false", 1))
    keys = parse_key_store({"key_store": "tpm", "tpm_tcti": tpm.tcti, "tpm_handle": 0x8100BC02})
    order = CameraOrder(SERIAL, "laptop", "", str(policy), "pc", KeyProtection.TPM, key_store=keys)
    config = make_camera(tmp_path / "camera", agency, order, lambda: hal_lines(order))
    made = Recorder(config, tmp_path, make_clip(tmp_path / "street.mp4"))
    yield made
    made.close()


def test_a_tpm_that_stops(recorder: Recorder, tpm: Swtpm, agency: Agency) -> None:
    """BWC-POL-06, BWC-POL-47: told within 2 s while pictures go on coming; the process ends by itself before a watchdog would end it;
    the next one goes on recording, and writes why."""
    recorder.start()
    recorder.wait("a ready camera", lambda: recorder.leaves("ready"))
    recorder.wait("a status", (recorder.run / FILE).exists)
    recorder.wait("a buffer", lambda: recorder.told()["pre_event"]["span_us"] > 1_000_000)
    recorder.type("  ")
    recorder.wait("evidence", lambda: len(recorder.leaves("fragment")) >= 4)
    tpm.stop()
    began = time.monotonic()
    recorder.wait("the fault", lambda: recorder.told()["faults"] == ["signer"])
    # A GOP until the next signature, the two seconds, and the second in which the status is written.
    assert time.monotonic() - began < 1 + 2 + 1 + 0.5
    before = recorder.told()["pictures"]
    recorder.wait("more pictures", lambda: recorder.told()["pictures"] > before + 30)
    assert recorder.process is not None
    assert recorder.process.wait(PATIENCE_S) == 70
    ended_s = time.monotonic() - began
    assert SIGNER_STUCK_NS / 1e9 <= ended_s < WATCHDOG_S
    tpm.go_on()
    recorder.start()
    recorder.wait("the recording that goes on", lambda: len(recorder.leaves("begin")) == 2)
    (fault,) = recorder.leaves("fault")
    assert fault == {"port": "signer", "reason": "the run before could not write this: signer: restart"}
    assert [one["cause"] for one in recorder.leaves("begin")] == ["button", "recovery"]
    recorder.wait("more evidence", lambda: [one["recording"][-11:] for one in recorder.leaves("fragment")].count("000002-0001") >= 2)
    recorder.process.send_signal(signal.SIGINT)
    assert recorder.process.wait(PATIENCE_S) == 0
    key = load_key(agency.directory / "agency.key", None)
    report = verify_device(DirectorySource(recorder.card), load_roots(agency.directory / "root.crt"), key)
    assert report.verdict is Verdict.AUTHENTIC, report.as_dict()
