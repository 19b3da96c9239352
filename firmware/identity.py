"""Who this camera is, opened once at boot: key, certificates, recipients, and the facts that go into every manifest.

Responsible for reading the provisioned files and refusing what does not fit together. Refuses to make keys or certificates
(provisioning does) and to hold private keys (the key store does).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

import firmware
from firmware.config import DeviceConfig
from firmware.custody.entries import Entry
from firmware.errors import FormatError, UsageError
from firmware.evidence import cms
from firmware.evidence.annotation import Annotation, seal_annotation
from firmware.evidence.manifest import Begin, Device, PolicyRef, Video
from firmware.media.onvif_sei import Vendor
from firmware.policy.model import Policy
from firmware.storage.vault import is_serial, recording_id
from firmware.timebase import Timestamp, Trust, format_utc
from hal.interfaces import Hal, KeyProtection

MANUFACTURER = "Oathcam"


@dataclass(frozen=True, slots=True)
class RecordingContext:
    """All that a recording needs to know of the camera. ``boot`` is the key store's counter at this boot."""

    device: Device
    key_protection: str
    policy: PolicyRef
    boot: int
    chain: tuple[bytes, ...]
    chain_pem: bytes
    public_key: ec.EllipticCurvePublicKey
    sign_digest: Callable[[bytes], bytes]
    signature_max_bytes: int
    recipients: tuple[cms.Recipient, ...]
    random_bytes: Callable[[int], bytes]
    pre_event_ms: int
    pre_event_audio: bool
    vendor: Vendor

    def sign(self, content: bytes, signing_time_ns: int) -> bytes:
        """Detached CMS SignedData over ``content`` by the device key."""
        return cms.sign_detached(content, self.chain, self.sign_digest, signing_time_ns)


def load_certificates(path: Path) -> list[x509.Certificate]:
    """PEM certificates of one file; UsageError naming it when it is absent or holds none."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read certificate {str(path)!r}: {error.strerror}", remedy="Give the path of a PEM certificate.") from None
    except ValueError as error:
        raise UsageError(f"{str(path)!r} is not a PEM certificate: {error}", remedy="Give the path of a PEM certificate.") from None


def load_recipients(directory: Path) -> tuple[cms.Recipient, ...]:
    """Every ``*.crt`` of the directory, by name; at least one, else nothing could ever be opened."""
    recipients = tuple(
        cms.Recipient.from_certificate(certificate)
        for path in sorted(directory.glob("*.crt"))
        for certificate in load_certificates(path)[:1]
    )
    if not recipients:
        raise UsageError(f"no recipient certificate in {str(directory)!r}", remedy="Provision at least one recipient.")
    return recipients


def firmware_sha256() -> str:
    """SHA-256 over the firmware's and the HAL's Python files, by relative name and content, in hex (BWC-POL-03)."""
    root = Path(firmware.__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted([*(root / "firmware").rglob("*.py"), *(root / "hal").rglob("*.py")]):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def open_context(config: DeviceConfig, hal: Hal, policy: Policy, policy_sha256: str, boot: int) -> RecordingContext:
    """Put the camera's facts together; UsageError when certificate, serial and configuration do not agree."""
    chain = hal.key_store.certificate_chain()
    certificates = [x509.load_der_x509_certificate(der) for der in chain]
    public_key = certificates[0].public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise UsageError("the device certificate holds no elliptic-curve key", remedy="Provision the camera again.")
    serials = [str(item.value) for item in certificates[0].subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)]
    if serials != [config.serial]:
        raise UsageError(
            f"the device certificate is for {serials!r}, the configuration says {config.serial!r}",
            remedy="Install the certificate of this camera, or correct 'serial'.",
        )
    info = hal.key_store.info()
    simulated = info.protection is KeyProtection.SIMULATED
    context = RecordingContext(
        device=Device(config.serial, config.model, firmware.__version__, firmware_sha256(), hal.backend),
        key_protection=KeyProtection.SIMULATED.value if simulated else info.protection.value,
        policy=PolicyRef(policy.profile, policy.version, policy_sha256),
        boot=boot,
        chain=chain,
        chain_pem=b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates),
        public_key=public_key,
        sign_digest=hal.key_store.sign_digest,
        signature_max_bytes=72 if public_key.curve.key_size <= 256 else 104,
        recipients=load_recipients(config.trust_directory / "recipients"),
        random_bytes=hal.entropy.random_bytes,
        pre_event_ms=policy.pre_event.seconds * 1000,
        pre_event_audio=policy.pre_event.audio,
        vendor=Vendor(firmware.__version__, config.serial, MANUFACTURER),
    )
    _check_papers(context, policy)
    return context


def _check_papers(context: RecordingContext, policy: Policy) -> None:
    """Write a begin document that nobody keeps: what it cannot hold must be refused at boot, not at the first press (BWC-POL-01)."""
    if not is_serial(context.device.serial):
        raise UsageError(
            f"no recording can be named after the serial {context.device.serial!r}",
            remedy="Provision the camera with a serial of at most 40 letters, digits, '-' and '_'.",
        )
    key_ids = tuple(recipient.key_id for recipient in context.recipients)
    if len(set(key_ids)) != len(key_ids):
        raise UsageError("a recipient's certificate is there twice", remedy="Leave one of them in the recipients' directory.")
    specimen = Begin(
        recording=recording_id(context.device.serial, context.boot, 1),
        device=context.device,
        key_protection=context.key_protection,
        policy=context.policy,
        counter=context.boot,
        boot=context.boot,
        boottime_us=0,
        utc=format_utc(0),
        trust="unset",
        cause="button",
        pre_event_ms=context.pre_event_ms,
        pre_event_audio=context.pre_event_audio,
        shortfall=None,
        video=Video(policy.video.width, policy.video.height, policy.video.fps, "h264"),
        audio=None,
        recipients=key_ids,
        ledger_index=0,
    )
    try:
        specimen.to_bytes()
        answer = Annotation(specimen.recording, "category", "NOT_GIVEN", 0)
        fields = {
            "recording": specimen.recording,
            "about": answer.about,
            "sealed": seal_annotation(answer, context.recipients, context.random_bytes),
        }
        Entry(0, "annotation", Timestamp(0, 0, Trust.UNSET), boot=0, fields=fields).to_bytes()
    except FormatError as error:
        raise UsageError(f"this camera could write no recording: {error}", remedy="Provision the camera again.") from None
