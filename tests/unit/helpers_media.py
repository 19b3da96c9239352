"""Plain fixtures of the media tests: real H.264 and AAC from PyAV, hand-made NAL units, a signing key with its chain."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from functools import cache

import av
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware.media.access_unit import AccessUnit, parse_access_unit
from firmware.media.gop import AudioUnit, Gop, GopAssembler
from firmware.timebase import Timestamp, Trust

WALL_NS = 1_795_421_687_000_000_000
BOOT_NS = 5_000_000_000
FRAME_NS = 33_333_333

SPS_NAL = bytes.fromhex("6742c00dda0507ec04400000030040000007a3c50aa8")
PPS_NAL = bytes.fromhex("68ce3c80")


def at(index: int, step_ns: int = FRAME_NS) -> Timestamp:
    """Time of picture ``index``."""
    return Timestamp(BOOT_NS + index * step_ns, WALL_NS + index * step_ns, Trust.SYNCED, 1_000_000)


def annexb(*nals: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + nal for nal in nals)


@cache
def x264(pictures: int = 30, gop: int = 10, slices: int = 2, size: tuple[int, int] = (320, 180)) -> tuple[tuple[bytes, bool], ...]:
    """Real pictures of a moving scene, as (Annex B bytes, keyframe)."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = *size, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, 30), Fraction(30, 1)
    params = f"keyint={gop}:min-keyint={gop}:scenecut=0:slices={slices}:sliced-threads=1:threads={slices}"
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": params}
    made = []
    for index in range(pictures):
        y, x = np.mgrid[0 : size[1], 0 : size[0]]
        image = np.stack([(x + 5 * index) % 256, (y + 3 * index) % 256, (x * y // 50 + index) % 256], axis=2)
        frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24").reformat(format="yuv420p")
        frame.pts = index
        made += [(bytes(packet), packet.is_keyframe) for packet in codec.encode(frame)]
    made += [(bytes(packet), packet.is_keyframe) for packet in codec.encode(None)]
    return tuple(made)


@cache
def aac(frames: int = 44, rate: int = 48_000) -> tuple[bytes, tuple[bytes, ...]]:
    """AudioSpecificConfig and raw AAC units of a tone."""
    codec = av.CodecContext.create("aac", "w")
    codec.sample_rate, codec.layout, codec.format = rate, "mono", "fltp"
    codec.time_base = Fraction(1, rate)
    made: list[bytes] = []
    for index in range(frames):
        t = (np.arange(1024) + 1024 * index) / rate
        frame = av.AudioFrame.from_ndarray((0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)[None, :], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 1024 * index
        made += [bytes(packet) for packet in codec.encode(frame)]
    return bytes(codec.extradata), tuple(made)


def units(pictures: int = 30, gop: int = 10, slices: int = 2) -> list[AccessUnit]:
    return [parse_access_unit(data, key, at(index)) for index, (data, key) in enumerate(x264(pictures, gop, slices))]


def assemble(pictures: list[AccessUnit], sounds: tuple[AudioUnit, ...] = ()) -> list[Gop]:
    """Feed in order of time and flush."""
    assembler = GopAssembler()
    gops: list[Gop | None] = []
    pending = list(sounds)
    for unit in pictures:
        while pending and pending[0].time.boottime_ns < unit.time.boottime_ns:
            assembler.push_audio(pending.pop(0))
        gops.append(assembler.push(unit))
    for sound in pending:
        assembler.push_audio(sound)
    gops.append(assembler.flush())
    return [gop for gop in gops if gop is not None]


def sounds(count: int = 44, rate: int = 48_000, offset_ns: int = 1_000_000) -> tuple[AudioUnit, ...]:
    made = []
    for index, data in enumerate(aac(count, rate)[1][:count]):
        later = offset_ns + index * 1024 * 1_000_000_000 // rate
        made.append(AudioUnit(data, Timestamp(BOOT_NS + later, WALL_NS + later, Trust.SYNCED)))
    return tuple(made)


def fake_unit(index: int, keyframe: bool, size: int = 100, step_ns: int = FRAME_NS, slices: int = 1) -> AccessUnit:
    """A picture that satisfies the parser; its slices hold no decodable data."""
    body = index.to_bytes(4, "big").replace(b"\x00", b"\x7f") + b"\xaa" * max(size - 6, 1)
    head = bytes((0x65 if keyframe else 0x41,))
    nals = [head + (b"\x88" if part == 0 else b"\x40") + bytes((part + 1,)) + body for part in range(slices)]
    return parse_access_unit(annexb(*([SPS_NAL, PPS_NAL] if keyframe else []), *nals), keyframe, at(index, step_ns))


def fake_units(pictures: int, gop: int, **options: int) -> list[AccessUnit]:
    return [fake_unit(index, index % gop == 0, **options) for index in range(pictures)]


class Signer:
    """A P-256 (or P-384) key, its certificate by a root, and the root."""

    def __init__(self, curve: ec.EllipticCurve | None = None) -> None:
        self.key = ec.generate_private_key(curve or ec.SECP256R1())
        self.signature_max_bytes = 72 if self.key.key_size == 256 else 104
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = _certificate("test root", self.root_key.public_key(), "test root", self.root_key, ca=True)
        self.leaf = _certificate("test camera", self.key.public_key(), "test root", self.root_key, ca=False)
        self.chain_pem = self.leaf.public_bytes(serialization.Encoding.PEM)

    def sign_digest(self, digest: bytes) -> bytes:
        return self.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))


def _certificate(
    name: str, public: ec.EllipticCurvePublicKey, issuer: str, key: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only", "decipher_only"),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test Agency")])
        )
        .issuer_name(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test Agency")])
        )
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2056, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if not ca:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING, x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")]), critical=False
        )
    return builder.sign(key, hashes.SHA256())
