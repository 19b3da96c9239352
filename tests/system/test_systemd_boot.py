"""The units under a real systemd as PID 1: readiness, watchdog, sandbox and hand-over, on the simulated camera in real time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nspawn
import pytest

from hal.interfaces import KeyProtection
from tools.provision import CameraOrder, make_agency, make_camera

pytestmark = pytest.mark.system

SMALL = {"width": "320", "height": "240", "fps": "10", "bitrate_bps": "250000"}
SYSTEM_PLACES = {
    "state_directory": "/var/lib/oathcam",
    "key_directory": "/var/lib/oathcam-keys",
    "link_directory": "/var/lib/oathcam-link",
    "run_directory": "/run/oathcam",
}


def replaced(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert count == 1, name
    return text


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ``camera`` (small pictures, records from the second second on) and its ``agency``."""
    nspawn.require()
    directory = tmp_path_factory.mktemp("provisioned")
    default = (nspawn.ROOT / "firmware/policy/profiles/default.toml").read_text()
    (directory / "policy.toml").write_text(replaced(default, SMALL))
    agency = make_agency(directory / "agency", "Test Agency")
    order = CameraOrder("T-1", "oathcam", "", str(directory / "policy.toml"), "sim", KeyProtection.SIMULATED, "127.0.0.1", 7443)
    config = make_camera(directory / "camera", agency, order, lambda: 'script = ["1.2 double_press"]\n')
    config.write_text(replaced(config.read_text(), {name: json.dumps(value) for name, value in SYSTEM_PLACES.items()}))
    return directory


def facts(provisioned: Path, tmp_path: Path, job: str) -> dict[str, Any]:
    """Boot, run the job, and read its one line."""
    shutil.copytree(provisioned / "camera", tmp_path / "camera")
    # A dock has its own identity and the agency's certificates; no other key of the agency.
    shutil.copytree(provisioned / "agency/dock", tmp_path / "agency/dock")
    for name in ("root.crt", "device-ca.crt", "dock-ca.crt"):
        shutil.copy(provisioned / "agency" / name, tmp_path / "agency")
    outcome = nspawn.boot(tmp_path, job)
    assert outcome.stdout, f"{outcome.stderr}\n{outcome.console}"
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def test_recorder_records(provisioned: Path, tmp_path: Path) -> None:
    """The daemon as shipped says READY, tells its state, records, and closes the recording when it is stopped; meanwhile there is no
    socket, no interface but loopback, no right and no file of another owner (BWC-POL-07, BWC-POL-11, BWC-POL-38)."""
    found = facts(provisioned, tmp_path, "record")
    assert found["started"]["ActiveState"] == "active"
    assert (found["started"]["Type"], found["started"]["User"]) == ("notify", "oathcam")
    assert "recording" in found["status"]
    assert found["network"]["own_namespace"] is True
    assert found["network"]["interfaces"] == ["lo"]
    assert set(found["network"]["sockets"]) >= {"tcp", "tcp6", "udp", "udp6", "packet"}
    assert not any(found["network"]["sockets"].values())
    assert found["rights"].items() >= {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}.items()
    assert found["rights"]["Uid"] != "0"
    assert found["owners"] == ["oathcam"]
    assert found["core"] == ["0"]
    memory, told = found["memory"], found["told"]
    assert (memory["owner"], memory["seen"]) == ("root", ""), "nobody but root looks into it: no dump, no debugger"
    if memory["limit"] == "unlimited":
        assert memory["locked_kb"] > memory["rss_kb"]
        assert told["said"]["status"]["memory"] == "locked"
    else:  # a container that may not raise the limit that it was given
        assert memory["locked_kb"] == 0
        assert "LimitMEMLOCK=infinity" in told["said"]["status"]["memory"]
    assert (told["code"], told["mode"], told["owner"]) == (0, "0o640", "oathcam")
    assert told["said"]["status"]["state"] == "recording"
    assert found["stopped"] == {"ActiveState": "inactive", "Result": "success", "NRestarts": "0", "ExecMainStatus": "0"}
    (recording,) = (tmp_path / "card/vault").iterdir()
    manifest = recording / "manifest.json"
    command = [
        *("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-out", "/dev/null"),
        *("-in", f"{manifest}.p7s", "-content", manifest, "-CAfile", provisioned / "agency/root.crt"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(manifest.read_text())["fragments"]


def test_killed_recorder_comes_back(provisioned: Path, tmp_path: Path) -> None:
    """Killed in mid-recording it is running again at once, and its next boot says what happened (BWC-POL-28, BWC-POL-47)."""
    found = facts(provisioned, tmp_path, "killed")
    assert (found["ActiveState"], found["NRestarts"]) == ("active", "1")
    assert found["boots"][0] == "first"
    assert found["boots"][1] in {"crash", "power-loss"}
    assert len(found["ends"]) == 1


def test_hung_recorder_is_restarted(provisioned: Path, tmp_path: Path) -> None:
    """A recorder that records is left alone; one that hangs is aborted by the watchdog and comes back (BWC-POL-47)."""
    found = facts(provisioned, tmp_path, "hung")
    assert found["still"] is True
    assert found["noticed_s"] < 10
    assert any("Watchdog timeout" in line for line in found["said"])
    assert (found["ActiveState"], found["NRestarts"]) == ("active", "1")
    assert len(found["boots"]) == 2


def test_stalled_camera_is_dealt_with_and_not_killed(provisioned: Path, tmp_path: Path) -> None:
    """A camera that stops delivering is a fault that is written, shown in the service's status and tried again; a watchdog that bit as
    well would only make a loop of boots of it (BWC-POL-47). What hangs is another matter: the test above."""
    found = facts(provisioned, tmp_path, "stalled")
    assert found["still"] is True
    assert found["said"] == []
    assert found["boots"] == ["first"]
    assert found["steps"] == ["reopen"]
    assert found["status"].startswith("fault;")
    assert "sensor" in found["status"]


def test_the_supervisors_exit_codes_restart_and_reboot(provisioned: Path, tmp_path: Path) -> None:
    """70: another process, again and again, and the board stays up. 75: the board goes down at once, to boot anew; the job that waits
    for it is ended with the machine (BWC-POL-47)."""
    shutil.copytree(provisioned / "camera", tmp_path / "camera")
    outcome = nspawn.boot(tmp_path, "steps")
    restarts, asks_for = (tmp_path / "exit-70").read_text().split()
    assert int(restarts) >= 2, outcome.console
    assert asks_for == "reboot.target"
    assert outcome.stdout == ""
    assert not (tmp_path / "exit-75").exists()


def test_recorder_is_shut_in(provisioned: Path, tmp_path: Path) -> None:
    """In the recorder's place a probe can write state and keys, and nothing else; it gets no network, no code from the card, no clock,
    no right (BWC-POL-07, BWC-POL-22, BWC-POL-38)."""
    found = facts(provisioned, tmp_path, "probe_recorder")
    places = found["write"]
    assert {name for name, result in places.items() if result == "done"} == {
        "/var/lib/oathcam",
        "/var/lib/oathcam/sync/receipts",
        "/var/lib/oathcam-keys",
    }
    assert places["/etc/open"] == places["/usr/lib/open"] == places["/var/lib/open"] == "EROFS"
    assert set(found["execute"].values()) == {"EACCES"}
    assert set(found["sockets"].values()) == {"EAFNOSUPPORT"}
    assert found["memory"] in {"EPERM", "EACCES"}
    assert {found[name] for name in ("clock", "namespace", "mount", "root", "realtime", "disk", "supervisor")} <= {"EPERM"}
    assert found["device_key"] == "done"
    assert found["link_key"] == "EACCES"


def test_sync_is_shut_in(provisioned: Path, tmp_path: Path) -> None:
    """In the place of dock sync a probe reads the vault and cannot touch it, sees the link's key and not the camera's, writes the spool
    of receipts alone, and has no device (BWC-POL-07, BWC-POL-22, BWC-POL-36)."""
    found = facts(provisioned, tmp_path, "probe_sync")
    assert {name for name, result in found["write"].items() if result == "done"} == {"/var/lib/oathcam/sync/receipts"}
    assert found["vault"] == "done"
    assert set(found["spoil"].values()) <= {"EROFS", "EACCES"}
    assert found["device_key"] == "EACCES"
    assert found["link_key"] == "done"
    assert found["devices"] == []
    assert set(found["execute"].values()) <= {"EACCES", "no copy: EROFS"}
    assert found["execute"]["/var/lib/oathcam/sync/receipts"] == "EACCES"
    assert {name for name, result in found["sockets"].items() if result == "done"} == {"inet", "inet6"}
    assert found["memory"] in {"EPERM", "EACCES"}
    assert {found[name] for name in ("clock", "namespace", "mount", "root", "realtime", "supervisor")} <= {"EPERM"}


def test_request_starts_a_sync(provisioned: Path, tmp_path: Path) -> None:
    """One request, one run; a request made during a run is another run; what the sync leaves is readable for the recorder and no one
    else (BWC-POL-41)."""
    found = facts(provisioned, tmp_path, "request")
    assert (found["idle"], found["taken"], found["left"], found["runs"]) == ("inactive", True, False, 2)
    assert (found["owner"], found["group"], found["mode"]) == ("oathcam-sync", "oathcam", "0o640")


def test_sync_offloads_and_the_recorder_releases(provisioned: Path, tmp_path: Path) -> None:
    """The two services, shut in as shipped, do the whole visit to the dock between them: the one with the network brings the receipt,
    the one with the keys checks it and only then lets go (BWC-POL-23, BWC-POL-41, BWC-POL-42)."""
    found = facts(provisioned, tmp_path, "docked")
    assert len(found["kept"]) == 1
    assert found["left"] == []
    assert found["stored"] == found["released"] == found["kept"]
    assert found["result"] == {"Result": "success", "ExecMainStatus": "0", "NRestarts": "0"}
