"""A throwaway agency with fixed keys, and documents to sign: the same bytes in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from firmware.evidence import cms, pki
from firmware.evidence import manifest as m
from firmware.evidence.pki import Role
from tools import pki as issuing

ISSUED_NS = 1_767_225_600 * 10**9  # 2026-01-01
NOW_NS = 1_795_421_687 * 10**9  # 2026-11-23
VALIDITY = issuing.Validity(ISSUED_NS, 365 * 30)
SERIAL = "OC-000001"
ORIGIN = f"oathcam/{SERIAL}"


def stream(seed: str) -> Callable[[int], bytes]:
    """Bytes that look random and are the same in every run."""
    state = {"n": 0}

    def draw(count: int) -> bytes:
        out = b""
        while len(out) < count:
            out += hashlib.sha256(f"{seed}/{state['n']}".encode()).digest()
            state["n"] += 1
        return out[:count]

    return draw


def signer(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    """What a key store does, deterministically (RFC 6979)."""
    return lambda digest: key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()), deterministic_signing=True))


@dataclass(frozen=True)
class Holder:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    chain: tuple[bytes, ...]

    def sign(self, content: bytes, at_ns: int = NOW_NS) -> bytes:
        return cms.sign_detached(content, self.chain, signer(self.key), at_ns)


@dataclass(frozen=True)
class Agency:
    root: issuing.Authority
    device_ca: issuing.Authority
    dock_ca: issuing.Authority
    camera: Holder
    store: Holder
    agency: Holder
    oversight: Holder

    @property
    def roots(self) -> list[x509.Certificate]:
        return [self.root.certificate]

    @property
    def recipients(self) -> list[cms.Recipient]:
        return [cms.Recipient.from_certificate(one.certificate) for one in (self.agency, self.oversight)]


def holder(authority: issuing.Authority, role: Role, name: str, serial: int, curve: ec.EllipticCurve | None = None) -> Holder:
    key = issuing.new_key(stream(f"{authority.agency}/{role.value}/{name}"), curve)
    certificate = issuing.issue(authority, role, name, key.public_key(), serial, VALIDITY)
    above = () if authority.role is Role.ROOT else (pki.to_der(authority.certificate),)
    return Holder(key, certificate, (pki.to_der(certificate), *above))


@cache
def agency(name: str = "Test Agency") -> Agency:
    draw = stream(name)
    root = issuing.make_root(name, issuing.new_key(draw), 1, VALIDITY)
    device_ca = issuing.make_authority(root, Role.DEVICE_CA, issuing.new_key(draw), 2, VALIDITY)
    dock_ca = issuing.make_authority(root, Role.DOCK_CA, issuing.new_key(draw), 3, VALIDITY)
    return Agency(
        root,
        device_ca,
        dock_ca,
        camera=holder(device_ca, Role.CAMERA, SERIAL, 10),
        store=holder(dock_ca, Role.STORE, "store-1", 11),
        agency=holder(root, Role.RECIPIENT, "agency", 12),
        oversight=holder(root, Role.RECIPIENT, "oversight", 13, ec.SECP384R1()),
    )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


UTC = "2026-11-23T08:14:47.123456Z"


def begin() -> m.Begin:
    return m.Begin(
        recording="20261123T081447Z-OC-000001",
        device=m.Device(SERIAL, "sim", "0.1.0", digest("firmware"), "sim"),
        key_protection="simulated",
        policy=m.PolicyRef("dhs", 3, digest("policy")),
        counter=7,
        boot=7,
        boottime_us=65_000_000,
        utc=UTC,
        trust="rtc",
        cause="button",
        pre_event_ms=30_000,
        pre_event_audio=False,
        shortfall=None,
        video=m.Video(1280, 720, 30, "avc1.42C01F"),
        audio=m.Audio(48_000, 1),
        recipients=(digest("one"), digest("two")),
        ledger_index=4,
    )


def fragment(seq: int) -> m.FragmentRecord:
    return m.FragmentRecord(
        seq=seq,
        boottime_us=60_000_000 + seq * 1_000_000,
        utc=UTC,
        duration_us=1_000_000,
        pictures=30,
        audio_frames=47,
        plain_sha256=digest(f"plain {seq}"),
        plain_bytes=500_000 + seq,
        sealed_sha256=digest(f"sealed {seq}"),
        sealed_bytes=500_600 + seq,
    )


def manifest(fragments: int = 4) -> m.Manifest:
    start = begin()
    return m.Manifest(
        recording=start.recording,
        device=start.device,
        key_protection="simulated",
        policy=start.policy,
        begin=start.moment(),
        begin_sha256=hashlib.sha256(start.to_bytes()).hexdigest(),
        end=m.End(64_000_000, UTC, "rtc", "button"),
        pre_event=m.PreEvent(30_000, 2_000, 2, 2, False, "just-booted"),
        video=start.video,
        audio=start.audio,
        init=m.SealedObject(digest("init"), 800, digest("sealed init"), 1_400),
        fragments=tuple(fragment(seq) for seq in range(fragments)),
        marks=(m.Mark(62_500_000, UTC, 2),),
        gaps=(m.Gap(1, 62_000_000, 1_000_000, 30, "queue-full"),),
        notes=m.Notes(digest("notes"), 900),
        recipients=start.recipients,
        ledger=m.LedgerSpan(4, 11),
        mutes=(m.Mute(61_000_000, 61_500_000, "button"),),
    )


def closed_later(whole: m.Manifest) -> m.Manifest:
    return replace(whole, end=replace(whole.end, cause="power-loss"), recovered=m.Recovered(8, UTC))
