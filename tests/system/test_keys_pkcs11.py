"""The PKCS#11 key store on SoftHSM2, beyond the contract: PINs, removed tokens, unfit keys."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key
from keybench import PIN, TOKEN, SoftHsm, softhsm

from hal.ecdsa import ALGORITHM
from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.interfaces import KeyProtection, KeyStore
from hal.key_store import CREDENTIAL, open_key_store

pytestmark = pytest.mark.system

DIGEST = hashlib.sha256(b"evidence").digest()


@pytest.fixture
def hsm(tmp_path: Path) -> Iterator[SoftHsm]:
    with softhsm(tmp_path) as token:
        yield token


def token_flags(hsm: SoftHsm) -> int:
    import pkcs11

    return int(pkcs11.lib(str(hsm.module)).get_token(token_label=TOKEN).flags)


def private_key(hsm: SoftHsm):
    """The private key as any program with the PIN sees it."""
    import pkcs11

    token = pkcs11.lib(str(hsm.module)).get_token(token_label=TOKEN)
    try:
        session = token.open(user_pin=PIN)
    except pkcs11.UserAlreadyLoggedIn:
        session = token.open()
    return session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="oathcam")


def test_the_private_key_cannot_leave(hsm: SoftHsm) -> None:
    """BWC-POL-36: the token itself refuses, with the PIN given: neither read nor wrapped nor made extractable."""
    import pkcs11

    hsm.open().generate_key()
    private = private_key(hsm)
    with pytest.raises(pkcs11.AttributeSensitive):
        private[pkcs11.Attribute.VALUE]
    for attribute, value in ((pkcs11.Attribute.EXTRACTABLE, True), (pkcs11.Attribute.SENSITIVE, False)):
        with pytest.raises(pkcs11.PKCS11Error):
            private[attribute] = value
    wrapping = private.session.generate_key(pkcs11.KeyType.AES, 256)
    with pytest.raises(pkcs11.PKCS11Error):
        wrapping.wrap_key(private)


def test_a_key_from_elsewhere_is_refused(hsm: SoftHsm, tmp_path: Path) -> None:
    """An imported key may have copies (CKA_LOCAL is false), even where the token does not give it out."""
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    hsm.util("--import", str(tmp_path / "key.pem"), "--token", TOKEN, "--label", "oathcam", "--id", "01", "--pin", PIN)
    with pytest.raises(HalError, match="CKA_LOCAL"):
        hsm.open()


def test_key_and_counter_survive_a_new_process(hsm: SoftHsm) -> None:
    store = hsm.open()
    public = load_der_public_key(store.generate_key())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    store.counter_increment()
    hsm.finalize()
    again = hsm.open()
    public.verify(again.sign_digest(DIGEST), DIGEST, ALGORITHM)
    assert again.counter_increment() == 2


def test_a_wrong_pin_is_sent_once(hsm: SoftHsm) -> None:
    """A token locks itself after a few; a service manager that restarts us would get there within seconds."""
    import pkcs11

    hsm.open().generate_key()
    hsm.finalize()
    hsm.write_pin("000000")
    with pytest.raises(HalError, match="refuses the PIN"):
        hsm.open()
    assert token_flags(hsm) & pkcs11.TokenFlag.USER_PIN_COUNT_LOW
    # The right one now: were it sent, it would be accepted, and the flag would vanish.
    hsm.write_pin(PIN)
    for _ in range(3):
        hsm.finalize()
        with pytest.raises(HalError, match="not tried again") as refused:
            hsm.open()
        assert not isinstance(refused.value, (HalUnavailable, DeviceFault))
    assert token_flags(hsm) & pkcs11.TokenFlag.USER_PIN_COUNT_LOW
    (hsm.pin_file.parent / "keys" / "pin-refused").unlink()
    assert len(hsm.open().sign_digest(DIGEST)) > 60
    assert not token_flags(hsm) & pkcs11.TokenFlag.USER_PIN_COUNT_LOW


def test_a_removed_token_that_comes_back(hsm: SoftHsm) -> None:
    store = hsm.open()
    public = load_der_public_key(store.generate_key())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    hsm.remove()
    for _ in range(2):
        with pytest.raises(DeviceFault, match=TOKEN):
            store.sign_digest(DIGEST)
    hsm.insert()
    public.verify(store.sign_digest(DIGEST), DIGEST, ALGORITHM)


def test_a_lost_session_is_opened_again_within_the_call(hsm: SoftHsm) -> None:
    """The library was started anew by somebody else: nothing of that shows."""
    store = hsm.open()
    store.generate_key()
    hsm.finalize()
    assert len(store.sign_digest(DIGEST)) > 60


def test_an_exchanged_token_is_noticed(hsm: SoftHsm) -> None:
    """Another token with the same label and PIN, and another key: a fault, not a signature that nobody can verify."""
    store = hsm.open()
    store.generate_key()
    hsm.remove()
    hsm.util("--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "31415926")
    with pytest.raises(HalUnavailable, match="no signing key"):
        store.sign_digest(DIGEST)
    other = open_key_store(KeyProtection.PKCS11, hsm.pin_file.parent / "other", hsm.settings, {})
    other.generate_key()
    with pytest.raises(DeviceFault, match="exchanged"):
        store.sign_digest(DIGEST)


def test_a_missing_token_is_named(hsm: SoftHsm) -> None:
    with pytest.raises(HalUnavailable, match=r"'elsewhere'.*pkcs11_token"):
        open_key_store(KeyProtection.PKCS11, hsm.pin_file.parent / "keys", replace(hsm.settings, pkcs11_token="elsewhere"), {})


@pytest.mark.parametrize("content", [None, b"not a library", Path("/bin/sh")])
def test_a_wrong_module_is_named(hsm: SoftHsm, tmp_path: Path, content: bytes | Path | None) -> None:
    module = tmp_path / "module.so"
    if content is not None:
        module.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
    with pytest.raises(HalUnavailable, match=r"module\.so.*pkcs11_module"):
        open_key_store(KeyProtection.PKCS11, tmp_path / "keys", replace(hsm.settings, pkcs11_module=module), {})


@pytest.fixture
def opener(hsm: SoftHsm, tmp_path: Path) -> Callable[[Path | None, dict[str, str]], KeyStore]:
    def open_with(pin_file: Path | None, environment: dict[str, str]) -> KeyStore:
        return open_key_store(KeyProtection.PKCS11, tmp_path / "keys", replace(hsm.settings, pkcs11_pin_file=pin_file), environment)

    return open_with


def test_the_pin_may_be_a_credential(opener: Callable[..., KeyStore], tmp_path: Path) -> None:
    """systemd's LoadCredential=: a file that shows a right of the group, in a directory of the service's own."""
    (tmp_path / CREDENTIAL).write_text(PIN)
    (tmp_path / CREDENTIAL).chmod(0o440)
    assert opener(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).generate_key()


def test_a_pin_that_others_may_read_is_refused(hsm: SoftHsm, opener: Callable[..., KeyStore]) -> None:
    hsm.pin_file.chmod(0o640)
    with pytest.raises(HalError, match="open to others"):
        opener(hsm.pin_file, {})


def test_no_pin_is_no_log_in(hsm: SoftHsm, opener: Callable[..., KeyStore], tmp_path: Path) -> None:
    hsm.pin_file.write_text("\n")
    for file, environment, said in (
        (None, {}, CREDENTIAL),
        (None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}, CREDENTIAL),
        (tmp_path / "absent", {}, "absent"),
        (hsm.pin_file, {}, "no PIN in"),
    ):
        with pytest.raises(HalUnavailable, match=said):
            opener(file, environment)
    assert os.listdir(tmp_path / "keys") == []


def test_info_says_where_the_counter_is(hsm: SoftHsm) -> None:
    description = hsm.open().info().description
    assert "SoftHSM" in description
    assert "counter in a file" in description
