"""C2PA for a public release: a manifest with the agency's certificate in the exported MP4, which any C2PA reader checks.

Responsible for what the C2PA manifest says and for its check. It names the recording and puts the camera's own manifest and
signature into the standard's place for what something was made of: ingredients with embedded data, byte for byte, so whoever
gets the file has the camera's word as well as the agency's. Nothing personal stands in either. Needs the extra ``c2pa``; asks
nobody over the network.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import firmware
from firmware.errors import FormatError, IntegrityError, UnavailableError, UsageError
from firmware.evidence import pki
from firmware.evidence.manifest import Manifest
from firmware.evidence.primitives import sha256

ASSERTION = "org.oathcam.recording"
MANIFEST, SIGNATURE = "manifest.json", "manifest.json.p7s"
_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_KEY_PURPOSES = "1.3.6.1.5.5.7.3.36\n1.3.6.1.4.1.62558.2.1\n"
"""documentSigning, and C2PA's own claim signing."""
_SETTINGS = {
    # The agency's certificate is nobody's business to judge here: readers have their own lists of whom they trust.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": False, "verify_after_sign": True},
    "trust": {"trust_config": _KEY_PURPOSES},
}


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who releases: the certificate with its chain (PEM, leaf first, without the root), and its key."""

    chain_pem: str
    private_key: ec.EllipticCurvePrivateKey

    @property
    def algorithm(self) -> str:
        return "ES256" if self.private_key.curve.name == "secp256r1" else "ES384"

    def sign(self, data: bytes) -> bytes:
        """ECDSA as COSE wants it: r and s, each as long as the curve's order."""
        chosen = hashes.SHA256() if self.algorithm == "ES256" else hashes.SHA384()
        size = self.private_key.key_size // 8
        r, s = utils.decode_dss_signature(self.private_key.sign(data, ec.ECDSA(chosen)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def load_publisher(certificate: Path, key: Path) -> Publisher:
    """UsageError when they are not a certificate and its EC key on P-256 or P-384; UnavailableError without the C2PA library."""
    _library()
    try:
        chain = certificate.read_bytes()
        public = pki.public_key(pki.load_certificates_pem(chain)[0])
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError, FormatError, IntegrityError) as error:
        raise UsageError(f"no C2PA identity: {error}", remedy="Give the agency's publisher.crt and publisher.key.") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != public:
        raise UsageError(f"{str(key)!r} does not belong to {str(certificate)!r}", remedy="Give the certificate's own key.")
    return Publisher(chain.decode("ascii", "replace"), private)


def sign_release(movie: Path, manifest: Manifest, signature: bytes, publisher: Publisher) -> None:
    """Put a C2PA manifest into ``movie``, in place; it is read back and checked before. ``signature``: the camera's, over its
    manifest. UsageError when the library refuses the certificate, IntegrityError when what it wrote does not validate."""
    c2pa = _library()
    target = movie.with_name(movie.name + ".c2pa")
    try:
        context = c2pa.Context.from_json(json.dumps(_SETTINGS))
        builder = c2pa.Builder(json.dumps(_definition(manifest)), context)
        for name, kind, data in (
            (MANIFEST, "application/json", manifest.to_bytes()),
            (SIGNATURE, "application/pkcs7-signature", signature),
        ):
            ingredient = {"title": name, "relationship": "inputTo", "data": {"format": kind, "identifier": name}}
            builder.add_ingredient(json.dumps(ingredient), kind, io.BytesIO(data))
            builder.add_resource(name, io.BytesIO(data))
        signer = c2pa.Signer.from_callback(publisher.sign, c2pa.C2paSigningAlg[publisher.algorithm], publisher.chain_pem)
        with movie.open("rb") as source, target.open("x+b") as sink:
            builder.sign(signer, "video/mp4", source, sink)
        _check(c2pa, context, target)
        target.replace(movie)
    except c2pa.C2paError as error:
        raise UsageError(f"the C2PA library refuses: {error}", remedy="Give a certificate for C2PA, such as provisioning makes.") from None
    finally:
        target.unlink(missing_ok=True)


def _check(c2pa: Any, context: Any, path: Path) -> None:
    with path.open("rb") as file:
        state = c2pa.Reader("video/mp4", file, None, context).get_validation_state()
    if state not in ("Valid", "Trusted"):
        raise IntegrityError("c2pa", f"what was written does not validate: {state}")


def _definition(manifest: Manifest) -> dict[str, Any]:
    """Two actions (captured, put into one file), and an assertion of our own with the facts that a reader can use at once."""
    captured = "virtualRecording" if manifest.device.backend == "sim" else "digitalCapture"
    agent = {"name": "Oathcam", "version": manifest.device.firmware}
    actions = [
        {"action": "c2pa.created", "when": manifest.begin.utc, "digitalSourceType": _SOURCE + captured, "softwareAgent": agent},
        {"action": "c2pa.repackaged", "softwareAgent": {"name": "Oathcam", "version": firmware.__version__}},
    ]
    facts = {
        "recording": manifest.recording,
        "device": {"serial": manifest.device.serial, "model": manifest.device.model, "key_protection": manifest.key_protection},
        "begin": {"utc": manifest.begin.utc, "trust": manifest.begin.trust},
        "end": {"utc": manifest.end.utc, "trust": manifest.end.trust},
        "manifest_sha256": sha256(manifest.to_bytes()).hex(),
    }
    return {
        "claim_generator_info": [{"name": "Oathcam", "version": firmware.__version__}],
        "title": manifest.recording,
        "format": "video/mp4",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}, {"label": ASSERTION, "data": facts}],
    }


def _library() -> Any:
    try:
        import c2pa  # here: nobody needs it who does not release
    except ImportError as error:
        remedy = "In the directory of oathcam's source: pip install '.[c2pa]'"
        raise UnavailableError(f"the C2PA library is not here: {error}", remedy=remedy) from None
    return c2pa
