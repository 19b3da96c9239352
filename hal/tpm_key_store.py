"""The signing key and the boot counter in a TPM 2.0.

Responsible for one ECDSA P-256 key that the TPM made and keeps, and for one NV counter. Refuses a key that could have been made
elsewhere or could leave. Certificates are public and lie in files (:mod:`hal.key_directory`).

The key is a primary object of the owner hierarchy (Part 1 §14, Part 3 §24.1): no storage key, no file with a wrapped private
part, one object. A primary key follows from the hierarchy's seed and from its template, so the template's ``unique`` holds 64
random bytes of the TPM that nobody keeps: evicting the key destroys it, and a second one is another one.

The counter is an NV index of type TPM_NT_COUNTER (Part 1 §37.2). A TPM starts a new counter above the highest that it ever had, so
that removing it and making it again cannot turn it back; what we count from is therefore some number, the base. A base in a file
could be raised by whoever wants the count lower. A base in a second, write-locked index could be removed and written anew by
whoever has the owner's authorization, which is empty on most boards. So it is part of the key: the public area's ``authPolicy``,
32 bytes that the template fixes and that no policy can ever satisfy, names the index and the base. Whoever changes them has
another key, for which there is no certificate.

Invariants: the handle is used only while a key with these attributes is behind it; each signature is verified before it leaves.

Handles come from the blocks that the TCG's "Registry of Reserved TPM 2.0 Handles and Localities" leaves to the owner of the
machine: 0x81008000 to 0x8100FFFF for keys (§2.3.1) and 0x01800000 to 0x01BFFFFF for NV indices (§2.2.2). Not 0x81010001, a common
choice: endorsement keys live there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from hal.ecdsa import checked_signature, public_from_point, require_digest, spki
from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.interfaces import KeyProtection, KeyStore, KeyStoreInfo
from hal.key_directory import KeyDirectory
from hal.tpm import Tpm, TpmContext

DEFAULT_HANDLE = 0x8100BC01
DEFAULT_COUNTER = 0x0180BC01
_COMMITMENT = b"oathcam counter/1\0\0\0"
"""Begins ``authPolicy``; the index (4 bytes) and the base (8 bytes, big-endian both) follow."""


@dataclass(frozen=True, slots=True)
class _Key:
    """The key as found in the TPM. ``reference`` is its ESYS_TR, serialized: it saves a TPM2_ReadPublic with each signature."""

    public: ec.EllipticCurvePublicKey
    reference: bytes
    counter_index: int
    counter_base: int


class TpmKeyStore(KeyStore):
    """A key at the persistent ``handle`` of the TPM at ``tcti``; ``counter_index`` is used when the key is made, later the key names it.

    Raises ``HalUnavailable`` when library or TPM is absent, ``HalError`` when there is something else at the handle. ``pause``
    waits between the tries while the TPM is busy.
    """

    def __init__(
        self,
        directory: Path,
        tcti: str,
        handle: int = DEFAULT_HANDLE,
        counter_index: int = DEFAULT_COUNTER,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._files = KeyDirectory(directory)
        self._handle = handle
        self._counter_index = counter_index
        self._lock = Lock()
        self._tpm = Tpm(tcti, pause)
        self._known: _Key | None = None
        with self._tpm.opened() as tpm:
            if tpm.exists(handle):
                self._known = self._load(tpm)

    def info(self) -> KeyStoreInfo:
        text = f"P-256 key made in and never leaving a TPM 2.0 (manufacturer {self._tpm.manufacturer!r}), counter in the TPM"
        return KeyStoreInfo(KeyProtection.TPM, hardware_backed=True, description=text)

    def generate_key(self) -> bytes:
        with self._lock, self._tpm.opened() as tpm:
            if tpm.exists(self._handle):
                where = f"0x{self._handle:08x} of {self._tpm.name}"
                raise HalError(f"a signing key exists at {where}; keys are not replaced, retire the device instead")
            base = _prepare_counter(tpm, self._counter_index)
            _make_key(tpm, self._handle, _COMMITMENT + self._counter_index.to_bytes(4, "big") + base.to_bytes(8, "big"))
            self._known = self._load(tpm)
            return spki(self._known.public)

    def install_certificates(self, chain: Sequence[bytes]) -> None:
        with self._lock, self._tpm.opened() as tpm:
            self._files.install_chain(chain, self._key(tpm).public)

    def certificate_chain(self) -> tuple[bytes, ...]:
        return self._files.chain()

    def sign_digest(self, digest: bytes) -> bytes:
        """Takes what the TPM takes for one TPM2_Sign (Part 3 §20.2): 50 to 300 ms on a discrete TPM."""
        from tpm2_pytss import TPM2_ALG, TPM2_RH, TPM2_ST, TPMT_SIG_SCHEME, TPMT_TK_HASHCHECK

        require_digest(digest)
        with self._lock, self._tpm.opened() as tpm:
            key = self._key(tpm)
            scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)  # the key's own: ECDSA with SHA-256
            # No proof that the TPM has hashed it: an unrestricted key asks for none. (Version 2 of the library wants it in writing.)
            ticket = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
            handle = tpm.ask(tpm.esapi.tr_deserialize, key.reference)
            answer = tpm.ask(tpm.esapi.sign, handle, digest, scheme, ticket)
            made = answer.signature.ecdsa
            r, s = (int.from_bytes(bytes(each), "big") for each in (made.signatureR, made.signatureS))
            return checked_signature(r, s, digest, key.public, self._tpm.name)

    def counter_increment(self) -> int:
        with self._lock, self._tpm.opened() as tpm:
            key = self._key(tpm)
            index = _open_counter(tpm, key.counter_index)
            tpm.ask(tpm.esapi.nv_increment, index)
            return self._since(key, _read_counter(tpm, index))

    def counter_read(self) -> int:
        with self._lock, self._tpm.opened() as tpm:
            key = self._key(tpm)
            return self._since(key, _read_counter(tpm, _open_counter(tpm, key.counter_index)))

    def _since(self, key: _Key, value: int) -> int:
        if value < key.counter_base:
            raise DeviceFault(f"{self._tpm.name}: its counter says {value}, and stood at {key.counter_base} when the key was made")
        return value - key.counter_base

    def _key(self, tpm: TpmContext) -> _Key:
        if self._known is None:
            if not tpm.exists(self._handle):
                raise HalUnavailable(f"no signing key at 0x{self._handle:08x} of {self._tpm.name}; provision the device")
            self._known = self._load(tpm)
        return self._known

    def _load(self, tpm: TpmContext) -> _Key:
        esapi = tpm.esapi
        reference = tpm.ask(esapi.tr_from_tpmpublic, self._handle)
        answer = tpm.ask(esapi.read_public, reference)[0]
        area = answer.publicArea
        where = f"0x{self._handle:08x} of {self._tpm.name}"
        if not _is_ours(area):
            raise HalError(f"what is at {where} is no signing key that the TPM made and keeps; choose another tpm_handle")
        x, y = (bytes(each).rjust(32, b"\0") for each in (area.unique.ecc.x, area.unique.ecc.y))
        committed = bytes(area.authPolicy).removeprefix(_COMMITMENT)
        if len(committed) != 12:
            raise HalError(f"the key at {where} was not made by this firmware: it names no counter; choose another tpm_handle")
        index, base = int.from_bytes(committed[:4], "big"), int.from_bytes(committed[4:], "big")
        return _Key(public_from_point(b"\4" + x + y, self._tpm.name), bytes(tpm.ask(esapi.tr_serialize, reference)), index, base)


def _attributes() -> Any:
    """TPMA_OBJECT (Part 2 §8.3) of the key: made by this TPM, bound to it, signs whatever digest it is given, and nothing else.

    Not restricted: a restricted key signs only what the TPM itself has hashed, and fragments are hashed by the processor. Its
    authorization value is empty, since whoever could read it from a file could use it; NODA keeps it clear of lock-outs.
    """
    from tpm2_pytss import TPMA_OBJECT as A

    return A.FIXEDTPM | A.FIXEDPARENT | A.SENSITIVEDATAORIGIN | A.USERWITHAUTH | A.NODA | A.SIGN_ENCRYPT


def _is_ours(area: Any) -> bool:
    from tpm2_pytss import TPM2_ALG, TPM2_ECC

    if area.type != TPM2_ALG.ECC or int(area.objectAttributes) != int(_attributes()):
        return False
    detail = area.parameters.eccDetail
    scheme_hash = detail.scheme.details.ecdsa.hashAlg
    return bool(detail.curveID == TPM2_ECC.NIST_P256 and detail.scheme.scheme == TPM2_ALG.ECDSA and scheme_hash == TPM2_ALG.SHA256)


def _make_key(tpm: TpmContext, handle: int, commitment: bytes) -> None:
    """TPM2_CreatePrimary and TPM2_EvictControl (Part 3 §24.1, §28.5). A power cut between them leaves nothing behind."""
    from tpm2_pytss import ESYS_TR, TPM2_ALG, TPM2_ECC, TPM2B_PUBLIC, TPMT_PUBLIC

    esapi = tpm.esapi
    area = TPMT_PUBLIC(type=TPM2_ALG.ECC, nameAlg=TPM2_ALG.SHA256, objectAttributes=_attributes(), authPolicy=commitment)
    detail = area.parameters.eccDetail
    detail.symmetric.algorithm = TPM2_ALG.NULL
    detail.scheme.scheme = TPM2_ALG.ECDSA
    detail.scheme.details.ecdsa.hashAlg = TPM2_ALG.SHA256
    detail.curveID = TPM2_ECC.NIST_P256
    detail.kdf.scheme = TPM2_ALG.NULL
    area.unique.ecc.x = bytes(tpm.ask(esapi.get_random, 32))
    area.unique.ecc.y = bytes(tpm.ask(esapi.get_random, 32))
    transient = tpm.ask(esapi.create_primary, None, TPM2B_PUBLIC(publicArea=area), ESYS_TR.OWNER)[0]
    try:
        tpm.ask(esapi.evict_control, ESYS_TR.OWNER, transient, handle)
    finally:
        tpm.ask(esapi.flush_context, transient)


def _prepare_counter(tpm: TpmContext, index: int) -> int:
    """A counter that can be read; returns where it stands. One that is there already, after a provisioning that was cut short, will do."""
    esapi = tpm.esapi
    if not tpm.exists(index):
        tpm.ask(esapi.nv_define_space, None, _counter_area(index))
    reference = tpm.ask(esapi.tr_from_tpmpublic, index)
    if not _counter_is_sound(tpm, reference):
        raise HalError(f"the NV index 0x{index:08x} is in use for something else; choose another tpm_counter")
    # A counter cannot be read before its first increment, which sets it above every counter that the TPM has had.
    tpm.ask(esapi.nv_increment, reference)
    return _read_counter(tpm, reference)


def _counter_area(index: int) -> Any:
    """TPMS_NV_PUBLIC (Part 2 §13.5). Not ORDERLY: an orderly counter lives in RAM and may skip after a power cut."""
    from tpm2_pytss import TPM2_ALG, TPM2_NT, TPM2B_NV_PUBLIC, TPMA_NV, TPMS_NV_PUBLIC

    kind = TPM2_NT.COUNTER << TPMA_NV.TPM2_NT_SHIFT
    attributes = TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA | kind
    return TPM2B_NV_PUBLIC(nvPublic=TPMS_NV_PUBLIC(nvIndex=index, nameAlg=TPM2_ALG.SHA256, attributes=attributes, dataSize=8))


def _counter_is_sound(tpm: TpmContext, reference: Any) -> bool:
    """An index of another type at the same place could be written at will."""
    from tpm2_pytss import TPM2_NT, TPMA_NV

    answer = tpm.ask(tpm.esapi.nv_read_public, reference)[0]
    attributes = int(answer.nvPublic.attributes)
    kind = (attributes & TPMA_NV.TPM2_NT_MASK) >> TPMA_NV.TPM2_NT_SHIFT
    return bool(kind == TPM2_NT.COUNTER and attributes & TPMA_NV.AUTHREAD and attributes & TPMA_NV.AUTHWRITE)


def _open_counter(tpm: TpmContext, index: int) -> Any:
    """The counter that the key names. ``DeviceFault`` when it is gone: it would be made anew only to hide that."""
    if not tpm.exists(index):
        raise DeviceFault(f"the key's counter, NV index 0x{index:08x}, is gone from the TPM: somebody with the owner's rights removed it")
    reference = tpm.ask(tpm.esapi.tr_from_tpmpublic, index)
    if not _counter_is_sound(tpm, reference):
        raise DeviceFault(f"the NV index 0x{index:08x} was replaced by something that is no counter")
    return reference


def _read_counter(tpm: TpmContext, reference: Any) -> int:
    return int.from_bytes(bytes(tpm.ask(tpm.esapi.nv_read, reference, 8)), "big")
