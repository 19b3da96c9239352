"""The bay's hint and a sync: tried first, believed never, and the configured dock is there all the same."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers_dock import Agency, Camera, station_config
from pibench.hands import wait, wire

from firmware.config import DeviceConfig
from firmware.dock import command
from firmware.dock.command import read_hint, sync_once
from firmware.errors import UsageError
from hal.hint import HINT_FILE, Bay, Hello, decode, encode
from tools.dock.station import Station


@pytest.fixture
def agency() -> Agency:
    return Agency()


def serve(tmp_path: Path, agency: Agency, stack: ExitStack) -> Station:
    tmp_path.mkdir(exist_ok=True)
    station = Station(station_config(tmp_path, agency))
    thread = station.start()
    stack.callback(thread.join)
    stack.callback(station.stop)
    return station


def make_config(tmp_path: Path, camera: Camera, host: str, port: int) -> DeviceConfig:
    """A provisioned camera's configuration, with the camera's files where provisioning puts them."""
    keys = camera.directory / "keys"
    (camera.state / "ledger/device.pem").write_bytes((keys / "device.crt").read_bytes())
    run = tmp_path / "run"
    run.mkdir()
    places = {"state_directory": camera.state, "key_directory": keys, "link_directory": keys, "trust_directory": keys, "run_directory": run}
    return DeviceConfig(
        tmp_path / "oathcamd.toml",
        camera.serial,
        "m",
        **places,
        policy=keys,
        backend="pi",
        hal_options={},
        dock_host=host,
        dock_port=port,
    )


def hint(config: DeviceConfig, host: str, port: int) -> None:
    (config.run_directory / HINT_FILE).write_bytes(encode(Bay("site-1", 1, host, port)))


@pytest.fixture
def camera(tmp_path: Path, agency: Agency) -> Camera:
    made = Camera(tmp_path / "camera", agency)
    made.record("R1")
    return made


def receipted(camera: Camera) -> bool:
    return (camera.state / "sync/receipts/R1.json").exists()


@pytest.fixture(autouse=True)
def _spool(camera: Camera) -> None:
    (camera.state / "sync/receipts").mkdir(parents=True, exist_ok=True)


def test_a_hinted_dock_is_tried_first(tmp_path: Path, agency: Agency, camera: Camera, stack: ExitStack) -> None:
    """Nobody listens at the configured address; the bay's dock takes everything."""
    station = serve(tmp_path / "bay", agency, stack)
    config = make_config(tmp_path, camera, "127.0.0.1", 1)
    hint(config, *station.address)
    assert sync_once(config, "", 0) == 0
    assert receipted(camera)


def test_without_a_configured_dock_a_hint_is_waited_for(
    tmp_path: Path, agency: Agency, camera: Camera, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = serve(tmp_path / "bay", agency, stack)
    config = make_config(tmp_path, camera, "", 0)
    monkeypatch.setattr(command, "HINT_WAIT_S", 0.2)
    with pytest.raises(UsageError, match="no dock"):
        sync_once(config, "", 0)
    monkeypatch.setattr(command, "HINT_WAIT_S", 10)
    later = threading.Timer(0.3, hint, (config, *station.address))
    later.start()
    assert sync_once(config, "", 0) == 0
    later.join()


def nobody(_stack: ExitStack, _tmp_path: Path) -> tuple[str, int]:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return gone.getsockname()[:2]


def silence(stack: ExitStack, _tmp_path: Path) -> tuple[str, int]:
    """Accepts, and never says a word."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return server.getsockname()[:2]


def drip(stack: ExitStack, _tmp_path: Path) -> tuple[str, int]:
    """Begins a TLS record of the largest size and sends a byte of it now and then."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    stopping = threading.Event()

    def run() -> None:
        connection, _ = server.accept()
        with connection:
            connection.send(b"\x16\x03\x03\x40\x00")
            while not stopping.wait(0.05):
                try:
                    connection.send(b"\x02")
                except OSError:
                    return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(stopping.set)
    return server.getsockname()[:2]


def stranger(stack: ExitStack, tmp_path: Path) -> tuple[str, int]:
    """A dock of another agency."""
    return serve(tmp_path / "stranger", Agency(seed=2, name="Other"), stack).address


@pytest.mark.parametrize("liar", [nobody, silence, drip, stranger])
def test_a_hint_that_lies_costs_time_and_nothing_else(
    tmp_path: Path, agency: Agency, camera: Camera, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, liar
) -> None:
    """BWC-POL-07, BWC-POL-38: TLS decides who is a dock; then the configured one is synced with."""
    monkeypatch.setattr(command, "PROBE_TIMEOUT_S", 0.5)
    station = serve(tmp_path / "configured", agency, stack)
    config = make_config(tmp_path, camera, *station.address)
    hint(config, *liar(stack, tmp_path))
    began = time.monotonic()
    assert sync_once(config, "", 0) == 0
    assert time.monotonic() - began < 5
    assert receipted(camera)


def test_an_address_on_the_command_line_asks_no_hint(tmp_path: Path, agency: Agency, camera: Camera, stack: ExitStack) -> None:
    station = serve(tmp_path / "named", agency, stack)
    config = make_config(tmp_path, camera, "", 0)
    hint(config, *silence(stack, tmp_path))
    began = time.monotonic()
    assert sync_once(config, *station.address) == 0
    assert time.monotonic() - began < 3


def dock_command(directory: Path, *more: object) -> list[str]:
    command = [sys.executable, "-P", "-m", "tools.cli", "dock", directory / "dock", "--store", directory / "store", "--port", "0", *more]
    return [str(part) for part in command]


def test_the_dock_command_answers_its_bay(tmp_path: Path, agency: Agency, stack: ExitStack) -> None:
    """``oathcam dock --hint-device DEV --bay N``: a HELLO is answered with where this station listens."""
    agency.dock(tmp_path / "dock")
    cable = stack.enter_context(wire(tmp_path / "tty"))
    port_file = tmp_path / "listening"
    more = ("--port-file", port_file, "--hint-device", cable.name, "--bay", 3)
    with subprocess.Popen(dock_command(tmp_path, *more), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as station:
        wait(port_file.exists, 30)
        host, _, port = port_file.read_text().strip().rpartition(":")
        answer = wait(lambda: cable.send(encode(Hello("T-1", "0.1.0", 7))) or (cable.pending() and cable.receive()))
        assert decode(answer.splitlines()[0]) == Bay("dock", 3, host, int(port))
        station.terminate()
        _, said = station.communicate(timeout=20)
    assert station.returncode == 0
    assert "bay 3: camera T-1, firmware 0.1.0, boot 7" in said


@pytest.mark.parametrize(
    ("more", "said"), [(("--bay", "1", "--host", "0.0.0.0"), "cannot be told to come to '0.0.0.0'"), ((), "needs the number of its bay")]
)
def test_a_bay_that_nobody_could_find(tmp_path: Path, agency: Agency, more: tuple[str, ...], said: str) -> None:
    agency.dock(tmp_path / "dock")
    command_line = dock_command(tmp_path, "--hint-device", tmp_path / "tty", *more)
    done = subprocess.run(command_line, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize("data", [b"", b"10.0.0.1:8443\n", encode(Hello("T", "1", 1)), encode(Bay("d", 1, "::1", 1))[:-3], b"x" * 5000])
def test_a_file_that_is_no_hint_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / HINT_FILE).write_bytes(data)
    assert read_hint(tmp_path / HINT_FILE) is None
    assert read_hint(tmp_path / "absent") is None


def test_a_hint_is_an_address(tmp_path: Path) -> None:
    (tmp_path / HINT_FILE).write_bytes(encode(Bay("d", 1, "fe80::2%usb0", 8443)))
    assert read_hint(tmp_path / HINT_FILE) == ("fe80::2%usb0", 8443)
