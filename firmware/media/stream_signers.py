"""Who signs a stream: the certificates that its SEIs bring, and whether an SEI is by one of them.

Responsible for remembering chains (from every SEI, from certificate SEIs, or from the first SEI alone) and the signature
algorithm, and for checking the signature of one SEI. Refuses to know GOPs. Invariant: an SEI is returned as signed only when
its signature verified under a key whose chain leads to a trusted root, where roots were given.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from firmware.errors import FormatError, IntegrityError
from firmware.media.chain import SigningKey, parse_chain, signing_key, verify_chain, verify_signature
from firmware.media.onvif_sei import LAYER, SigningSei

MAX_SIGNERS = 16
"""Different chains that one stream may bring; a stream of a camera brings one."""


@dataclass(frozen=True, slots=True)
class Signer:
    """One key. ``distrust`` says why no trusted root vouches for it; empty when one does, or when none was asked for."""

    certificate: x509.Certificate
    key: SigningKey
    distrust: str

    @property
    def name(self) -> str:
        """Its subject, for people."""
        return self.certificate.subject.rfc4514_string()


class StreamSigners:
    """``roots``: trusted roots, or ``None`` not to ask. ``at``: see :mod:`firmware.media.chain`."""

    def __init__(self, roots: Sequence[x509.Certificate] | None, at: dt.datetime | None) -> None:
        self._roots = roots
        self._at = at
        self._known: dict[bytes, Signer] = {}
        self._algorithm: bytes | None = None

    def check(self, sei: SigningSei) -> Signer:
        """Who signed it. IntegrityError when nobody did who may; FormatError when that cannot be told."""
        records = sei.records
        if sei.signature is None:
            raise FormatError(LAYER, "expected a signature record, got none")
        # The certificate SEI is signed by the manufacturer's key, whatever key signs the GOPs.
        pem = records.manufacturer_pem if sei.is_certificate_sei else records.certificates_pem
        algorithm = records.signature_oid if records.signature_oid is not None else self._algorithm
        if algorithm is None:
            raise FormatError(LAYER, "expected crypto information in the first SEI, got none")
        signer = self._verify(sei.signature, sei.document, pem, algorithm)
        self._algorithm = algorithm if self._algorithm is None or sei.is_certificate_sei else self._algorithm
        if signer.distrust:
            raise IntegrityError(LAYER, signer.distrust)
        if sei.is_certificate_sei and records.certificates_pem is not None:
            self._known[records.certificates_pem] = self._signer(records.certificates_pem)
        return signer

    def _verify(self, signature: bytes, document: bytes, pem: bytes | None, algorithm: bytes) -> Signer:
        candidates = [self._signer(pem)] if pem is not None else list(self._known.values())
        if not candidates:
            raise FormatError(LAYER, "expected certificates in the first signed SEI, got none")
        for signer in candidates:
            try:
                verify_signature(signer.key, signature, document, algorithm)
            except IntegrityError:
                continue
            except FormatError:
                if len(candidates) == 1:
                    raise
                continue
            if pem is not None:
                self._known.setdefault(pem, signer)
            return signer
        raise IntegrityError(LAYER, "the signature does not verify")

    def _signer(self, pem: bytes) -> Signer:
        """From PEM; remembered once a signature was good, or where a signed certificate SEI brought it."""
        if pem in self._known:
            return self._known[pem]
        if len(self._known) >= MAX_SIGNERS:
            raise FormatError(LAYER, f"expected at most {MAX_SIGNERS} different certificate chains in a stream, got more")
        chain = parse_chain(pem)
        distrust = ""
        if self._roots is not None:
            try:
                verify_chain(chain, self._roots, self._at)
            except IntegrityError as error:
                distrust = str(error)
        return Signer(chain[0], signing_key(chain[0]), distrust)
