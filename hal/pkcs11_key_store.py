"""The signing key in a PKCS#11 token: a secure element, a USB security module, or SoftHSM in a test.

Responsible for one ECDSA P-256 key pair that the token made and keeps, and for the one session to it. Refuses a private key that
the token would hand out, and refuses to guess: a PIN that the token refused once is not sent again, by no later process either,
because tokens lock themselves after a few. Certificates and the counter lie in files (:mod:`hal.key_directory`): PKCS#11 knows no
monotonic counter that tokens in general have (CKO_HW_FEATURE with CKH_MONOTONIC_COUNTER, v2.40 §4.3.3, is read-only and rare).

Names are those of PKCS#11 v2.40: CKM_EC_KEY_PAIR_GEN and CKM_ECDSA (mechanisms §2.3.5, §2.3.6), which takes the digest and gives
r and s, each 32 bytes.

Invariants: at most one session, at most one log-in each time that it is opened; each signature is verified before it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from hal.ecdsa import checked_signature, public_from_point, require_digest, spki
from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.interfaces import KeyProtection, KeyStore, KeyStoreInfo
from hal.key_directory import KeyDirectory

if TYPE_CHECKING:
    import pkcs11

T = TypeVar("T")

DEFAULT_LABEL = "oathcam"
_ID = b"\x01"
_REFUSED = "pin-refused"
"""Stands in the key directory once the token has refused the PIN; a person removes it after setting the PIN right."""
_P256 = bytes.fromhex("06082a8648ce3d030107")
"""CKA_EC_PARAMS: the object identifier of secp256r1, DER."""
_POINT_PREFIX = bytes.fromhex("0441")
"""CKA_EC_POINT is an OCTET STRING of 65 bytes around the point (v2.40 mechanisms §2.3.3)."""


class Pkcs11KeyStore(KeyStore):
    """The key with ``label`` in the token ``token`` of the library ``module``; ``read_pin`` gives the PIN when a log-in needs it.

    Raises ``HalUnavailable`` when library or token is absent, ``HalError`` when the PIN or the key is not acceptable.
    """

    def __init__(self, directory: Path, module: Path, token: str, read_pin: Callable[[], str], label: str = DEFAULT_LABEL) -> None:
        self._files = KeyDirectory(directory)
        self._module = str(module)
        self._token = token
        self._read_pin = read_pin
        self._label = label
        self._name = f"PKCS#11 token {token!r}"
        self._lock = Lock()
        self._session: pkcs11.Session | None = None
        self._stale = False
        self._private: Any = None
        self._public: ec.EllipticCurvePublicKey | None = None
        self._maker = ""
        try:
            self._run(lambda session: self._find(session))
        except _TokenGone as error:
            raise HalUnavailable(f"{error}; insert the token, or correct pkcs11_token") from error

    def info(self) -> KeyStoreInfo:
        text = f"P-256 key made in and never leaving a PKCS#11 token ({self._maker}); counter in a file, since tokens have none"
        return KeyStoreInfo(KeyProtection.PKCS11, hardware_backed=True, description=text)

    def generate_key(self) -> bytes:
        with self._lock:
            self._run(self._generate)
            assert self._public is not None
            return spki(self._public)

    def install_certificates(self, chain: Sequence[bytes]) -> None:
        with self._lock:
            self._run(lambda session: self._require_key(session))
            assert self._public is not None
            self._files.install_chain(chain, self._public)

    def certificate_chain(self) -> tuple[bytes, ...]:
        return self._files.chain()

    def sign_digest(self, digest: bytes) -> bytes:
        require_digest(digest)
        with self._lock:
            raw = self._run(lambda session: self._sign(session, digest))
            assert self._public is not None
            if len(raw) != 64:
                raise DeviceFault(f"{self._name}: expected a signature of 64 bytes, got {len(raw)}")
            r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
            return checked_signature(r, s, digest, self._public, self._name)

    def counter_increment(self) -> int:
        return self._files.counter_increment()

    def counter_read(self) -> int:
        return self._files.counter_read()

    def close(self) -> None:
        """End the session. The store may be used again: it opens another."""
        with self._lock:
            self._drop()

    def _sign(self, session: pkcs11.Session, digest: bytes) -> bytes:
        from pkcs11 import Mechanism

        return bytes(self._require_key(session).sign(digest, mechanism=Mechanism.ECDSA))

    def _require_key(self, session: pkcs11.Session) -> Any:
        if self._private is None:
            self._find(session)
        if self._private is None:
            raise HalUnavailable(f"no signing key {self._label!r} in the {self._name}; provision the device")
        return self._private

    def _generate(self, session: pkcs11.Session) -> None:
        """The pair is made in the token, as token objects: it survives the session (CKA_TOKEN)."""
        from pkcs11 import Attribute, KeyType, MechanismFlag

        self._find(session)
        if self._private is not None:
            raise HalError(f"a signing key {self._label!r} exists in the {self._name}; keys are not replaced, retire the device instead")
        parameters = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: _P256}, local=True)
        parameters.generate_keypair(
            id=_ID,
            label=self._label,
            store=True,
            capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
            private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )
        self._find(session)
        if self._private is None:
            raise DeviceFault(f"{self._name}: the key that it made is not there")

    def _find(self, session: pkcs11.Session) -> None:
        """Take the pair with our label, when there is one and it is fit."""
        from pkcs11 import Attribute, ObjectClass

        found: list[Any] = []
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
            objects = list(session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: self._label}))
            if len(objects) > 1:
                raise HalError(f"{self._name}: expected one key {self._label!r}, got {len(objects)}; choose another pkcs11_label")
            found += objects or [None]
        private, public = found
        if private is None:
            return
        if public is None:
            raise HalError(f"{self._name}: the public key of {self._label!r} is not there; choose another pkcs11_label")
        self._refuse_unfit(private)
        known, self._public = self._public, self._public_key(public)
        if known is not None and known != self._public:
            raise DeviceFault(f"{self._name}: it holds another key {self._label!r} than before; was the token exchanged?")
        self._private = private

    def _refuse_unfit(self, private: pkcs11.PrivateKey) -> None:
        """A key that could have been made elsewhere, or that could leave, is not one of ours (v2.40 §4.9, footnotes of table 17)."""
        from pkcs11 import Attribute

        wanted = {
            Attribute.LOCAL: True,
            Attribute.SENSITIVE: True,
            Attribute.ALWAYS_SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.NEVER_EXTRACTABLE: True,
        }
        for attribute, expected in wanted.items():
            if private[attribute] is not expected:
                remedy = "make a key in the token under another pkcs11_label"
                raise HalError(f"{self._name}: key {self._label!r} has CKA_{attribute.name} {not expected}; {remedy}")

    def _public_key(self, public: pkcs11.PublicKey) -> ec.EllipticCurvePublicKey:
        from pkcs11 import Attribute

        if bytes(public[Attribute.EC_PARAMS]) != _P256:
            raise HalError(f"{self._name}: key {self._label!r} is not on the curve P-256; choose another pkcs11_label")
        return public_from_point(bytes(public[Attribute.EC_POINT]).removeprefix(_POINT_PREFIX), self._name)

    def _run(self, job: Callable[[pkcs11.Session], T]) -> T:
        """Do ``job`` on the session; once more on a new one, when the old one turns out to be of no use any more."""
        library = _library()
        again = self._session is not None
        while True:
            try:
                return job(self._session or self._open())
            except library.PKCS11Error as error:
                self._drop()
                if again and not isinstance(error, _refusals()):
                    again = False
                    continue
                raise self._translated(error) from error

    def _open(self) -> pkcs11.Session:
        """A session, logged in. After a failure the library is started anew: only C_Initialize makes every library look again at
        which tokens there are (v2.40 §5.4; C_GetSlotList in §5.5 need not)."""
        library = _library()
        try:
            module = library.lib(self._module)
        except library.PKCS11Error as error:
            raise HalUnavailable(f"no PKCS#11 library {self._module!r} ({error}); install it, or correct pkcs11_module") from error
        if self._stale:
            module.reinitialize()
        self._stale = True
        tokens = list(module.get_tokens(token_label=self._token))
        if len(tokens) != 1:
            raise _TokenGone(f"expected one PKCS#11 token {self._token!r} in {self._module!r}, got {len(tokens)}")
        self._maker = f"{tokens[0].manufacturer_id} {tokens[0].model}".strip()
        self._session = self._log_in(tokens[0])
        self._stale = False
        return self._session

    def _log_in(self, token: pkcs11.Token) -> pkcs11.Session:
        library = _library()
        marker = self._files.path / _REFUSED
        if self._files.holds(_REFUSED):
            raise HalError(f"the PIN was refused before and is not tried again; set it right, then remove {str(marker)!r}")
        if token.flags & (library.TokenFlag.USER_PIN_LOCKED | library.TokenFlag.USER_PIN_FINAL_TRY):
            raise HalError(f"the {self._name} has locked its PIN, or would at the next wrong one; log in to it by hand, or unlock it")
        pin = self._read_pin()
        try:
            return token.open(rw=True, user_pin=pin)
        except library.UserAlreadyLoggedIn:
            return token.open(rw=True)  # another store of this process did: a log-in counts for all its sessions (v2.40 §5.6)
        except (library.PinIncorrect, library.PinInvalid, library.PinLenRange) as error:
            self._files.replace(_REFUSED, b"The token refused the PIN. Set the PIN right, then remove this file.\n")
            raise HalError(f"the {self._name} refuses the PIN; set it right, then remove {str(marker)!r}") from error

    def _drop(self) -> None:
        """Forget the session. It is closed as far as the library still knows it."""
        session, self._session, self._private, self._stale = self._session, None, None, True
        if session is not None:
            try:
                session.close()
            except _library().PKCS11Error:
                pass  # it is gone with its token

    def _translated(self, error: pkcs11.PKCS11Error) -> HalError:
        text = f"{self._name}: {type(error).__name__} {error}".rstrip()
        return HalError(text) if isinstance(error, _refusals()) else DeviceFault(text)


class _TokenGone(DeviceFault):
    """The token is not in the library's slots."""


def _library() -> Any:
    try:
        import pkcs11
    except ImportError as error:
        remedy = "install python-pkcs11 from requirements.lock"
        raise HalUnavailable(f"a PKCS#11 key store needs the library python-pkcs11 ({error}); {remedy}") from error
    return pkcs11


def _refusals() -> tuple[type[Exception], ...]:
    """What another try would not change: the token works, and says no."""
    library = _library()
    names = (
        *("AttributeReadOnly", "AttributeSensitive", "AttributeTypeInvalid", "AttributeValueInvalid", "ArgumentsBad"),
        *("DomainParamsInvalid", "FunctionNotSupported", "FunctionRejected", "MechanismInvalid", "MechanismParamInvalid"),
        *("KeyTypeInconsistent", "PinExpired", "PinLocked", "SessionReadOnly", "TemplateIncomplete", "TemplateInconsistent"),
        *("TokenWriteProtected", "UserPinNotInitialized"),
    )
    return tuple(getattr(library, name) for name in names)
