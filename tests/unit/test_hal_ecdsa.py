"""What comes out of a device is looked at before it is believed."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils

from hal.ecdsa import ALGORITHM, checked_signature, public_from_point, require_digest
from hal.errors import DeviceFault, HalError

DIGEST = hashlib.sha256(b"evidence").digest()


def test_a_signature_that_does_not_verify_is_a_fault() -> None:
    """A bit lost on a bus is a fault of today, not "not authentic" in court."""
    key = ec.generate_private_key(ec.SECP256R1())
    r, s = utils.decode_dss_signature(key.sign(DIGEST, ALGORITHM))
    key.public_key().verify(checked_signature(r, s, DIGEST, key.public_key(), "device"), DIGEST, ALGORITHM)
    for wrong in ((r ^ 1, s), (r, s ^ 1), (0, s), (r, 0)):
        with pytest.raises(DeviceFault, match="does not verify"):
            checked_signature(*wrong, DIGEST, key.public_key(), "device")


@pytest.mark.parametrize("point", [b"", b"\x04" + bytes(64), b"\x04" + b"\x01" * 64, b"\x04" + b"\x01" * 63])
def test_a_point_off_the_curve_is_a_fault(point: bytes) -> None:
    with pytest.raises(DeviceFault, match="no point of P-256"):
        public_from_point(point, "device")


def test_a_digest_is_32_bytes() -> None:
    require_digest(DIGEST)
    with pytest.raises(HalError, match="32 bytes, got 31"):
        require_digest(DIGEST[:31])
