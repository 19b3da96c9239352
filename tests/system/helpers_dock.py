"""An agency, a camera with closed recordings and a dock, small and real: certificates, manifests, signatures, ledger and TLS are
those of the product; only the sealed bytes are noise, since a dock cannot open them anyway."""

import hashlib
import json
import random
import shutil
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from firmware.custody.checkpoint import Checkpoint, checkpoint_line, digest_to_sign
from firmware.custody.entries import Entry
from firmware.custody.merkle import CompactTree, leaf_hash
from firmware.dock.client import sync
from firmware.dock.link import LinkIdentity
from firmware.evidence import cms
from firmware.evidence import manifest as m
from firmware.evidence.pki import Role, to_der
from firmware.timebase import Timestamp, Trust, format_utc
from tools import pki
from tools.dock.config import Identity, Limits, StationConfig

NOW_NS = 1_790_000_000_000_000_000
VALIDITY = pki.Validity(NOW_NS - 100 * 10**9 * 86_400, 3650)
NOW = Timestamp(5_000_000_000, NOW_NS, Trust.RTC)
VIDEO = m.Video(1280, 720, 30, "avc1.640028")


def signer(key):
    return lambda digest: key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


class Agency:
    """Authorities made from a seed; the same seed gives the same agency."""

    def __init__(self, seed=1, name="Test Agency"):
        self.noise = random.Random(seed)
        self.root = pki.make_root(name, self.key(), self.number(), VALIDITY)
        self.device_ca = pki.make_authority(self.root, Role.DEVICE_CA, self.key(), self.number(), VALIDITY)
        self.dock_ca = pki.make_authority(self.root, Role.DOCK_CA, self.key(), self.number(), VALIDITY)

    def key(self):
        return pki.new_key(self.noise.randbytes)

    def number(self):
        return self.noise.getrandbits(120) | 1

    def leaf(self, directory, stem, authority, role, name, validity=VALIDITY):
        key = self.key()
        certificate = pki.issue(authority, role, name, key.public_key(), self.number(), validity)
        (directory / f"{stem}.key").write_bytes(pki.private_key_pem(key))
        (directory / f"{stem}.crt").write_bytes(pki.certificate_pem(certificate, authority.certificate))
        return key, certificate

    def dock(self, directory):
        """The dock's identity directory."""
        directory.mkdir()
        self.leaf(directory, "tls", self.dock_ca, Role.DOCK, "dock-1")
        self.leaf(directory, "store", self.dock_ca, Role.STORE, "store-1")
        (directory / "witness.key").write_text(self.noise.randbytes(32).hex() + "\n")
        for name, authority in (("root", self.root), ("device-ca", self.device_ca), ("dock-ca", self.dock_ca)):
            (directory / f"{name}.crt").write_bytes(pki.certificate_pem(authority.certificate))
        return directory


def station_config(tmp_path, agency, **values):
    identity = tmp_path / "dock"
    if not identity.exists():
        agency.dock(identity)
    values.setdefault("limits", Limits(reserve_bytes=0, idle_s=5.0, handshake_s=2.0))
    return StationConfig(store=tmp_path / "store", identity=Identity.in_directory(identity), site="site-1", **values)


class Camera:
    """A state directory as the recorder leaves it."""

    def __init__(self, directory, agency, serial="CAM1", link_validity=VALIDITY):
        self.directory, self.agency, self.serial = directory, agency, serial
        self.noise = random.Random(serial)
        directory.mkdir()
        (directory / "keys").mkdir()
        self.key, certificate = agency.leaf(directory / "keys", "device", agency.device_ca, Role.CAMERA, serial)
        agency.leaf(directory / "keys", "link", agency.dock_ca, Role.CAMERA_LINK, serial, link_validity)
        self.chain = (to_der(certificate), to_der(agency.device_ca.certificate))
        for name, authority in (("root", agency.root), ("dock-ca", agency.dock_ca)):
            (directory / "keys" / f"{name}.crt").write_bytes(pki.certificate_pem(authority.certificate))
        self.state = directory / "card"
        (self.state / "ledger").mkdir(parents=True)
        (self.state / "vault").mkdir()
        self.tree = CompactTree()
        self.log = self.state / "ledger" / "log"
        self.clock_us = 1_000_000
        self.append(("ready", {}))

    @property
    def link(self):
        keys = self.directory / "keys"
        return LinkIdentity(keys / "link.crt", keys / "link.key", keys / "root.crt", keys / "dock-ca.crt", keys / "device.crt")

    def sync(self, address, **values):
        values.setdefault("sleep", lambda seconds: None)
        values.setdefault("now", NOW)
        return sync(self.state, self.link, address, **values)

    def sign(self, content):
        return cms.sign_detached(content, self.chain, signer(self.key), NOW_NS)

    # --- the ledger

    def append(self, *drafts, sign=None):
        """One batch of leaves with its signed checkpoint."""
        lines = []
        for kind, fields in drafts:
            leaf = Entry(self.tree.size, kind, self.now(), 1, fields).to_bytes()
            self.tree.append(leaf_hash(leaf))
            lines.append(leaf + b"\n")
        checkpoint = Checkpoint(f"oathcam/{self.serial}", self.tree.size, self.tree.root())
        lines.append(checkpoint_line(checkpoint, (sign or signer(self.key))(digest_to_sign(checkpoint.text()))))
        with self.log.open("ab") as file:
            file.write(b"".join(lines))

    def now(self):
        self.clock_us += 1000
        return Timestamp(self.clock_us * 1000, NOW_NS + self.clock_us * 1000, Trust.RTC)

    def keep_ledger(self):
        """The card's ledger as it is now, to be rolled back to."""
        return self.log.read_bytes(), self.tree.copy()

    def restore_ledger(self, kept):
        self.log.write_bytes(kept[0])
        self.tree = kept[1].copy()

    # --- recordings

    def record(self, name, fragments=3, size=3000, leaves=True, forge=None):
        """A closed recording in the vault, behind its leaves. ``forge`` may change the manifest's value before it is signed."""
        directory = self.state / "vault" / name
        directory.mkdir()
        at = self.now()
        facts = {"boot": 1, "boottime_us": at.boottime_ns // 1000, "utc": at.utc, "trust": "rtc", "cause": "button"}
        device = m.Device(self.serial, "oathcam", "0.1", "0" * 64, "sim")
        policy = m.PolicyRef("default", 1, "0" * 64)
        begin = m.Begin(
            recording=name,
            device=device,
            key_protection="file",
            policy=policy,
            counter=1,
            **facts,
            pre_event_ms=0,
            pre_event_audio=False,
            shortfall=None,
            video=VIDEO,
            audio=None,
            recipients=("1" * 64,),
            ledger_index=self.tree.size,
        )
        begin_bytes = begin.to_bytes()
        begin_sha = hashlib.sha256(begin_bytes).hexdigest()
        sealed = {"init.mp4.p7m": self.noise.randbytes(300), "notes.json.p7m": self.noise.randbytes(200)}
        sealed |= {m.fragment_name(seq): self.noise.randbytes(size + seq) for seq in range(fragments)}
        for file, data in {**sealed, "begin.json": begin_bytes, "begin.json.p7s": self.sign(begin_bytes)}.items():
            (directory / file).write_bytes(data)
        records = tuple(self._record_of(seq, sealed[m.fragment_name(seq)], at) for seq in range(fragments))
        drafts = [("begin", {"recording": name, "begin_sha256": begin_sha, "cause": "button"})]
        drafts += [("init", {"recording": name, "plain": "2" * 64, "plain_bytes": 10, **sealed_fields(sealed["init.mp4.p7m"])})]
        drafts += [("fragment", self._leaf_of(name, record)) for record in records]
        manifest = m.Manifest(
            recording=name,
            device=device,
            key_protection="file",
            policy=policy,
            begin=m.Moment(**facts),
            begin_sha256=begin_sha,
            end=m.End(facts["boottime_us"] + 1000 * fragments, self.now().utc, "rtc", "button"),
            recovered=None,
            pre_event=m.PreEvent(0, 0, 0, 0, False, None),
            video=VIDEO,
            audio=None,
            init=m.SealedObject("2" * 64, 10, *pair(sealed["init.mp4.p7m"])),
            fragments=records,
            marks=(),
            gaps=(),
            mutes=(),
            notes=m.Notes(*pair(sealed["notes.json.p7m"])),
            recipients=("1" * 64,),
            ledger=m.LedgerSpan(begin.ledger_index, begin.ledger_index + 1 + fragments),
            unattested=(),
        )
        if forge is not None:
            manifest = forge(manifest)
        data = manifest.to_bytes()
        (directory / "manifest.json").write_bytes(data)
        (directory / "manifest.json.p7s").write_bytes(self.sign(data))
        drafts += [("end", {"recording": name, "manifest_sha256": hashlib.sha256(data).hexdigest(), "cause": "button"})]
        if leaves:
            self.append(*drafts[:1])
            self.append(*drafts[1:])
        return directory

    def _record_of(self, seq, data, at):
        start = at.boottime_ns // 1000 + seq * 1000
        return m.FragmentRecord(seq, start, format_utc(NOW_NS), 1000, 30, 0, "3" * 64, 100, *pair(data))

    def _leaf_of(self, name, record):
        copied = ("seq", "duration_us", "pictures", "audio_frames", "plain_bytes", "sealed_bytes")
        fields = {"recording": name, "start_us": record.boottime_us, "start_utc": record.utc}
        fields |= {"plain": record.plain_sha256, "sealed": record.sealed_sha256}
        return fields | {one: getattr(record, one) for one in copied}

    def release(self, name):
        """What the recorder does with a verified receipt: leaves and files."""
        spool = self.state / "sync" / "receipts" / f"{name}.json"
        receipt = hashlib.sha256(spool.read_bytes()).hexdigest()
        self.append(("receipt", {"recording": name, "receipt_sha256": receipt, "store": "store-1"}))
        shutil.rmtree(self.state / "vault" / name)
        self.append(("release", {"recording": name}))
        spool.unlink()


def pair(data):
    return hashlib.sha256(data).hexdigest(), len(data)


def sealed_fields(data):
    return dict(zip(("sealed", "sealed_bytes"), pair(data), strict=True))


def tree_of(directory):
    """Names and bytes of everything under a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(Path(directory).rglob("*")) if path.is_file()}


def reasons(store):
    """The reasons that lie in a store's quarantine."""
    return [json.loads(path.read_bytes())["reason"] for path in sorted((store / "quarantine").rglob("reason.json"))]
