"""Whatever a snapshot's first line holds, signed or not, a boot gets what it writes again as the same bytes, or one error family each."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from firmware.custody.snapshot import FORMAT, Receipted, Snapshot, read_snapshot, write_snapshot
from firmware.errors import FormatError, IntegrityError
from firmware.evidence.primitives import sha256
from firmware.timebase import Timestamp

_KEY = ec.derive_private_key(0x5EED, ec.SECP256R1())
_RECEIPTED = Receipted.of("OC-000001-000007-0001", 3, Timestamp(2_500_000_000, 1_795_421_687_123_456_000))


def _sign(digest: bytes) -> bytes:
    return _KEY.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


_SEED = write_snapshot(Snapshot(4096, 5, ("11" * 32, "22" * 32), "OC-000001-000007-0002", False, (_RECEIPTED,)), _sign)
SEEDS = (_SEED, _SEED[: _SEED.index(b"\n")])


def target(data: bytes) -> None:
    signed = data + b"\n" + base64.b64encode(_sign(sha256(FORMAT.encode() + b"\n" + data + b"\n"))) + b"\n"
    for one in (data, signed):
        try:
            found = read_snapshot(one, _KEY.public_key())
        except (FormatError, IntegrityError):
            continue
        assert write_snapshot(found, _sign).partition(b"\n")[0] == one.partition(b"\n")[0]
