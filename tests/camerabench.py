"""A bench that runs the real daemon in a simulated world, and what tests ask of it. Used through the fixtures of conftest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware.boot import boot as boot_firmware
from firmware.config import DeviceConfig, load_config
from firmware.custody.checkpoint import LogState, read_log
from firmware.custody.entries import Entry
from firmware.custody.merkle import root_of
from firmware.custody.receipt import LedgerPoint, Receipt, ReceiptFile
from firmware.daemon import Daemon
from firmware.evidence import pki
from firmware.evidence.cms import open_sealed, sign_detached
from firmware.evidence.findings import Report
from firmware.evidence.manifest import Manifest
from firmware.evidence.primitives import sha256
from firmware.evidence.verify import OpeningKey, verify_device
from firmware.media.fmp4_read import parse_fragment, parse_init
from firmware.timebase import format_utc
from hal.errors import PowerCut
from hal.interfaces import ButtonName, Hal, KeyProtection
from hal.sim.boot import boot as boot_world
from hal.sim.timeline import SECOND
from hal.sim.world import World
from tools.policies import read_profile
from tools.provision import Agency, CameraOrder, make_camera
from tools.sources import DirectorySource, load_key, load_roots

SMALL = {"width = 1280": "width = 320", "height = 720": "height = 240", "bitrate_bps = 4000000": "bitrate_bps = 250000"}
RECORDING = "SIM-0001-000001-0001"
"""The first recording of a camera's first boot."""
START_WALL_NS = 1_830_000_000 * SECOND


@dataclass
class Bench:
    """One provisioned camera in one world. Times are seconds of the world; the first boot is at 0."""

    config: DeviceConfig
    agency: Agency
    world: World
    options: dict[str, object] = field(default_factory=dict)
    daemon: Daemon | None = None
    change: Callable[[Hal], Hal] = lambda hal: hal
    """Puts another device in the place of a simulated one."""
    ended_in_order: bool = True
    """Of the newest life: whether what waited was written."""

    def at(self, seconds: float) -> int:
        return round(seconds * SECOND)

    @contextmanager
    def life(self) -> Iterator[Daemon]:
        """Boot; closed in order at the end, or not at all after a power cut."""
        hal = boot_world(self.world, {**self.options, "volume": self.config.state_directory, "keys": self.config.key_directory})
        try:
            self.daemon = boot_firmware(self.change(hal), self.config)
            yield self.daemon
            self.ended_in_order = self.daemon.close()
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

    def entries(self, *, after_cut: bool = False) -> tuple[Entry, ...]:
        """The signed leaves; ``after_cut`` reads as a boot does, for which a torn batch at the end is no forgery."""
        return self.ledger(after_cut=after_cut).entries

    def ledger(self, *, after_cut: bool = False) -> LogState:
        chain = pki.load_certificates_pem((self.card / "ledger" / "device.pem").read_bytes())
        log = (self.card / "ledger" / "log").read_bytes()
        return read_log(log, f"oathcam/{self.config.serial}", pki.public_key(chain[0]), verify_all=not after_cut)

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries()]

    def key(self) -> OpeningKey:
        key = load_key(self.agency.directory / "agency.key", None)
        assert key is not None
        return key

    def verify(self, *, with_key: bool = True) -> Report:
        roots = load_roots(self.agency.directory / "root.crt")
        return verify_device(self.source(), roots, self.key() if with_key else None)


def make_camera_bench(
    directory: Path, agency: Agency, number: int, pre_event: int, changes: dict[str, str], seed: int, serial: str = "SIM-0001"
) -> Bench:
    """A camera with small pictures; ``changes`` are literal replacements in the default policy."""
    _, text = read_profile("default")
    for old, new in {**SMALL, "seconds = 30": f"seconds = {pre_event}", **changes}.items():
        assert old in text, old
        text = text.replace(old, new)
    policy = directory / f"policy-{number}.toml"
    policy.write_text(text, encoding="utf-8")
    order = CameraOrder(serial, "simulated", "officer 4711", str(policy), "sim", KeyProtection.SIMULATED)
    config = load_config(make_camera(directory / f"camera-{number}", agency, order))
    return Bench(config, agency, World(START_WALL_NS, seed=seed))


def two_recordings(directory: Path, agency: Agency) -> Bench:
    """A camera that was switched off after two recordings, each of which the wearer closed."""
    bench = make_camera_bench(directory, agency, 0, 1, {}, 7)
    for start in (2, 10):
        bench.world.double_press(bench.at(start))
        bench.world.press(ButtonName.RECORD, bench.at(start + 1), hold_ms=3300)
    bench.run(18)
    return bench


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


def receipt_for(bench, **changes) -> Receipt:
    """For the first recording, unless ``recording`` is another that the card holds."""
    folder = bench.card / "vault" / changes.get("recording", RECORDING)
    folder = folder if folder.exists() else folder.with_name(RECORDING)
    files = [ReceiptFile(one.name, sha256(one.read_bytes()).hex(), one.stat().st_size) for one in sorted(folder.iterdir())]
    fields = {
        "recording": RECORDING,
        "device": "SIM-0001",
        "manifest_sha256": sha256((folder / "manifest.json").read_bytes()).hex(),
        "files": tuple(files),
        "ledger": LedgerPoint(len(bench.entries()), root_of(bench.ledger().hashes).hex()),
        "store": "store-1",
        "store_index": 1,
        "received_utc": format_utc(bench.world.true_wall_ns()),
    }
    return Receipt(**{**fields, **changes})


def leave(bench, receipt: Receipt, signer) -> None:
    """Put a receipt into the spool, signed by ``signer``'s store key, as the dock-sync process would."""
    key = load_pem_private_key((signer / "store.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    chain = [pki.to_der(one) for one in pki.load_certificates_pem((signer / "store.crt").read_bytes())]
    data = receipt.to_bytes()
    signature = sign_detached(
        data, chain, lambda digest: key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))), bench.world.true_wall_ns()
    )
    spool = bench.card / "sync" / "receipts"
    name = receipt.recording if (bench.card / "vault" / receipt.recording).exists() else RECORDING
    (spool / f"{name}.json.p7s").write_bytes(signature)
    (spool / f"{name}.json").write_bytes(data)


def leave_receipt(bench) -> None:
    """From the agency's dock, for the first recording, if it is closed by then."""
    if (bench.card / "vault" / RECORDING / "manifest.json").exists():
        leave(bench, receipt_for(bench), bench.agency.directory / "dock")
