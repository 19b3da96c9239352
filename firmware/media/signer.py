"""ONVIF Media Signing, the signer: every GOP's pictures hashed, signed, and the signature put into the stream.

Responsible for "Basic rules", "Hash of a NAL unit" and "SEI placement" of ONVIF Media Signing for one stream, that is one
recording: its first GOP has counter 1 and a linked hash of zeros, so that a cut head shows. Refuses to hold a key: a
callable signs digests, and may block 300 ms on a TPM.

Invariants: only slices are hashed (we make no unsigned SEI), so inserting an SEI changes no hash. The SEI of a GOP travels
behind the IDR of the next one: a clip cut at an IDR then validates. The anchor of a GOP that continues a partial one is
still the first slice of the IDR before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from firmware.errors import FormatError
from firmware.media.access_unit import AccessUnit
from firmware.media.gop import Gop
from firmware.media.nal import AUD, is_primary_slice, is_vcl
from firmware.media.onvif_sei import (
    HASH_BYTES,
    LAYER,
    MAX_CERTIFICATES,
    MAX_LISTED_HASHES,
    General,
    Vendor,
    build_document,
    build_sei,
    fixed_records,
    onvif_time,
)

_MAX_CHAIN_BYTES = 16 * 1024
_MAX_HASHED = 0xFFFF


class StreamSigner:
    """Signs one recording, GOP after GOP in order. Not thread-safe: one worker owns it.

    ``chain_pem``: leaf first, intermediates, without the root, at most four. ``sign_digest`` gets the SHA-256 digest and
    returns a DER ``Ecdsa-Sig-Value``. ``signature_max_bytes``: 72 for a P-256 key, 104 for P-384. ``hash_list`` False is the
    specification's low-bitrate mode: SEIs without list, 32 bytes a slice smaller; a change is then placed to its GOP alone.
    """

    def __init__(
        self,
        chain_pem: bytes,
        sign_digest: Callable[[bytes], bytes],
        signature_max_bytes: int,
        vendor: Vendor,
        *,
        hash_list: bool = True,
    ) -> None:
        count = chain_pem.count(b"-----BEGIN CERTIFICATE-----")
        if not 1 <= count <= MAX_CERTIFICATES or len(chain_pem) > _MAX_CHAIN_BYTES:
            raise ValueError(f"expected 1 to {MAX_CERTIFICATES} certificates in PEM, got {count!r} in {len(chain_pem)} bytes")
        self._fixed = fixed_records(vendor, chain_pem)
        self._sign_digest = sign_digest
        self._signature_max_bytes = signature_max_bytes
        self._max_listed = MAX_LISTED_HASHES if hash_list else 0
        self._counter = 0
        self._anchor = b""
        self._linked_hash = bytes(HASH_BYTES)
        self._pending: bytes | None = None

    def sign_gop(self, gop: Gop) -> Gop:
        """The GOP with the SEI of the GOP before it; its own follows in the next, or in :meth:`finish`.

        Raises what ``sign_digest`` raises, then with nothing changed: the call may be repeated.
        """
        sei = self._make_sei(gop)
        signed = _insert(gop, self._pending) if self._pending is not None else gop
        self._pending = sei
        return signed

    def finish(self, gop: Gop) -> Gop:
        """The last GOP, with the SEI of the one before and its own, a trailing NAL unit of its last picture."""
        signed = self.sign_gop(gop)
        assert self._pending is not None
        signed = _append(signed, self._pending)
        self._pending = None
        return signed

    def _make_sei(self, gop: Gop) -> bytes:
        anchor, hashes = _hash_slices(gop, self._anchor)
        if not 0 < len(hashes) <= _MAX_HASHED:
            raise FormatError(LAYER, f"expected 1 to {_MAX_HASHED} slices in a GOP, got {len(hashes)}")
        general = General(
            partial=gop.partial,
            start=onvif_time(gop.start),
            end=onvif_time(gop.end or gop.units[-1].time),
            counter=self._counter + 1,
            hashed_nals=len(hashes),
            gop_hash=sha256(b"".join(hashes)).digest(),
            linked_hash=self._linked_hash,
        )
        listed = hashes if len(hashes) <= self._max_listed else []
        document = build_document(self._fixed, general, listed, self._signature_max_bytes)
        sei = build_sei(document, self._sign_digest(sha256(document).digest()), self._signature_max_bytes)
        self._counter, self._anchor, self._linked_hash = general.counter, anchor, hashes[0]
        return sei


def _hash_slices(gop: Gop, anchor: bytes) -> tuple[bytes, list[bytes]]:
    """The GOP's anchor and the hash of every slice, in decoding order."""
    hashes: list[bytes] = []
    if gop.continues and not anchor:
        raise FormatError(LAYER, "expected a recording to begin with an IDR picture")
    if not gop.continues:
        anchor = b""
    for unit in gop.units:
        for nal in unit.nals:
            if is_vcl(nal):
                digest = sha256(nal).digest()
                if anchor:
                    digest = sha256(anchor + digest).digest()
                else:
                    anchor = digest
                hashes.append(digest)
    return anchor, hashes


def _insert(gop: Gop, sei: bytes) -> Gop:
    """Put the SEI in front of the first picture that is no IDR; behind everything when there is none."""
    for index, unit in enumerate(gop.units):
        if not unit.keyframe and any(map(is_primary_slice, unit.nals)):
            delimiters = 1 if unit.nals[0][0] & 0x1F == AUD else 0
            return _with_nals(gop, index, (*unit.nals[:delimiters], sei, *unit.nals[delimiters:]), sei)
    return _append(gop, sei)


def _append(gop: Gop, sei: bytes) -> Gop:
    return _with_nals(gop, len(gop.units) - 1, (*gop.units[-1].nals, sei), sei)


def _with_nals(gop: Gop, index: int, nals: tuple[bytes, ...], sei: bytes) -> Gop:
    old = gop.units[index]
    units = (*gop.units[:index], AccessUnit(nals, old.keyframe, old.time), *gop.units[index + 1 :])
    return replace(gop, units=units, size_bytes=gop.size_bytes + len(sei))
