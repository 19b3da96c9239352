"""A bench that runs the real daemon in a simulated world, and what tests ask of it. Used through the fixtures of conftest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from firmware.boot import boot as boot_firmware
from firmware.config import DeviceConfig, load_config
from firmware.custody.checkpoint import read_log
from firmware.custody.entries import Entry
from firmware.daemon import Daemon
from firmware.evidence import pki
from firmware.evidence.cms import open_sealed
from firmware.evidence.findings import Report
from firmware.evidence.manifest import Manifest
from firmware.evidence.verify import OpeningKey, verify_device
from firmware.media.fmp4_read import parse_fragment, parse_init
from hal.errors import PowerCut
from hal.interfaces import KeyProtection
from hal.sim.boot import boot as boot_world
from hal.sim.timeline import SECOND
from hal.sim.world import World
from tools.policies import read_profile
from tools.provision import Agency, CameraOrder, make_camera
from tools.sources import DirectorySource, load_key, load_roots

SMALL = {"width = 1280": "width = 320", "height = 720": "height = 240", "bitrate_bps = 4000000": "bitrate_bps = 250000"}
START_WALL_NS = 1_830_000_000 * SECOND


@dataclass
class Bench:
    """One provisioned camera in one world. Times are seconds of the world; the first boot is at 0."""

    config: DeviceConfig
    agency: Agency
    world: World
    options: dict[str, object] = field(default_factory=dict)
    daemon: Daemon | None = None

    def at(self, seconds: float) -> int:
        return round(seconds * SECOND)

    @contextmanager
    def life(self) -> Iterator[Daemon]:
        """Boot; closed in order at the end, or not at all after a power cut."""
        hal = boot_world(self.world, {**self.options, "volume": self.config.state_directory, "keys": self.config.key_directory})
        try:
            self.daemon = boot_firmware(hal, self.config)
            yield self.daemon
            self.daemon.close()
        finally:
            hal.close()

    def run(self, until: float) -> None:
        """One life up to ``until``, then an orderly shutdown."""
        self.world.horizon_ns = self.at(until)
        with self.life() as daemon:
            daemon.run()
            daemon.ask_shutdown("end of test")
            self.world.horizon_ns = None
            daemon.run()

    def run_into_cut(self) -> None:
        """One life that ends by the power cut that the test scheduled."""
        self.world.horizon_ns = None
        with pytest.raises(PowerCut), self.life() as daemon:
            daemon.run()

    @property
    def card(self) -> Path:
        return self.config.state_directory

    def source(self) -> DirectorySource:
        return DirectorySource(self.card)

    def recordings(self) -> list[str]:
        return list(self.source().names("vault"))

    def manifest(self, recording: str) -> Manifest:
        return Manifest.from_bytes((self.card / "vault" / recording / "manifest.json").read_bytes())

    def entries(self) -> tuple[Entry, ...]:
        chain = pki.load_certificates_pem((self.card / "ledger" / "device.pem").read_bytes())
        log = (self.card / "ledger" / "log").read_bytes()
        return read_log(log, f"oathcam/{self.config.serial}", pki.public_key(chain[0]), verify_all=True).entries

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries()]

    def key(self) -> OpeningKey:
        key = load_key(self.agency.directory / "agency.key", None)
        assert key is not None
        return key

    def verify(self, *, with_key: bool = True) -> Report:
        roots = load_roots(self.agency.directory / "root.crt")
        return verify_device(self.source(), roots, self.key() if with_key else None)


def make_camera_bench(directory: Path, agency: Agency, number: int, pre_event: int, changes: dict[str, str], seed: int) -> Bench:
    """A camera with small pictures; ``changes`` are literal replacements in the default policy."""
    _, text = read_profile("default")
    for old, new in {**SMALL, "seconds = 30": f"seconds = {pre_event}", **changes}.items():
        assert old in text, old
        text = text.replace(old, new)
    policy = directory / f"policy-{number}.toml"
    policy.write_text(text, encoding="utf-8")
    order = CameraOrder("SIM-0001", "simulated", "officer 4711", str(policy), "sim", KeyProtection.SIMULATED)
    config = load_config(make_camera(directory / f"camera-{number}", agency, order))
    return Bench(config, agency, World(START_WALL_NS, seed=seed))


def picture_times(bench, recording):
    """Seconds of every picture from the first, as the fragments' own decode times say."""
    key = bench.key()
    folder = bench.card / "vault" / recording
    init = parse_init(open_sealed((folder / "init.mp4.p7m").read_bytes(), key.private_key, key.certificate))
    times = []
    for record in bench.manifest(recording).fragments:
        sealed = (folder / f"{record.seq:06d}.m4s.p7m").read_bytes()
        info = parse_fragment(open_sealed(sealed, key.private_key, key.certificate), init)
        times += [sample.time_ns / 1e9 for sample in info.video]
    return times
