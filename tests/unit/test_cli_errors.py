"""Bad input at the command line: one line that names the thing, one with the remedy, the right exit code, no traceback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clips import a_clip

from tools.provision import CameraOrder, make_agency, make_camera

OATHCAM = [sys.executable, "-m", "tools.cli"]
OATHCAMD = [sys.executable, "-m", "firmware"]


def run(command: list[str], where: Path) -> tuple[int, str]:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr + done.stdout
    return done.returncode, " ".join((done.stderr + done.stdout).split())


@pytest.fixture
def recorded(make_bench: Callable):
    """A camera with one closed recording."""
    from hal.interfaces import ButtonName

    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    bench.world.press(ButtonName.RECORD, bench.at(3), hold_ms=3300)
    bench.run(8)
    return bench


def test_a_source_that_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("this is no video\n")
    code, text = run([*OATHCAM, "demo", "--source", "notes.txt"], tmp_path)
    assert code == 2
    assert "'notes.txt' is no video" in text
    assert "Give a video file" in text
    assert not (tmp_path / "demo").exists()


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    code, text = run([*OATHCAM, "demo", "--source", "absent.mp4"], tmp_path)
    assert code == 2
    assert "absent.mp4" in text


def test_a_source_in_the_directory_that_is_to_be_replaced_is_not_thrown_away(tmp_path: Path) -> None:
    """A recording of the demo before is the film that lies nearest."""
    demo = tmp_path / "demo"
    demo.mkdir()
    (demo / ".oathcam-demo").touch()
    shutil.copy(a_clip(), demo / "opened.mp4")
    code, text = run([*OATHCAM, "demo", "--source", "demo/opened.mp4"], tmp_path)
    assert code == 2
    assert "'demo/opened.mp4' lies in 'demo', which is to be replaced Copy it" in text
    assert (demo / "opened.mp4").exists()


def test_a_directory_that_the_demo_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("irreplaceable")
    code, text = run([*OATHCAM, "demo"], tmp_path)
    assert code == 2
    assert "was not made by the demo" in text
    assert (tmp_path / "demo" / "thesis.txt").read_text() == "irreplaceable"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("stealth_level = 3", "stealth_level"),
        ("seconds = 500", "500"),
        ('seconds = "thirty"', "thirty"),
    ],
)
def test_a_policy_with_something_wrong_in_it(tmp_path: Path, agency, line: str, said: str) -> None:
    from tools.policies import read_profile

    _, text = read_profile("default")
    changed = (
        text.replace("seconds = 30 ", line + " ", 1)
        if line.startswith("seconds")
        else text.replace("[indicators]", f"[indicators]\n{line}")
    )
    assert changed != text
    (tmp_path / "policy.toml").write_text(changed)
    code, text = run([*OATHCAM, "policy", "check", "policy.toml"], tmp_path)
    assert code == 2
    assert said in text
    order = ["provision", "camera", "cam", "--agency", str(agency.directory), "--serial", "X-1", "--profile", "policy.toml"]
    code, text = run([*OATHCAM, *order], tmp_path)
    assert code == 2
    assert not (tmp_path / "cam" / "oathcamd.toml").exists()


def test_a_key_that_does_not_fit(recorded, agency, tmp_path: Path) -> None:
    other = make_agency(tmp_path / "other", "Another Agency")
    keys = ["--key", str(other.directory / "agency.key"), "--trust", str(agency.directory / "root.crt")]
    code, text = run([*OATHCAM, "open", str(recorded.card), *keys, "-o", "out"], tmp_path)
    assert code == 3
    assert "not sealed to the key" in text
    assert "Use the key of one of its recipients" in text
    assert list((tmp_path / "out").iterdir()) == []


def test_a_key_with_another_ones_certificate(recorded, agency, tmp_path: Path) -> None:
    command = [*OATHCAM, "open", str(recorded.card), "--key", str(agency.directory / "agency.key")]
    code, text = run([*command, "--cert", str(agency.directory / "oversight.crt")], tmp_path)
    assert code == 2
    assert "does not belong to" in text


def test_the_root_of_another_agency_vouches_for_nothing(recorded, tmp_path: Path) -> None:
    other = make_agency(tmp_path / "other", "Another Agency")
    code, text = run([*OATHCAM, "verify", str(recorded.card), "--trust", str(other.directory / "root.crt")], tmp_path)
    assert code == 3
    assert "cannot tell" in text


def test_a_root_of_the_same_name_and_another_key_is_refused(recorded, tmp_path: Path) -> None:
    """An impostor names its root like the agency: the signatures decide."""
    impostor = make_agency(tmp_path / "impostor", "Test Agency")
    code, text = run([*OATHCAM, "verify", str(recorded.card), "--trust", str(impostor.directory / "root.crt")], tmp_path)
    assert code == 1
    assert "not authentic" in text


def test_things_that_are_no_evidence(tmp_path: Path) -> None:
    for path, said in ((".", "holds no evidence"), ("nowhere", "is not there")):
        code, text = run([*OATHCAM, "verify", path], tmp_path)
        assert code == 2
        assert said in text


def test_a_dock_with_the_wrong_certificate(recorded, tmp_path: Path) -> None:
    """BWC-POL-35: a dock of another agency gets nothing, and the recording stays where it is."""
    other = make_agency(tmp_path / "other", "Another Agency")
    station = [*OATHCAM, "dock", str(other.directory / "dock"), "--store", "store", "--port", "0", "--port-file", "port"]
    process = subprocess.Popen(station, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().rsplit(" ", 1)[-1].strip().rpartition(":")
        command = [*OATHCAMD, "sync", "--config", str(recorded.config.path), "--dock-host", host, "--dock-port", port]
        code, text = run(command, tmp_path)
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()
    assert code == 1
    assert "certificate" in text
    assert (recorded.card / "vault" / recorded.recordings()[0] / "manifest.json").exists()
    assert not (tmp_path / "store" / "SIM-0001").exists()


def test_a_dock_that_is_not_there(recorded, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, text = run(
        [*OATHCAMD, "sync", "--config", str(recorded.config.path), "--dock-host", "127.0.0.1", "--dock-port", str(port)], tmp_path
    )
    assert code == 3
    assert "127.0.0.1" in text


def test_a_configuration_with_an_unknown_field(recorded, tmp_path: Path) -> None:
    config = tmp_path / "oathcamd.toml"
    config.write_text('colour = "red"\n' + recorded.config.path.read_text())
    code, text = run([*OATHCAMD, "run", "--config", str(config)], tmp_path)
    assert code == 2
    assert "unknown field 'colour'" in text


def test_a_policy_that_somebody_changed_on_the_camera(recorded, tmp_path: Path) -> None:
    """A camera obeys only the policy that its agency signed."""
    policy = recorded.config.policy
    policy.write_text(policy.read_text().replace("seconds = 1 ", "seconds = 0 ", 1))
    code, text = run([*OATHCAMD, "run", "--config", str(recorded.config.path)], tmp_path)
    assert code == 1
    assert "signature" in text


def test_a_certificate_of_another_camera(agency, recorded, tmp_path: Path) -> None:
    from hal.interfaces import KeyProtection

    order = CameraOrder("SIM-0002", "simulated", "", "default", "sim", KeyProtection.SIMULATED)
    make_camera(tmp_path / "second", agency, order)
    shutil.copytree(tmp_path / "second" / "keys", recorded.config.key_directory, dirs_exist_ok=True)
    code, text = run([*OATHCAMD, "run", "--config", str(recorded.config.path)], tmp_path)
    assert code == 2
    assert "SIM-0002" in text


def test_the_other_back_ends_say_that_they_are_absent(agency, tmp_path: Path) -> None:
    command = ["provision", "camera", "cam", "--agency", str(agency.directory), "--serial", "PI-1", "--hal", "pi"]
    assert run([*OATHCAM, *command], tmp_path)[0] == 0
    code, text = run([*OATHCAMD, "run", "--config", "cam/oathcamd.toml"], tmp_path)
    assert code == 3
    assert "no Raspberry Pi" in text
    assert "hal.pi.board" in text


def test_provisioning_never_overwrites_a_key(agency, tmp_path: Path) -> None:
    code, text = run([*OATHCAM, "provision", "agency", str(agency.directory)], tmp_path)
    assert code == 2
    assert "exists" in text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small file system: a full disk was not tried")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_while_opening(recorded, agency, small_disk: Path, tmp_path: Path) -> None:
    """Nothing half-written is left, and the evidence is as it was."""
    (small_disk / "filler").write_bytes(bytes(150_000))
    keys = ["--key", str(agency.directory / "agency.key"), "--trust", str(agency.directory / "root.crt")]
    code, text = run([*OATHCAM, "open", str(recorded.card), *keys, "-o", str(small_disk)], tmp_path)
    assert code == 1
    assert "No space left on device" in text
    assert "Free some space" in text
    assert [one.name for one in small_disk.iterdir()] == ["filler"]


def test_a_full_disk_while_provisioning(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(195_000))
    code, text = run([*OATHCAM, "provision", "agency", str(small_disk / "agency")], tmp_path)
    assert code == 1
    assert "No space left on device" in text
